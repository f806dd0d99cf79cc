// @ts-check
/* The settings that made a clip: to read, to copy, to use again. */
import { pressJobButton } from "../actions.js";
import { html, useRef, useState } from "../html.js";
import { Icon } from "./icon.js";

/** @import { Job, UsedSettings } from "../types.d.ts" */

const SAID_MS = 2000;

const LABELS = {
  prompt: "Prompt",
  negative_prompt: "Not wanted",
  model: "Model",
  seed: "Seed",
  num_inference_steps: "Steps",
  guidance_scale: "Guidance",
  sampler: "Sampler",
  strength: "Strength",
  motion_bucket_id: "Motion",
  loras: "LoRA",
  num_frames: "Frames",
  fps: "Frames per second",
  format: "Format",
  quality: "Quality",
};

/** @param {UsedSettings} used @returns {[label: string, value: string][]} */
function rowsOf(used) {
  /** @type {[string, string][]} */
  const rows = [];
  for (const [name, label] of Object.entries(LABELS)) {
    const value = used[name];
    if (name === "loras" && used.loras) {
      const loras = used.loras.map(({ source, weight }) => `${source} × ${weight}`);
      rows.push([label, loras.join(", ")]);
    } else if (value !== "" && value !== null && value !== undefined) {
      rows.push([label, String(value)]);
    }
    if (name === "guidance_scale") rows.push(["Size", `${used.width} × ${used.height}`]);
  }
  return rows;
}

/** @param {{ tab: import("../store.js").TabState, clip: Job }} props */
export function ClipSettings({ tab, clip }) {
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const [copyLabel, setCopyLabel] = useState("Copy");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(JSON.stringify(clip.used, null, 2));
      setCopyLabel("Copied");
    } catch {
      if (list.current) getSelection()?.selectAllChildren(list.current);
      setCopyLabel("Selected: copy it now");
    }
    setTimeout(() => setCopyLabel("Copy"), SAID_MS);
  };
  return html`
    <dl class="k-settings" ref=${list}>
      ${rowsOf(clip.used).map(
        ([label, value]) =>
          html`<div class="k-row" key=${label}><dt>${label}</dt><dd>${value}</dd></div>`,
      )}
    </dl>
    ${clip.adjustments.map((sentence) => html`<p class="k-note">${sentence}</p>`)}
    <div class="k-used-verbs">
      <button class="k-verb" type="button" onClick=${copy}>
        <${Icon} name="copy" /><span>${copyLabel}</span>
      </button>
      <button
        class="k-verb"
        type="button"
        onClick=${() => pressJobButton(tab, "restore", clip)}
      >
        <${Icon} name="again" />Use these settings
      </button>
    </div>
  `;
}
