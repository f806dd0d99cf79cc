// @ts-check
/* For a short prompt: how it could be completed. One press takes one, another gives the own words
   back. */
import { html, useSignal } from "../html.js";
import { promptState, replacePrompt, writePrompt } from "../prompt_state.js";

/** @import { Task } from "../types.d.ts" */

/**
 * Only what is added, where it is added at the end.
 * @param {string} prompt
 * @param {string} whole
 */
function added(prompt, whole) {
  const start = prompt.trim();
  return whole.startsWith(start) ? `… ${whole.slice(start.length).replace(/^[\s,]+/, "")}` : whole;
}

/** @param {{ task: Task }} props */
export function Suggestions({ task }) {
  const state = promptState(task);
  const { prompt } = useSignal(state.words);
  const replaced = useSignal(state.replaced);
  const { prompt: about, found } = useSignal(state.suggestions);
  const isImproving = useSignal(state.improving) !== null;
  if (replaced && replaced.by === prompt) {
    const undo = () => {
      state.replaced.value = null;
      writePrompt(task, replaced.own);
    };
    return html`<div class="k-hint">
      <button class="k-link" type="button" onClick=${undo}>Back to my words</button>
    </div>`;
  }
  // while one types on, they are of words that are no longer there
  const shown = about === prompt && prompt.trim() && !isImproving ? found : [];
  return html`
    <ul class="k-suggestions k-sideways" aria-label="Ways to complete the prompt">
      ${shown.map(
        (whole) => html`<li key=${whole}>
          <button
            class="k-suggestion"
            type="button"
            title=${whole}
            aria-label=${`Use: ${whole}`}
            onClick=${() => replacePrompt(task, whole)}
          >
            ${added(prompt, whole)}
          </button>
        </li>`,
      )}
    </ul>
  `;
}
