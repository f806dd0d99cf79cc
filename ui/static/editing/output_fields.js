// @ts-check
/* Out: the kind of file, and its quality or its size. */
import { html } from "../html.js";

/** @import { Offer, Output } from "./editing.d.ts" */

const TEXTS = {
  heading: "File",
  format: "Format",
  quality: "Quality",
  low: "Low",
  medium: "Medium",
  high: "High",
  size: "At most (MB)",
  sizeHint: "no limit",
};
/** @type {Output} */
export const PLAIN_OUTPUT = { format: "mp4", quality: "medium", targetMb: "" };

/** The part of an edit that says it. @param {Output} output */
export function outputOf({ format, quality, targetMb }) {
  const most = Number(targetMb);
  return {
    ...(format === PLAIN_OUTPUT.format ? {} : { format }),
    ...(quality === PLAIN_OUTPUT.quality ? {} : { quality }),
    ...(most > 0 ? { target_mb: most } : {}),
  };
}

/** @param {{ offer: Offer, output: Output, onChange: (output: Output) => void }} props */
export function OutputFields({ offer, output, onChange }) {
  const set = (/** @type {keyof Output} */ name) => (/** @type {Event} */ event) =>
    onChange({ ...output, [name]: /** @type {HTMLInputElement} */ (event.target).value });
  return html`
    <details class="k-step-more k-output">
      <summary>${TEXTS.heading}</summary>
      <div class="k-output-fields">
        <label class="k-op-field">
          <span class="k-op-label">${TEXTS.format}</span>
          <select class="k-field" onChange=${set("format")}>
            ${offer.formats.map(({ format, label }) => html`<option value=${format} key=${format} selected=${format === output.format} translate="no">${label}</option>`)}
          </select>
        </label>
        <label class="k-op-field">
          <span class="k-op-label">${TEXTS.quality}</span>
          <select class="k-field" onChange=${set("quality")}>
            ${["low", "medium", "high"].map((each) => html`<option value=${each} key=${each} selected=${each === output.quality}>${TEXTS[/** @type {"low"} */ (each)]}</option>`)}
          </select>
        </label>
        <label class="k-op-field">
          <span class="k-op-label">${TEXTS.size}</span>
          <input
            class="k-field"
            type="number"
            inputmode="decimal"
            min="0.1"
            step="any"
            placeholder=${TEXTS.sizeHint}
            value=${output.targetMb}
            onChange=${set("targetMb")}
          />
        </label>
      </div>
    </details>
  `;
}
