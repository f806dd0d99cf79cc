// @ts-check
/* In the field, where the operator has set a language model. */
import { problemOf } from "../api.js";
import { html, useLayoutEffect, useSignal } from "../html.js";
import { postJson } from "../prompt_requests.js";
import { promptState } from "../prompt_state.js";
import { store } from "../store.js";
import { Icon } from "./icon.js";

/** @import { Mounted } from "../types.d.ts" */

/** @param {Mounted & { element: HTMLElement, offered: boolean }} props */
export function ImproveButton({ task, element, offered }) {
  const state = promptState(task);
  const { prompt } = useSignal(state.words);
  const improving = useSignal(state.improving);
  const card = useSignal(store.tabs[task].card);
  const isPossible = offered && Boolean(card?.prompt);
  useLayoutEffect(() => {
    element.hidden = !isPossible; // Gradio's own element around this one takes space otherwise
  }, [isPossible]);

  const improve = async () => {
    const abort = new AbortController();
    state.improving.value = { state: "working", abort };
    try {
      const body = { prompt, model: card?.id, task };
      const { improved, message } = await postJson("/prompt/improve", body, abort.signal);
      if (abort.signal.aborted) return;
      state.improving.value = improved
        ? { state: "done", prompt, improved }
        : { state: "failed", message };
    } catch (error) {
      if (abort.signal.aborted) return;
      const { message, remedy } = problemOf(error);
      state.improving.value = {
        state: "failed",
        message: [message, remedy].filter(Boolean).join(" "),
      };
    }
  };
  if (improving?.state === "working") {
    const cancel = () => {
      improving.abort.abort();
      state.improving.value = null;
    };
    return html`<button class="k-improve k-working" type="button" onClick=${cancel}>
      <${Icon} name="cross" /><span>Cancel</span>
    </button>`;
  }
  return html`<button
    class="k-improve"
    type="button"
    disabled=${!prompt.trim()}
    title="Rewrite the prompt with a language model; yours stays until you choose"
    onClick=${improve}
  >
    <${Icon} name="spark" /><span>Improve</span>
  </button>`;
}
