// @ts-check
/* The storyboard that is open: its cards as they are edited, and the film as the server has it. */
import { problemOf, requestJson } from "../api.js";
import { putClip } from "../clip_store.js";
import { signal } from "../html.js";
import { isActive, store } from "../store.js";
import { nameFilm, openFilm } from "./film_address.js";

/** @import { Board, BoardShot, Film, FilmShot, Job, Problem } from "../types.d.ts" */

const STORED = "kinora-storyboard";
export const MOST_SHOTS = 20;
/** @type {Board} */
const EMPTY = { shots: [{ key: "1", prompt: "", cut: "hard" }], settings: {}, takes_image: true };

export const board = {
  /** What is being edited. */
  draft: signal(readDraft()),
  /** As the server has it; null before it is made. */
  film: signal(/** @type {Film | null} */ (null)),
  estimate: signal(/** @type {{ line: string, width: number, height: number } | null} */ (null)),
  problem: signal(/** @type {Problem | null} */ (null)),
  isBusy: signal(false),
};

let keys = Date.now();
const nextKey = () => String(++keys);

/** One that is planned survives a reload. @returns {Board} */
function readDraft() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
    return stored?.shots?.length ? stored : EMPTY;
  } catch {
    return EMPTY;
  }
}

/** @param {Board} draft */
function putDraft(draft) {
  board.draft.value = draft;
  if (board.film.peek()) return;
  try {
    sessionStorage.setItem(STORED, JSON.stringify(draft));
  } catch {
    // then it is gone with a reload
  }
}

/** Opens the storyboard with a shot for each sentence. @param {Omit<Board, "shots"> & { shots: Omit<BoardShot, "key">[] }} given */
export function beginBoard(given) {
  board.film.value = null;
  board.problem.value = null;
  putDraft({ ...given, shots: given.shots.map((shot) => ({ ...shot, key: nextKey() })) });
  openFilm(null);
}

// ---- edit

/** @param {(shots: BoardShot[]) => BoardShot[]} change */
function changeShots(change) {
  const draft = board.draft.peek();
  putDraft({ ...draft, shots: change(draft.shots) });
}

/** @param {string} key @param {Partial<BoardShot>} change */
export const changeShot = (key, change) =>
  changeShots((shots) => shots.map((shot) => (shot.key === key ? { ...shot, ...change } : shot)));

/** @returns {string} the key of the new shot */
export function addShot() {
  const key = nextKey();
  changeShots((shots) => [...shots, { key, prompt: "", cut: "hard" }]);
  return key;
}

/** @param {string} key */
export const removeShot = (key) => changeShots((shots) => shots.filter((shot) => shot.key !== key));

/** @param {string} key @param {number} by */
export function moveShot(key, by) {
  changeShots((shots) => {
    const from = shots.findIndex((shot) => shot.key === key);
    const to = from + by;
    if (from < 0 || to < 0 || to >= shots.length) return shots;
    const moved = [...shots];
    moved.splice(to, 0, ...moved.splice(from, 1));
    return moved;
  });
}

/** @param {BoardShot} shot */
const fieldsOf = ({ id, prompt, cut, duration_s, image }) => ({
  ...(id && { id }),
  prompt,
  cut,
  duration_s: duration_s || null,
  image: image ?? null,
});

/** @param {FilmShot} shot @param {string} [key] @returns {BoardShot} */
const cardOf = (shot, key) => ({
  key: key ?? shot.id,
  id: shot.id,
  prompt: shot.prompt,
  cut: shot.cut,
  duration_s: shot.duration_s ?? undefined,
  image: shot.image ?? undefined,
});

/** Whether the cards differ from the film. @param {Board} draft @param {Film} film */
export function isChanged(draft, film) {
  const now = JSON.stringify(draft.shots.map(fieldsOf));
  return now !== JSON.stringify(film.shots.map((shot) => fieldsOf(cardOf(shot))));
}

/** Whether one card differs from its shot. @param {BoardShot} card @param {FilmShot} shot */
export const isShotChanged = (card, shot) =>
  JSON.stringify(fieldsOf(card)) !== JSON.stringify(fieldsOf(cardOf(shot)));

// ---- make

/** @param {Film} film @param {boolean} [resets] also puts the cards back to what the film is */
export function putFilm(film, resets = false) {
  const before = board.film.peek();
  // its shots are being joined again: until then the file before stays
  const isJoined = !film.file && film.state === "working" && before?.id === film.id;
  const older = { file: before?.file ?? null, is_current: false };
  board.film.value = isJoined ? { ...film, ...older } : film;
  for (const job of jobsOf(film)) {
    // in the list, too; on ZeroGPU it needs a web request
    if (isActive(job) || isActive(store.clips.peek().get(job.id))) putClip(job);
  }
  if (!resets) return;
  const { settings, takes_image } = film;
  board.draft.value = { shots: film.shots.map((shot) => cardOf(shot)), settings, takes_image };
}

/** @param {Film} film @returns {Job[]} */
export const jobsOf = (film) =>
  [film.file, ...film.shots.map((shot) => shot.job)].flatMap((job) => job ?? []);

/**
 * @param {() => Promise<Film>} act
 * @param {boolean} [resets]
 */
async function run(act, resets = true) {
  board.isBusy.value = true;
  board.problem.value = null;
  try {
    putFilm(await act(), resets);
    return true;
  } catch (error) {
    board.problem.value = problemOf(error);
    return false;
  } finally {
    board.isBusy.value = false;
  }
}

/** @param {string} path @param {string} method @param {object} [body] */
const send = (path, method, body = {}) =>
  requestJson(`/films${path}`, {
    method,
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  });

/** @param {Board} draft */
const requestOf = (draft) => ({ ...draft.settings, shots: draft.shots.map(fieldsOf) });

export async function makeFilm() {
  const made = await run(() => send("", "POST", requestOf(board.draft.peek())));
  const film = board.film.peek();
  if (made && film) {
    sessionStorage.removeItem(STORED);
    nameFilm(film.id);
  }
}

/** New, changed and moved cards. */
export const applyChanges = () =>
  run(() => send(pathOf(), "PATCH", { shots: board.draft.peek().shots.map(fieldsOf) }));

/** With the card's present prompt. @param {number} number @param {BoardShot} card */
export function redoShot(number, card) {
  const { id: _id, ...fields } = fieldsOf(card);
  const others = board.draft.peek().shots;
  return run(() => send(`${pathOf()}/shots/${number}/redo`, "POST", fields), false).then((done) => {
    const redone = board.film.peek()?.shots[number - 1];
    if (!done || !redone) return;
    const shots = others.map((each) => (each.key === card.key ? cardOf(redone, card.key) : each));
    board.draft.value = { ...board.draft.peek(), shots };
  });
}

export const discardFilm = () => run(() => send(`${pathOf()}/discard`, "POST"), false);
export const resumeFilm = () => run(() => send(`${pathOf()}/resume`, "POST"), false);

const pathOf = () => `/${board.film.peek()?.id}`;

// ---- estimate

let newest = 0;

/** What the cards would take; the newest answer counts. @param {Board} draft */
export async function estimateBoard(draft) {
  const number = ++newest;
  if (!draft.shots.every((shot) => shot.prompt.trim() || shot.image)) {
    board.estimate.value = null;
    return;
  }
  try {
    const found = await send("/estimate", "POST", requestOf(draft));
    if (number === newest) board.estimate.value = found;
  } catch {
    if (number === newest) board.estimate.value = null; // the press says why
  }
}
