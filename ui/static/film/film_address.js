// @ts-check
/* The storyboard's own address, so that back and reload work: `#film` while it is planned,
   `#film/<id>` once it is being made. */
import { signal } from "../html.js";

const ID = /^[0-9a-f]{32}$/;

/** Where the visitor is; null outside of the storyboard. */
export const filmPlace = signal(parseFilmHash(location.hash));

/** Whether the page opened it: then back leads to the prompt. */
let isOpenedHere = false;

/** @param {string} hash @returns {{ film: string | null } | null} */
export function parseFilmHash(hash) {
  const [root, id] = hash.slice(1).split("/");
  if (root !== "film") return null;
  return { film: ID.test(id ?? "") ? id : null };
}

const outside = () => location.pathname + location.search;

/** @param {string | null} film */
export function openFilm(film) {
  isOpenedHere = true;
  history.pushState({}, "", `${outside()}#film${film ? `/${film}` : ""}`);
  filmPlace.value = { film };
}

/** It has an id now: the same step for back. @param {string} film */
export function nameFilm(film) {
  history.replaceState(history.state, "", `${outside()}#film/${film}`);
  filmPlace.value = { film };
}

export function leaveFilm() {
  if (!filmPlace.peek()) return;
  if (isOpenedHere) history.back();
  else {
    history.pushState({}, "", outside());
    filmPlace.value = null;
  }
}

function follow() {
  filmPlace.value = parseFilmHash(location.hash);
  if (!filmPlace.peek()) isOpenedHere = false;
}

export function startFilmAddress() {
  addEventListener("popstate", follow);
  addEventListener("hashchange", follow);
}
