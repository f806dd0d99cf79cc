// @ts-check
/* The one place of a tab for what went wrong, with the button that repairs it. */
import { html, useSignal } from "../html.js";

/** @param {{ tab: import("../store.js").TabState }} props */
export function ProblemNote({ tab }) {
  const shown = useSignal(tab.problem)?.shown;
  const action = shown?.action;
  return html`
    <div class="k-trouble" role="alert">
      ${shown && html`<span>${[shown.message, shown.remedy].filter(Boolean).join(" ")}</span>`}
      ${
        action &&
        html`<button
          class="k-press"
          type="button"
          onClick=${() => tab.trigger("repair", { job: "", set: action.set })}
        >
          ${action.label}
        </button>`
      }
    </div>
  `;
}
