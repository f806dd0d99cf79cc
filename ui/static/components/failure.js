// @ts-check
/* On the stage: why a clip could not be made, and the buttons that do something about it. */
import { pressJobButton } from "../actions.js";
import { html, useSignal } from "../html.js";

/** @param {{ tab: import("../store.js").TabState }} props */
export function Failure({ tab }) {
  const job = useSignal(tab.job);
  const error = job?.id ? job.error : null;
  if (!job?.id || !error) return html`<div class="k-layer k-failure" hidden></div>`;
  const { message, remedy, action } = error;
  const canDecodeAgain = error.develop; // the latents are kept, or the finished parts
  const [again, hint] = error.parts_kept
    ? ["Make the rest", "The finished parts are kept"]
    : ["Decode again", "Nothing is sampled again: only the frames are made"];
  return html`
    <div class="k-layer k-failure">
      <p class="k-failure-title">${message}</p>
      ${remedy && html`<p>${remedy}</p>`}
      <div class="k-failure-verbs">
        ${
          action &&
          html`<button
            class="k-press"
            type="button"
            onClick=${() => pressJobButton(tab, "repair", job, action.set)}
          >
            ${action.label}
          </button>`
        }
        ${
          canDecodeAgain &&
          html`<button
            class="k-press"
            type="button"
            title=${hint}
            onClick=${() => pressJobButton(tab, "develop", job)}
          >
            ${again}
          </button>`
        }
        ${
          Boolean(error.parts_kept) &&
          html`<button
            class="k-press"
            type="button"
            title="The clip ends with the finished parts"
            onClick=${() => pressJobButton(tab, "develop", job, { finish: true })}
          >
            Keep what is there
          </button>`
        }
        <button class="k-press" type="button" onClick=${() => pressJobButton(tab, "again", job)}>
          ${canDecodeAgain ? "From the start" : "Try again"}
        </button>
      </div>
    </div>
  `;
}
