// @ts-check
/* Preact and its templates, from the copies in vendor/: the only module that imports them. */
import { useLayoutEffect, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

export { useLayoutEffect, useRef, useState } from "./vendor/hooks.js";
export { createPortal, render } from "./vendor/preact.js";
export { signal } from "./vendor/signals-core.js";

/** html`<p class="k-note">${text}</p>`: text only ever becomes a text node. */
export const html = htm.bind(h);

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
