// @ts-check
/* Many clips at once: prompts one a line, the lines of a CSV, or pictures. */
import { problemOf } from "../api.js";
import { addFiles } from "../batch_files.js";
import { html, useRef, useState } from "../html.js";
import { PICTURE_TYPES } from "../picture_types.js";
import { Icon } from "./icon.js";
import { Panel } from "./panel.js";
import { PlanFoot } from "./plan_foot.js";

/** @import { BatchFiles } from "../batch_files.js" */
/** @import { Ref } from "./stage.js" */

const COLUMNS =
  "The columns of a CSV are named as the settings: prompt, seed, steps. What is not given is as on the page.";
const NO_FILES = /** @type {BatchFiles} */ ({ csv: null, pictures: [] });

/** @param {{ tab: import("../store.js").TabState, isOpen: boolean, onClose: () => void }} props */
export function BatchPanel({ tab, isOpen, onClose }) {
  const takesPictures = tab.task === "i2v";
  const [prompts, setPrompts] = useState("");
  const [files, setFiles] = useState(NO_FILES);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState("");
  const [isDraggedOver, setDraggedOver] = useState(false);
  const input = /** @type {Ref<HTMLInputElement>} */ (useRef(null));
  const { csv, pictures } = files;

  const add = async (/** @type {FileList | null | undefined} */ list) => {
    const chosen = [...(list ?? [])];
    if (!chosen.length || busy) return;
    setProblem("");
    const onProgress = (/** @type {number} */ done) =>
      setBusy(chosen.length > 1 ? `Sending ${done + 1} of ${chosen.length} …` : "Sending …");
    try {
      setFiles(await addFiles(files, chosen, takesPictures, onProgress));
    } catch (error) {
      const { message, remedy } = problemOf(error);
      setProblem([message, remedy].filter(Boolean).join(" "));
    } finally {
      setBusy("");
    }
  };
  const onDrag = (/** @type {DragEvent} */ event, /** @type {boolean} */ isOver) => {
    event.preventDefault();
    setDraggedOver(isOver);
  };
  const onDrop = (/** @type {DragEvent} */ event) => {
    onDrag(event, false);
    event.stopPropagation(); // the stage takes files, too
    add(event.dataTransfer?.files);
  };
  const onChoose = () => {
    add(input.current?.files);
    if (input.current) input.current.value = "";
  };

  const hasAny = prompts.trim() || csv || pictures.length;
  const batch = { prompts: csv ? "" : prompts, csv: csv?.text ?? null, pictures };
  const invitation = takesPictures ? "Add pictures, a zip or a CSV" : "Add a CSV";
  const accept = [".csv,text/csv", takesPictures && `.zip,application/zip,${PICTURE_TYPES}`];
  return html`
    <${Panel} title="Batch" isOpen=${isOpen} onClose=${onClose}>
      <div
        class=${`k-panel-drop${isDraggedOver ? " k-over" : ""}`}
        onDragOver=${(/** @type {DragEvent} */ event) => onDrag(event, true)}
        onDragLeave=${(/** @type {DragEvent} */ event) => onDrag(event, false)}
        onDrop=${onDrop}
      >
        <label class="k-panel-part">
          <span class="k-panel-label">Prompts, one a line</span>
          <textarea
            class="k-field"
            rows="6"
            disabled=${csv !== null}
            placeholder=${csv ? "The CSV has the prompts." : "a dog in the snow\na cat on a roof"}
            value=${prompts}
            onInput=${(/** @type {Event} */ event) =>
              setPrompts(/** @type {HTMLTextAreaElement} */ (event.target).value)}
          ></textarea>
        </label>
        <p class="k-note">
          ${takesPictures ? "One prompt for all pictures, or one for each. " : ""}${COLUMNS}</p>
        <div class="k-panel-files">
          <button class="k-press" type="button" onClick=${() => input.current?.click()}>
            <${Icon} name="picture" />${invitation}
          </button>
          ${csv && html`<${FileChip} name=${csv.name} onRemove=${() => setFiles({ ...files, csv: null })} />`}
          ${
            pictures.length > 0 &&
            html`<${FileChip}
              name=${pictures.length === 1 ? pictures[0].name : `${pictures.length} pictures`}
              onRemove=${() => setFiles({ ...files, pictures: [] })}
            />`
          }
          <span role="status">${busy}</span>
        </div>
        <input
          class="k-file"
          type="file"
          multiple
          accept=${accept.filter(Boolean).join(",")}
          aria-label=${invitation}
          tabIndex="-1"
          ref=${input}
          onChange=${onChoose}
        />
      </div>
      ${problem && html`<p class="k-panel-refusal" role="alert">${problem}</p>`}
      <${PlanFoot}
        tab=${tab}
        spec=${hasAny && !busy ? { batch } : null}
        verb="Start"
        hint="One clip for each line."
        isOpen=${isOpen}
        onStart=${onClose}
      />
    <//>
  `;
}

/** @param {{ name: string, onRemove: () => void }} props */
const FileChip = ({ name, onRemove }) => html`
  <span class="k-panel-file">
    ${name}
    <button class="k-verb" type="button" aria-label=${`Remove ${name}`} onClick=${onRemove}>
      <${Icon} name="cross" />
    </button>
  </span>
`;
