// @ts-check
/* Under the prompt, one thing at a time: what the clip will be made with, what wildcards are, or
   how the words could be completed. Its value is the wildcards' seed. */
import { useGradioValue } from "../gradio.js";
import { html, useLayoutEffect, useSignal } from "../html.js";
import { isTouch } from "../motion.js";
import { hasWildcards } from "../prompt_requests.js";
import { promptField, promptState } from "../prompt_state.js";
import { store } from "../store.js";
import { FinalPromptLine } from "./final_prompt.js";
import { Improvement } from "./improvement.js";
import { Suggestions } from "./suggestions.js";

/** @import { Mounted } from "../types.d.ts" */

/** Several sentences, which may be several shots. */
const STORY = /\S{2}[.!?…]["”»)]?\s+\S[^.!?…]{6}|[。！？]\s*[^\s。！？]{3}|[।؟]\s+\S{3}/u;

/** @param {Mounted<number | null>} props */
export function PromptNotes({ gradio, task }) {
  const state = promptState(task);
  const [seed] = useGradioValue(gradio);
  const words = useSignal(state.words);
  const final = useSignal(state.final);
  const style = useSignal(state.style);
  const card = useSignal(store.tabs[task].card);
  useLayoutEffect(() => {
    state.wordsPort = gradio;
    state.wildcardSeed.value = typeof seed === "number" ? seed : null; // Gradio makes "" of null
  }, [seed]);

  const isOffered = !words.wildcards && hasWildcards(words.prompt);
  const isStory = task !== "v2v" && STORY.test(words.prompt);
  let line = html`<${Suggestions} task=${task} />`;
  if (isOffered) {
    const choose = () => {
      gradio.trigger("switched");
      if (!isTouch()) promptField(task)?.focus({ preventScroll: true }); // this button goes away
    };
    line = html`<div class="k-hint">
      <span>The words in braces or underscores are wildcards.</span>
      <button class="k-link" type="button" onClick=${choose}>
        Choose from them
      </button>
    </div>`;
  } else if (final && (style || words.wildcards)) {
    line = html`<${FinalPromptLine} task=${task} final=${final} port=${gradio} />`;
  }
  return html`
    <div class="k-words" hidden=${!card?.prompt}>
      <${Improvement} task=${task} />
      ${line}
      ${
        isStory &&
        html`<div class="k-hint">
          <button class="k-link" type="button" onClick=${() => gradio.trigger("board")}>Make a storyboard</button>
        </div>`
      }
      ${
        isOffered &&
        style &&
        final &&
        html`<${FinalPromptLine} task=${task} final=${final} port=${gradio} />`
      }
    </div>
  `;
}
