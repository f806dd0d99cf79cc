// @ts-check
/* Measurements of a finished clip, behind a fold: they take seconds, with a CLIP model that must
   be downloaded minutes, so the request has no time limit. */
import { problemOf, requestJson } from "../api.js";
import { html, useState } from "../html.js";

/** @import { Evaluation, Job, Problem } from "../types.d.ts" */

/** @type {[key: keyof Evaluation, label: string, meaning: string, digits: number][]} */
const MEASURES = [
  ["motion_smoothness", "Motion smoothness", "1 is perfectly smooth", 3],
  ["temporal_consistency", "Temporal consistency", "1 is perfectly steady", 3],
  ["flicker", "Flicker", "levels of 255; 0 is none", 2],
  ["clip_score", "Fits the prompt", "CLIP score, of 100", 1],
];

/** @param {{ clip: Job }} props */
export function ClipQuality({ clip }) {
  const [found, setFound] = useState(/** @type {Evaluation | null} */ (null));
  const [problem, setProblem] = useState(/** @type {Problem | null} */ (null));
  const onToggle = async (/** @type {Event} */ event) => {
    const isOpen = /** @type {HTMLDetailsElement} */ (event.currentTarget).open;
    if (!isOpen || found) return;
    setProblem(null);
    try {
      setFound(await requestJson(`/jobs/${clip.id}/evaluation`, { signal: null }));
    } catch (error) {
      setProblem(problemOf(error));
    }
  };
  const rows = found && MEASURES.filter(([key]) => found[key] !== null);
  return html`
    <details class="k-quality" onToggle=${onToggle}>
      <summary>Quality</summary>
      <div aria-live="polite">
        ${!found && !problem && html`<p class="k-note">Measuring …</p>`}
        ${problem && html`<p class="k-note">${problem.message} ${problem.remedy}</p>`}
        ${rows?.length === 0 && html`<p class="k-note">This clip is too short to be measured.</p>`}
        ${
          rows &&
          html`<dl class="k-settings">
            ${rows.map(
              ([key, label, meaning, digits]) =>
                html`<div class="k-row k-measure" key=${key}>
                  <dt>${label}</dt>
                  <dd>${found[key]?.toFixed(digits)} <span>${meaning}</span></dd>
                </div>`,
            )}
          </dl>`
        }
      </div>
    </details>
  `;
}
