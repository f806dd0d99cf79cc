// @ts-check
/* What the model knows, and how to write for it. */
import { useGradioValue } from "../gradio.js";
import { html } from "../html.js";

/** @import { ModelNotesValue, Mounted } from "../types.d.ts" */

/** By task: a mark, a prompt, and why it works or does not. */
const ADVICE = {
  t2v: [
    ["✓", "a dog running to the right in the snow", "Who, what they do, which way, where."],
    ["✓", "a rocket flying up in a starry night sky", "One subject, one movement, one place."],
    ["✗", "cool video", "Nothing to see in it."],
    ["✗", "a dog, then a cat, then the city at night", "One clip is one moment; make three."],
  ],
  i2v: [
    ["✓", "it runs to the right", "Says what moves and where to. The picture says the rest."],
    ["✓", "it spins on the spot", "One movement, plainly named."],
    ["✗", "a red car on a road", "Describes what is in the picture, not what happens."],
    ["✗", "make it cool", "Nothing to see in it."],
  ],
  v2v: [
    [
      "✓",
      "an oil painting of a street in the rain",
      "Says what the clip should look like. Its movement stays.",
    ],
    ["✓", "the same dance, by a robot", "One change, plainly named. More strength changes more."],
    ["✗", "make it better", "Nothing to see in it."],
  ],
};

/** @param {Mounted<ModelNotesValue | null>} props */
export function ModelNotes({ gradio, task }) {
  const [notes] = useGradioValue(gradio);
  if (!notes) return html`<div class="k-knows"></div>`;
  const words = Object.entries(notes.knows);
  return html`
    <div class="k-knows">
      <p><strong>${notes.name}</strong>${` (${notes.license}). `}${notes.about}</p>
      ${
        words.length > 0 &&
        html`<dl class="k-settings k-words">
          ${words.map(
            ([label, list]) =>
              html`<div class="k-row"><dt>${label}</dt><dd>${list.join(", ")}</dd></div>`,
          )}
        </dl>`
      }
      <h3 class="k-subtitle">A prompt that works</h3>
      ${ADVICE[task].map(
        ([mark, prompt, why]) =>
          html`<p class="k-advice">
            <span class="k-mark" aria-hidden="true">${mark}</span>
            <span><q translate="no">${prompt}</q>${" "}<span class="k-why">${why}</span></span>
          </p>`,
      )}
    </div>
  `;
}
