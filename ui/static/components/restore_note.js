// @ts-check
/* At the foot of the stage: which clip's settings are in the form now, and what is different here. */
import { html, useLayoutEffect, useSignal } from "../html.js";
import { restored } from "../restore_state.js";
import { isActive } from "../store.js";
import { hasTab } from "../tabs.js";
import { useAsInput } from "../use_as_input.js";
import { Icon } from "./icon.js";

const TEXTS = {
  use: "Use it as input",
  close: "Close this note",
};

/** @param {{ tab: import("../store.js").TabState }} props */
export function RestoreNote({ tab }) {
  const found = useSignal(restored);
  const isMaking = isActive(useSignal(tab.job));
  const isHere = found?.task === tab.task;
  useLayoutEffect(() => {
    if (isHere && isMaking) restored.value = null; // it was read, and the clip needs the place
  }, [isHere && isMaking]);
  if (!isHere || isMaking) return null;
  const { file } = found;
  return html`
    <div class="k-restored">
      <div role="status">
        <p class="k-restored-line">${found.sentence}</p>
        ${
          found.notes.length > 0 &&
          html`<ul>
            ${found.notes.map((note) => html`<li key=${note}>${note}</li>`)}
          </ul>`
        }
      </div>
      ${
        file &&
        hasTab("v2v") &&
        html`<button class="k-press" type="button" onClick=${() => useAsInput(file)}>
          ${TEXTS.use}
        </button>`
      }
      <button
        class="k-verb"
        type="button"
        aria-label=${TEXTS.close}
        title=${TEXTS.close}
        onClick=${() => {
          restored.value = null;
        }}
      >
        <${Icon} name="cross" />
      </button>
    </div>
  `;
}
