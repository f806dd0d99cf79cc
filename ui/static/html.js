// @ts-check
/* Preact and its templates, from the copies in vendor/: the only module that imports them. */
import { isTranslated, translate } from "./language.js";
import { useLayoutEffect, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

export { useLayoutEffect, useRef, useState } from "./vendor/hooks.js";
export { createPortal, render } from "./vendor/preact.js";
export { signal } from "./vendor/signals-core.js";

const READ_ATTRIBUTES = ["aria-label", "title", "placeholder", "alt", "label"];

/**
 * html`<p class="k-note">${text}</p>`: text only ever becomes a text node, in the language of the
 * page. What users write stays as it is: the text in an element with translate="no" or dir="auto".
 */
export const html = htm.bind(element);

/**
 * @this {number[]} of htm: bits that say whether the element may be kept for the next drawing
 * @param {any} type @param {Record<string, unknown> | null} props @param {any[]} children
 */
function element(type, props, ...children) {
  this[0] |= 2; // drawn again in another language
  const isOfUsers = props?.translate === "no" || props?.dir === "auto";
  if (typeof type !== "string" || !isTranslated() || isOfUsers) {
    return h(type, props, ...children);
  }
  return h(type, props && translateProps(props), ...translateChildren(children));
}

/** @param {Record<string, unknown>} props */
function translateProps(props) {
  const translated = { ...props };
  for (const name of READ_ATTRIBUTES) {
    const text = props[name];
    if (typeof text === "string") translated[name] = translate(text);
  }
  return translated;
}

/**
 * Text and values beside one another are one text: `Step ${3} of ${20}` comes in four pieces.
 * @param {unknown[]} children
 */
function translateChildren(children) {
  const translated = /** @type {any[]} */ ([]);
  let pieces = /** @type {(string | number)[]} */ ([]);
  const flush = () => {
    if (pieces.length) translated.push(translateText(pieces.join("")));
    pieces = [];
  };
  for (const child of children) {
    if (typeof child === "string" || typeof child === "number") pieces.push(child);
    else {
      flush();
      translated.push(child);
    }
  }
  flush();
  return translated;
}

/** Lines of a template are indented. @param {string} text */
function translateText(text) {
  return text.includes("\n") ? translate(text.replace(/\s+/g, " ")) : translate(text);
}

/**
 * The signal's value; the component is drawn again whenever it changes.
 * @template T
 * @param {import("./vendor/signals-core.js").Signal<T>} source
 * @returns {T}
 */
export function useSignal(source) {
  const [, setSeen] = useState(source.peek());
  useLayoutEffect(() => source.subscribe((value) => setSeen(() => value)), [source]);
  return source.peek();
}
