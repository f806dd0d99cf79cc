// @ts-check
/* Beside the negative prompt: the model's own, where something else stands there. */
import { html, useLayoutEffect, useSignal } from "../html.js";
import { promptState } from "../prompt_state.js";
import { store } from "../store.js";

/** @import { Mounted } from "../types.d.ts" */

/** @param {Mounted & { element: HTMLElement }} props */
export function NegativeChip({ gradio, task, element }) {
  const { negative_prompt: written } = useSignal(promptState(task).words);
  const own = useSignal(store.tabs[task].card)?.negative_prompt ?? "";
  const isOffered = Boolean(own) && written?.trim() !== own.trim();
  useLayoutEffect(() => {
    element.hidden = !isOffered; // Gradio's own element around this one takes space otherwise
  }, [isOffered]);
  return html`
    <button
      class="k-suggestion"
      type="button"
      title=${own}
      aria-label=${`Use the model's own negative prompt: ${own}`}
      hidden=${!isOffered}
      onClick=${() => gradio.trigger("filled", { text: own })}
    >
      ${`The model's own: ${own}`}
    </button>
  `;
}
