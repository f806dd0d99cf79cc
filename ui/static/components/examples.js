// @ts-check
import { useGradioValue } from "../gradio.js";
import { html } from "../html.js";

/** Prompts that work with the chosen model. @param {import("../types.d.ts").Mounted<string[] | null>} props */
export function Examples({ gradio }) {
  const [prompts] = useGradioValue(gradio);
  return html`
    <ul class="k-examples" aria-label="Examples">
      ${prompts?.map(
        (prompt, index) =>
          html`<li>
            <button
              class="k-example"
              type="button"
              onClick=${() => gradio.trigger("chosen", { index })}
            >
              ${prompt}
            </button>
          </li>`,
      )}
    </ul>
  `;
}
