// @ts-check
/* The words that a clip will be made with, where a style or wildcards change what was typed. */
import { html, useSignal } from "../html.js";
import { clipSeed, drawAgain, hasWildcards } from "../prompt_requests.js";
import { chooseStyle, keepWildcards, promptState, replacePrompt } from "../prompt_state.js";
import { WildcardSeed } from "./wildcard_seed.js";

/** @import { FinalPrompt, GradioPort, Problem, Task } from "../types.d.ts" */

/**
 * @param {object} props
 * @param {Task} props.task
 * @param {FinalPrompt | { problem: Problem }} props.final
 * @param {GradioPort<number | null>} props.port
 */
export function FinalPromptLine({ task, final, port }) {
  const state = promptState(task);
  const words = useSignal(state.words);
  const style = useSignal(state.style);
  const kept = useSignal(state.wildcardSeed);
  if ("problem" in final) {
    const { message, remedy } = final.problem;
    return html`<p class="k-hint k-wrong" role="status">
      ${[message, remedy].filter(Boolean).join(" ")}
    </p>`;
  }
  const draws = words.wildcards && hasWildcards(words.prompt);
  const seed = clipSeed(words); // it chooses the words where they have no seed of their own
  const isExample = draws && kept === null && seed === null;
  const chosen = kept === null ? "With the words of the seed" : "With the kept words";
  // of what is shown: the style may have been chosen since
  const origin = isExample ? "For example" : draws ? chosen : "";
  const withStyle = origin ? `${origin}, with the style` : "With the style";
  const title = final.style ? withStyle : origin;
  const edit = () => {
    if (final.negative_prompt && final.negative_prompt !== words.negative_prompt) {
      port.trigger("filled", { text: final.negative_prompt });
    }
    if (style) chooseStyle(task, null);
    keepWildcards(task, null);
    replacePrompt(task, final.prompt);
  };
  return html`
    <div class=${draws ? "k-final k-final-draws" : "k-final"}>
      <p class="k-final-words" tabIndex="0" role="group" aria-label="The final prompt">
        <span class="k-final-label">${title}</span>${": "}
        <span translate="no">${final.prompt}</span>
      </p>
      <div class="k-final-verbs">
        ${
          draws &&
          html`
            <button
              class="k-link"
              type="button"
              hidden=${!isExample}
              onClick=${() => drawAgain(task)}
            >
              Another
            </button>
            <button
              class="k-link"
              type="button"
              onClick=${() => keepWildcards(task, kept === null ? final.wildcard_seed : null)}
            >
              ${kept === null ? "Keep these words" : "New words each time"}
            </button>
          `
        }
        <button class="k-link" type="button" onClick=${edit}>Edit it</button>
        ${draws && html`<${WildcardSeed} task=${task} clipSeed=${seed} />`}
      </div>
    </div>
  `;
}
