// @ts-check
/* Draws nothing: the form's words come in through it, as they are typed or set. */
import { useGradioValue } from "../gradio.js";
import { useLayoutEffect } from "../html.js";
import { followWords } from "../prompt_requests.js";
import { promptState } from "../prompt_state.js";

/** @import { Mounted, Words } from "../types.d.ts" */

/** @param {Mounted<Words | null>} props */
export function PromptMirror({ gradio, task }) {
  const [words] = useGradioValue(gradio);
  useLayoutEffect(() => {
    if (words) promptState(task).words.value = words;
  }, [words]);
  useLayoutEffect(() => followWords(task), []);
  return null;
}
