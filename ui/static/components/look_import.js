// @ts-check
/* A look that somebody shared, as text. */
import { html, useLayoutEffect, useRef } from "../html.js";

/**
 * @import { Look } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

/**
 * @param {string} text
 * @returns {Pick<Look, "name" | "settings"> | null}
 */
function readLook(text) {
  try {
    const found = JSON.parse(text);
    const isLook = typeof found?.name === "string" && found.name.trim() && found.settings;
    return isLook ? { name: found.name.trim(), settings: found.settings } : null;
  } catch {
    return null;
  }
}

/**
 * @param {object} props
 * @param {string | null} props.text null where it is closed
 * @param {(text: string | null) => void} props.setText
 * @param {(look: Pick<Look, "name" | "settings">) => void} props.onImport
 * @param {(sentence: string) => void} props.say
 */
export function LookImport({ text, setText, onImport, say }) {
  const field = /** @type {Ref<HTMLTextAreaElement>} */ (useRef(null));
  const isOpen = text !== null;
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, [isOpen]);
  if (!isOpen) {
    return html`<button class="k-verb" type="button" onClick=${() => setText("")}>
      Import a look…
    </button>`;
  }
  const onSubmit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const look = readLook(text);
    if (look) onImport(look);
    else say("This is no look. Paste the whole text that was shared, with both braces.");
  };
  return html`
    <form class="k-look-import" onSubmit=${onSubmit}>
      <textarea
        rows="5"
        spellcheck=${false}
        placeholder="Paste a look that was shared"
        aria-label="A shared look, as JSON"
        value=${text}
        ref=${field}
        onInput=${() => setText(field.current?.value ?? "")}
      ></textarea>
      <div class="k-style-form-verbs">
        <button class="k-press k-press-first" type="submit" disabled=${!text.trim()}>Import</button>
        <button class="k-press" type="button" onClick=${() => setText(null)}>Cancel</button>
      </div>
    </form>
  `;
}
