// @ts-check
/* A saved look: a press applies it. */
import { html } from "../html.js";
import { Icon } from "./icon.js";

/** @import { Look } from "../types.d.ts" */

/**
 * @param {object} props
 * @param {Look} props.look
 * @param {() => void} props.onApply
 * @param {() => void} props.onCopy
 * @param {() => void} props.onSave
 * @param {() => void} props.onDelete
 */
export function LookRow({ look, onApply, onCopy, onSave, onDelete }) {
  const { name, settings } = look;
  const prompt = typeof settings.prompt === "string" ? settings.prompt : "";
  return html`
    <li class="k-look">
      <button class="k-look-apply" type="button" aria-label=${`Apply “${name}”`} onClick=${onApply}>
        <span class="k-look-name" translate="no">${name}</span>
        <span class="k-look-prompt" translate="no">${prompt}</span>
      </button>
      <button
        class="k-look-tool"
        type="button"
        title="Copy as JSON"
        aria-label=${`Copy “${name}”`}
        onClick=${onCopy}
      >
        <${Icon} name="copy" />
      </button>
      <button
        class="k-look-tool"
        type="button"
        title="Save as a file"
        aria-label=${`Save “${name}” as a file`}
        onClick=${onSave}
      >
        <${Icon} name="down" />
      </button>
      <button
        class="k-look-tool"
        type="button"
        title="Delete"
        aria-label=${`Delete “${name}”`}
        onClick=${onDelete}
      >
        <${Icon} name="bin" />
      </button>
    </li>
  `;
}
