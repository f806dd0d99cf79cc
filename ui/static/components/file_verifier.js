// @ts-check
/* Takes a dropped or chosen file and shows who signed it, whether it was changed, and what it says
   about its making. Everything that comes from the file is text. */
import { problemOf, requestJson } from "../api.js";
import { html, useRef, useState } from "../html.js";

/**
 * @typedef {object} Making
 * @property {string | null} program
 * @property {string | null} version
 * @property {string | null} model
 * @property {string | null} model_revision
 * @property {string | null} made_at
 * @property {boolean | null} is_generated
 * @property {string | null} prompt
 */
/**
 * @typedef {object} Report
 * @property {"valid" | "changed" | "invalid" | "none" | "unreadable" | "unavailable"} state
 * @property {{ organization: string | null, name: string | null } | null} signed_by
 * @property {Making | null} made_by
 * @property {{ title: string | null }[]} made_from
 * @property {string[]} sentences
 */
/** @typedef {{ name: string, report: Report, settings: object | null }} Found */
/** @import { Problem } from "../types.d.ts" */

const TITLES = {
  valid: "Signed and unchanged",
  changed: "Changed after it was signed",
  invalid: "The signature is not valid",
  none: "Not signed",
  unreadable: "Cannot be read",
  unavailable: "Cannot be verified here",
};

const ACCEPT = "video/*,image/*,.c2pa";

export function FileVerifier() {
  const [found, setFound] = useState(/** @type {Found | null} */ (null));
  const [problem, setProblem] = useState(/** @type {Problem | null} */ (null));
  const [reading, setReading] = useState("");
  const [isOver, setOver] = useState(false);
  const input = /** @type {{ current: HTMLInputElement | null }} */ (useRef(null));
  const newest = useRef(0);

  const verify = async (/** @type {File[]} */ files) => {
    const file = files.find(({ name }) => !name.endsWith(".c2pa")) ?? files[0];
    if (!file) return;
    const credentials = files.find((each) => each !== file && each.name.endsWith(".c2pa"));
    const body = new FormData();
    body.append("file", file);
    if (credentials) body.append("credentials", credentials);
    newest.current += 1; // the last file counts, whenever its answer arrives
    const number = newest.current;
    setReading(file.name);
    setProblem(null);
    setFound(null);
    try {
      const answer = await requestJson("/verify", { method: "POST", body });
      if (number === newest.current) setFound({ name: file.name, ...answer });
    } catch (error) {
      if (number === newest.current) setProblem(problemOf(error));
    } finally {
      if (number === newest.current) setReading("");
    }
  };
  const onDrop = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(false);
    verify([...(event.dataTransfer?.files ?? [])]);
  };
  const onDragOver = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(true);
  };
  const onChange = () => {
    verify([...(input.current?.files ?? [])]);
    if (input.current) input.current.value = "";
  };
  return html`
    <div
      class=${`k-drop${isOver ? " k-over" : ""}`}
      onDrop=${onDrop}
      onDragOver=${onDragOver}
      onDragLeave=${() => setOver(false)}
    >
      <button class="k-choose" type="button" onClick=${() => input.current?.click()}>
        <span class="k-choose-title">Choose a clip or a picture</span>
        <span>or drop one here, a WebM together with its .c2pa file</span>
      </button>
      <input
        type="file"
        multiple
        accept=${ACCEPT}
        aria-label="Clip or picture to verify"
        tabIndex="-1"
        hidden
        ref=${input}
        onChange=${onChange}
      />
    </div>
    <div class="k-answer" aria-live="polite">
      ${reading && html`<p class="k-soft">Reading ${reading}…</p>`}
      ${problem && html`<p class="k-problem">${problem.message} ${problem.remedy}</p>`}
      ${found && html`<${Answer} found=${found} />`}
    </div>
  `;
}

/** @param {{ found: Found }} props */
function Answer({ found }) {
  const { name, report, settings } = found;
  return html`
    <section class=${`k-report k-${report.state}`}>
      <h2>${TITLES[report.state]}</h2>
      <p class="k-soft" translate="no">${name}</p>
      ${report.sentences.map((sentence) => html`<p>${sentence}</p>`)}
      ${report.made_by?.prompt && html`<p>Prompt: ${report.made_by.prompt}</p>`}
      ${
        settings &&
        html`<details>
          <summary>
            ${report.state === "valid" ? "Settings in the file" : "Settings in the file, not signed"}
          </summary>
          <pre role="region" aria-label="Settings in the file" tabIndex="0">${JSON.stringify(settings, null, 2)}</pre>
        </details>`
      }
    </section>
  `;
}
