// @ts-check
/* Follows the film that is open: the server sends each of its states while it is made. */
import { filmUrl, problemOf, requestJson } from "../api.js";
import { board, jobsOf, putFilm } from "./film_state.js";

/** @import { Film } from "../types.d.ts" */

const RETRY_MS = 2000;
const REST_MS = 5000;

/** The jobs whose states come with those of their film. */
let followed = new Set();

/** @param {string} id */
export const isFollowedByFilm = (id) => followed.has(id);

/**
 * Shows a film, and follows it as long as it is open: as it is made by the server's events, at rest
 * with a look now and then, as its clips may be deleted elsewhere.
 * @param {string} id
 * @returns {() => void}
 */
export function followFilm(id) {
  let isWanted = true;
  let isFirst = board.film.peek()?.id !== id;
  let timer = 0;
  /** @type {EventSource | null} */
  let source = null;
  if (isFirst) board.problem.value = null;
  const show = (/** @type {Film} */ film) => {
    if (!board.isBusy.peek()) putFilm(film, isFirst);
    isFirst = false;
  };
  const readIn = (/** @type {number} */ ms) => {
    stop();
    timer = setTimeout(read, ms);
  };
  const stop = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
    followed = new Set();
  };
  const read = async () => {
    try {
      const film = await requestJson(`/films/${id}`);
      if (!isWanted || source) return; // a press started it meanwhile
      show(film);
      if (film.state !== "working") readIn(REST_MS);
      else if (!source) follow(film);
    } catch (error) {
      if (!isWanted || source) return;
      if (isFirst) board.problem.value = problemOf(error);
      readIn(REST_MS);
    }
  };
  const follow = (/** @type {Film} */ film) => {
    stop();
    const opened = new EventSource(filmUrl(film));
    source = opened;
    opened.onmessage = (message) => {
      if (source !== opened) return;
      /** @type {Film} */
      const fresh = JSON.parse(message.data);
      followed = new Set(jobsOf(fresh).map((job) => job.id));
      show(fresh);
      if (fresh.state !== "working") readIn(REST_MS);
    };
    opened.onerror = () => {
      if (source === opened && opened.readyState === EventSource.CLOSED) readIn(RETRY_MS);
    };
  };
  // a press that changed the film: it is being made again
  const unsubscribe = board.film.subscribe((film) => {
    if (film?.id === id && film.state === "working" && !source && !isFirst) follow(film);
  });
  if (!source) read();
  return () => {
    isWanted = false;
    unsubscribe();
    stop();
  };
}
