// @ts-check
/* A look that somebody shared: a file, or its text. */
import { html, useLayoutEffect, useRef } from "../html.js";
import { readLook } from "../look_files.js";

/**
 * @import { SharedLook } from "../look_files.js"
 * @import { Ref } from "./stage.js"
 */

/**
 * @param {object} props
 * @param {string | null} props.text null where it is closed
 * @param {(text: string | null) => void} props.setText
 * @param {(look: SharedLook) => void} props.onImport
 * @param {(files: FileList | null | undefined) => void} props.onFiles
 * @param {(sentence: string) => void} props.say
 */
export function LookImport({ text, setText, onImport, onFiles, say }) {
  const field = /** @type {Ref<HTMLTextAreaElement>} */ (useRef(null));
  const file = /** @type {Ref<HTMLInputElement>} */ (useRef(null));
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
  const onChoose = () => {
    onFiles(file.current?.files);
    if (file.current) file.current.value = "";
  };
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
        placeholder="Paste a look that was shared, or drop its file here"
        aria-label="A shared look, as JSON"
        value=${text}
        ref=${field}
        onInput=${() => setText(field.current?.value ?? "")}
      ></textarea>
      <div class="k-style-form-verbs">
        <button class="k-press k-press-first" type="submit" disabled=${!text.trim()}>Import</button>
        <button class="k-press" type="button" onClick=${() => file.current?.click()}>
          Choose a file…
        </button>
        <button class="k-press" type="button" onClick=${() => setText(null)}>Cancel</button>
        <input
          class="k-file"
          type="file"
          multiple
          accept=".json,application/json"
          aria-label="Files of looks"
          tabIndex="-1"
          ref=${file}
          onChange=${onChoose}
        />
      </div>
    </form>
  `;
}
