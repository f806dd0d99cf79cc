// @ts-check
import { useGradioValue } from "../gradio.js";
import { html } from "../html.js";

/** @import { ExampleInfo, Mounted } from "../types.d.ts" */

/**
 * Prompts that work with the chosen model, and pictures to start from.
 * @param {Mounted<ExampleInfo[] | null>} props
 */
export function Examples({ gradio }) {
  const [examples] = useGradioValue(gradio);
  const hasPictures = examples?.some(({ picture }) => picture);
  return html`
    <ul class=${`k-examples${hasPictures ? " k-picture-examples" : ""}`} aria-label="Examples">
      ${examples?.map(
        ({ prompt, picture }, index) =>
          html`<li key=${prompt}>
            <button
              class=${picture ? "k-example k-example-picture" : "k-example"}
              type="button"
              translate=${picture ? undefined : "no"}
              title=${picture ? prompt : undefined}
              aria-label=${picture ? `Start from a picture: ${prompt}` : undefined}
              onClick=${() => gradio.trigger("chosen", { index })}
            >
              ${
                picture
                  ? html`<img src=${picture} alt="" width="72" height="72" loading="lazy" />`
                  : prompt
              }
            </button>
          </li>`,
      )}
    </ul>
  `;
}
