// @ts-check
/* The gallery's own address, so that back, forward and reload work: `#clips?search=dog`, one clip
   `#clips/<id>`, and several side by side `#clips/compare/<id>,<id>`. */
import { signal } from "../html.js";

/** @import { GalleryFilters } from "../types.d.ts" */

/**
 * @typedef {object} Place
 * @property {string | null} clip the clip that is open
 * @property {string[]} compared the clips side by side
 * @property {GalleryFilters} filters
 */

const NAMES = [
  "sort",
  "search",
  "task",
  "model",
  "size",
  "days",
  "starred",
  "status",
  "collection",
];
const ID = /^[0-9a-f]{32}$/;
const MOST_COMPARED = 4;

/** Where the visitor is; null outside of the gallery. */
export const place = signal(parseHash(location.hash));

/** How many steps back the page was that the gallery was opened from. */
let depth = 0;

/** @param {string} hash @returns {Place | null} */
export function parseHash(hash) {
  const [path, query] = hash.slice(1).split("?");
  const [root, what, ids] = path.split("/");
  if (root !== "clips") return null;
  const sent = new URLSearchParams(query);
  /** @type {GalleryFilters} */
  const filters = {};
  for (const name of NAMES) if (sent.get(name)) filters[name] = sent.get(name) ?? "";
  const compared = what === "compare" ? (ids ?? "").split(",").filter((id) => ID.test(id)) : [];
  const clip = what && ID.test(what) ? what : null;
  return { clip, compared: compared.slice(0, MOST_COMPARED), filters };
}

/** @param {Place} to */
export function hashOf({ clip, compared, filters }) {
  const query = new URLSearchParams(filters).toString();
  const path = compared.length ? `/compare/${compared.join(",")}` : clip ? `/${clip}` : "";
  return `#clips${path}${query ? `?${query}` : ""}`;
}

const outside = () => location.pathname + location.search;

/** Goes to a place in the gallery; back leads here again. @param {Partial<Place>} [to] */
export function goTo(to = {}) {
  const filters = place.peek()?.filters ?? {};
  const next = { clip: null, compared: [], filters, ...to };
  depth += 1;
  history.pushState({ kinora: depth }, "", outside() + hashOf(next));
  place.value = next;
}

/** Other filters, or the next clip: the same step for back. @param {Partial<Place>} to */
export function replacePlace(to) {
  const before = place.peek();
  if (!before) return;
  const next = { ...before, ...to };
  history.replaceState(history.state, "", outside() + hashOf(next));
  place.value = next;
}

/** From one clip to all of them. */
export function goToAll() {
  if (depth > 0) history.back();
  else replacePlace({ clip: null, compared: [] });
}

/** Out of the gallery, at once. */
export function leaveGallery() {
  if (!place.peek()) return;
  depth = 0;
  history.pushState({}, "", outside());
  // at once: a tab that is not seen cannot be opened
  document.documentElement.classList.remove("k-in-gallery");
  place.value = null;
}

function follow() {
  depth = Number(history.state?.kinora ?? 0);
  place.value = parseHash(location.hash);
}

export function startAddress() {
  addEventListener("popstate", follow);
  addEventListener("hashchange", follow);
}
