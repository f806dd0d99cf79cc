// @ts-check
/* Asks the server, as a prompt is typed, for the final prompt or for suggestions. */
import { problemOf, requestJson } from "./api.js";
import { promptState } from "./prompt_state.js";
import { store } from "./store.js";

/**
 * @import { Card, Style, Task, Words } from "./types.d.ts"
 */

const PAUSE_MS = 350;
const SHOWN = 3;
/** A choice in braces, or the name of a list: `pipelines/wildcards.py` says what exactly. */
const WILDCARDS = /\{[^{}]*[|$][^{}]*\}|\{[^}]*\||__[^\s_][^\s]*?__/;

/** @param {string} prompt */
export const hasWildcards = (prompt) => WILDCARDS.test(prompt);

/**
 * The seed that is written in the form; null for a new one each time.
 * @param {Words} words
 */
export function clipSeed({ seed }) {
  const text = seed?.trim() ?? "";
  return /^\d{1,10}$/.test(text) ? Number(text) : null;
}

/**
 * @param {string} path
 * @param {unknown} body
 * @param {AbortSignal} [signal]
 */
export const postJson = (path, body, signal) =>
  requestJson(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
    signal,
  });

/**
 * Reads the styles of the tab's model.
 * @param {Task} task
 * @returns {Promise<Style[]>}
 * @throws {import("./api.js").RequestFailed}
 */
export async function loadStyles(task) {
  const model = store.tabs[task].card.peek()?.id;
  const query = model ? `?model=${encodeURIComponent(model)}` : "";
  const { styles } = await requestJson(`/styles${query}`);
  // an answer for the model before: its thumbnails and templates would be the wrong ones
  if (store.tabs[task].card.peek()?.id === model) promptState(task).styles.value = styles;
  return styles;
}

/**
 * What decides the final prompt, as a request.
 * @param {Task} task
 * @param {Words} words
 * @param {Card} card
 */
function requestOf(task, words, card) {
  const state = promptState(task);
  const picture = task === "i2v" ? store.tabs.i2v.picture.peek() : null;
  const seed = clipSeed(words);
  /** @type {Record<string, unknown>} */
  const body = { prompt: words.prompt, model: card.id };
  if (words.negative_prompt?.trim()) body.negative_prompt = words.negative_prompt;
  if (words.guidance_scale !== null) body.guidance_scale = words.guidance_scale;
  if (seed !== null) body.seed = seed;
  if (picture) body.image = picture.id;
  if (state.style.peek()) body.style = state.style.peek();
  if (words.wildcards) {
    body.wildcards = true;
    const kept = state.wildcardSeed.peek();
    if (kept !== null) body.wildcard_seed = kept;
  }
  return body;
}

/** @param {Task} task @param {Words} words */
function needsFinal(task, words) {
  const state = promptState(task);
  const isChanged = Boolean(state.style.peek()) || (words.wildcards && hasWildcards(words.prompt));
  return isChanged && (Boolean(words.prompt.trim()) || task === "i2v");
}

/** @param {Task} task @param {number} turn @param {{ wildcard_seed?: number }} [different] */
async function update(task, turn, different) {
  const state = promptState(task);
  const card = store.tabs[task].card.peek();
  const words = state.words.peek();
  const isNewest = () => turn === turns[task];
  if (!card?.prompt) return;
  if (needsFinal(task, words)) {
    try {
      const final = await postJson("/prompt", { ...requestOf(task, words, card), ...different });
      if (isNewest()) state.final.value = final;
    } catch (error) {
      if (isNewest()) state.final.value = { problem: problemOf(error) };
    }
    return;
  }
  const { prompt } = words;
  if (!prompt.trim() || hasWildcards(prompt) || state.replaced.peek()?.by === prompt) return;
  try {
    const { suggestions } = await postJson("/prompt/suggestions", { prompt, model: card.id, task });
    if (isNewest()) {
      state.suggestions.value = { prompt, found: suggestions.slice(0, SHOWN) };
    }
  } catch {
    // they were not asked for: without an answer there are none
  }
}

/** Answers to older questions are not used. @type {Record<Task, number>} */
const turns = { t2v: 0, i2v: 0, v2v: 0 };

/**
 * Other words of the wildcards, shown and not kept.
 * @param {Task} task
 */
export function drawAgain(task) {
  turns[task] += 1;
  update(task, turns[task], { wildcard_seed: Math.floor(Math.random() * 2 ** 32) });
}

/**
 * From now on, whatever decides the final prompt is followed.
 * @param {Task} task
 */
export function followWords(task) {
  const state = promptState(task);
  const tab = store.tabs[task];
  let timer = 0;
  const soon = () => {
    turns[task] += 1;
    const turn = turns[task];
    const words = state.words.peek();
    if (!needsFinal(task, words)) state.final.value = null;
    const taken = state.replaced.peek();
    if (taken && taken.by !== words.prompt && taken.own !== words.prompt) {
      state.replaced.value = null;
    }
    clearTimeout(timer);
    timer = window.setTimeout(() => update(task, turn), PAUSE_MS);
  };
  for (const each of [state.words, state.style, state.wildcardSeed, tab.card, tab.picture]) {
    each.subscribe(soon);
  }
}
