// @ts-check
/* A chip that says which style is chosen, and opens the strip of all. Its value is the style's id. */
import { problemOf } from "../api.js";
import { useGradioValue } from "../gradio.js";
import { html, useLayoutEffect, useSignal } from "../html.js";
import { clearProblem, setProblem } from "../problems.js";
import { loadStyles } from "../prompt_requests.js";
import { promptState } from "../prompt_state.js";
import { store } from "../store.js";

/** @import { Mounted } from "../types.d.ts" */

/** @param {Mounted<string | null> & { element: HTMLElement }} props */
export function StyleChip({ gradio, task, element }) {
  const tab = store.tabs[task];
  const state = promptState(task);
  const [given] = useGradioValue(gradio);
  const chosen = useSignal(state.style);
  const styles = useSignal(state.styles);
  const isOpen = useSignal(state.isStripOpen);
  const card = useSignal(tab.card);
  const isPossible = Boolean(card?.prompt);
  useLayoutEffect(() => {
    state.stylePort = gradio;
    state.style.value = given || null;
  }, [given]);
  useLayoutEffect(() => {
    element.hidden = !isPossible;
    if (!isPossible) state.isStripOpen.value = false;
  }, [isPossible]);
  // the names are needed, and templates differ from model to model
  useLayoutEffect(() => {
    if (!isOpen && !chosen) return;
    loadStyles(task).then(
      () => clearProblem(tab, "styles"),
      (error) => setProblem(tab, problemOf(error), "styles"),
    );
  }, [isOpen, Boolean(chosen), card?.id]);

  const name = styles?.find(({ id }) => id === chosen)?.name ?? chosen ?? "none";
  return html`
    <button
      class="k-chip-button k-style-chip"
      type="button"
      aria-expanded=${String(isOpen)}
      aria-controls=${`k-strip-${task}`}
      aria-label=${`Style: ${name}`}
      onClick=${() => {
        state.isStripOpen.value = !isOpen;
      }}
    >
      <span class="k-picker-label">Style</span>
      <span class="k-picker-name">${name}</span>
      <span class="k-picker-arrow" aria-hidden="true"></span>
    </button>
  `;
}
