// @ts-check
/* What the parts of a tab that help with its prompt share: its words as they are typed, the style,
   the wildcards' seed, and what the server makes of them. */
import { signal } from "./html.js";
import { tabElement } from "./tabs.js";

/**
 * @import { FinalPrompt, GradioPort, Problem, Style, Task, Words } from "./types.d.ts"
 */

/** @type {Words} */
const NO_WORDS = {
  prompt: "",
  negative_prompt: "",
  wildcards: false,
  seed: "",
  guidance_scale: null,
};

/** A request to the operator's language model, and its answer. */
/**
 * @typedef {{ state: "working", abort: AbortController }
 *   | { state: "done", prompt: string, improved: string }
 *   | { state: "failed", message: string }} Improving
 */

class PromptState {
  words = signal(NO_WORDS);
  /** The id of the chosen style. */
  style = signal(/** @type {string | null} */ (null));
  /** With it, a prompt's wildcards are always the same words. */
  wildcardSeed = signal(/** @type {number | null} */ (null));
  /** Those of the model; null until they were needed. */
  styles = signal(/** @type {Style[] | null} */ (null));
  isStripOpen = signal(false);
  /** The prompt that a clip would be made with, or why there is none; null where it is what was
   * typed. */
  final = signal(/** @type {FinalPrompt | { problem: Problem } | null} */ (null));
  /** Whole prompts, for the words that they complete. */
  suggestions = signal({ prompt: "", found: /** @type {string[]} */ ([]) });
  /** One's own words, while what took their place is in the field. */
  replaced = signal(/** @type {{ own: string, by: string } | null} */ (null));
  improving = signal(/** @type {Improving | null} */ (null));
  /** The part of the page whose value is the style. @type {GradioPort<string | null> | null} */
  stylePort = null;
  /** The one whose value is the wildcards' seed. @type {GradioPort<number | null> | null} */
  wordsPort = null;
}

/** @type {Record<Task, PromptState>} */
const states = { t2v: new PromptState(), i2v: new PromptState(), v2v: new PromptState() };

/** @param {Task} task */
export const promptState = (task) => states[task];

/** @param {Task} task @param {string | null} style */
export function chooseStyle(task, style) {
  const state = states[task];
  if (!state.stylePort) return;
  state.stylePort.props.value = style;
  state.style.value = style;
  state.stylePort.trigger("chosen");
}

/** @param {Task} task @param {number | null} seed */
export function keepWildcards(task, seed) {
  const state = states[task];
  if (!state.wordsPort) return;
  state.wordsPort.props.value = seed;
  state.wildcardSeed.value = seed;
}

/** @param {Task} task @returns {HTMLTextAreaElement | null | undefined} */
export const promptField = (task) => tabElement(task)?.querySelector(".k-prompt textarea");

/**
 * Puts a text into the prompt as if it had been typed, so that Ctrl+Z takes it away again.
 * @param {Task} task
 * @param {string} text
 */
export function writePrompt(task, text) {
  const field = promptField(task);
  if (!field) return;
  field.focus({ preventScroll: true });
  field.select();
  if (document.execCommand("insertText", false, text)) return;
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/**
 * The same, and the page offers to bring one's own words back.
 * @param {Task} task
 * @param {string} text
 */
export function replacePrompt(task, text) {
  const own = promptField(task)?.value ?? "";
  states[task].replaced.value = { own, by: text };
  writePrompt(task, text);
}
