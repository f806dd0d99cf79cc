// @ts-check
/* What the operator's language model made of the prompt, beside the prompt: it takes its place only
   by a press. */
import { html, useSignal } from "../html.js";
import { promptField, promptState, replacePrompt } from "../prompt_state.js";

/** @import { Task } from "../types.d.ts" */

/** @param {{ task: Task }} props */
export function Improvement({ task }) {
  const state = promptState(task);
  const improving = useSignal(state.improving);
  const close = () => {
    state.improving.value = null;
    promptField(task)?.focus({ preventScroll: true });
  };
  if (improving?.state === "working") {
    return html`<p class="k-spoken" role="status">Improving the prompt.</p>`;
  }
  if (improving?.state === "failed") {
    return html`<div class="k-hint">
      <span role="status">${improving.message}</span>
      <button class="k-link" type="button" onClick=${close}>Close</button>
    </div>`;
  }
  if (!improving) return html`<p class="k-spoken" role="status"></p>`;
  const use = () => {
    state.improving.value = null;
    replacePrompt(task, improving.improved);
  };
  return html`
    <section class="k-improvement" aria-label="An improved prompt">
      <p class="k-spoken" role="status">An improved prompt is ready.</p>
      <dl>
        <dt>Yours</dt>
        <dd translate="no">${improving.prompt}</dd>
        <dt>Improved</dt>
        <dd>${improving.improved}</dd>
      </dl>
      <div class="k-improvement-verbs">
        <button class="k-press k-press-first" type="button" onClick=${use}>Use it</button>
        <button class="k-press" type="button" onClick=${close}>Keep mine</button>
      </div>
    </section>
  `;
}
