// @ts-check
/* Draws nothing: the server's answers to presses come in through it. */
import { receiveAnswer } from "../actions.js";
import { useLayoutEffect } from "../html.js";
import { store } from "../store.js";

/** @import { Answer, Mounted } from "../types.d.ts" */

/** @param {Mounted<Answer | null>} props */
export function ServerAnswers({ gradio, task }) {
  useLayoutEffect(() => {
    gradio.watch("value", () => {
      const answer = gradio.props.value;
      if (answer) receiveAnswer(store.tabs[task], answer);
    });
  }, []);
  return null;
}
