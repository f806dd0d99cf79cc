// @ts-check
/* The settings that made a clip: to read, to copy, to use again. */
import { pressJobButton } from "../actions.js";
import { html, useRef, useState } from "../html.js";
import { ClipQuality } from "./clip_quality.js";
import { Icon } from "./icon.js";

/** @import { Job } from "../types.d.ts" */

const SAID_MS = 2000;

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
      ${(clip.settings ?? []).map(
        ([label, value]) =>
          html`<div class="k-row" key=${label}><dt>${label}</dt><dd translate="no">${value}</dd></div>`,
      )}
    </dl>
    ${clip.adjustments.map((sentence) => html`<p class="k-note">${sentence}</p>`)}
    <${ClipQuality} key=${clip.id} clip=${clip} />
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
