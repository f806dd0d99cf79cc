// @ts-check
/* The clips that the gallery shows: read page by page, kept up to date, changed by the visitor. */
import { baseUrl, problemOf, requestJson } from "../api.js";
import { dropClip, loadNewestClips } from "../clip_store.js";
import { signal } from "../html.js";
import { leaveStage } from "../stage_jobs.js";
import { isActive, store } from "../store.js";

/** @import { Collection, Deletion, GalleryAbout, GalleryFilters, Problem, Tile } from "../types.d.ts" */

const PAGE = 100;
const DAY_S = 86400;
const POLL_MS = 1500;
const MOST_POLLED = 50;
const JSON_BODY = { "Content-Type": "application/json" };

export const gallery = {
  tiles: signal(/** @type {Tile[]} */ ([])),
  /** How many there are, also those that are not loaded. */
  total: signal(/** @type {number | null} */ (null)),
  isLoading: signal(false),
  problem: signal(/** @type {Problem | null} */ (null)),
  about: signal(/** @type {GalleryAbout | null} */ (null)),
  /** What was deleted and can be undone, and until when on this page's clock. */
  deletion: signal(/** @type {(Deletion & { until: number }) | null} */ (null)),
};

let cursor = /** @type {string | null} */ (null);
/** Grows with each list: what arrives of an older one is not used. */
let list = 0;
let shownFilters = /** @type {GalleryFilters} */ ({});
let poll = /** @type {ReturnType<typeof setInterval> | undefined} */ (undefined);

/** @param {GalleryFilters} filters */
export function queryOf({ days, ...filters }) {
  const query = new URLSearchParams(filters);
  if (days) query.set("since", String(Math.floor(Date.now() / 1000 - Number(days) * DAY_S)));
  return query;
}

/** @param {string} path @param {unknown} body @param {string} [method] */
const send = (path, body, method = "POST") =>
  requestJson(path, { method, body: JSON.stringify(body), headers: JSON_BODY });

/** Runs a change and shows why it failed. @template T @param {() => Promise<T>} change */
async function attempt(change) {
  try {
    const answer = await change();
    gallery.problem.value = null;
    return answer;
  } catch (error) {
    gallery.problem.value = problemOf(error);
    return undefined;
  }
}

// ---- read

/** The first page. @param {GalleryFilters} filters */
export async function showClips(filters) {
  list += 1;
  cursor = null;
  shownFilters = filters;
  await loadPage(true);
}

/** The page after the last one. */
export async function loadMore() {
  if (cursor && !gallery.isLoading.peek()) await loadPage(false);
}

/** @param {boolean} isFirst */
async function loadPage(isFirst) {
  const mine = list;
  const query = queryOf(shownFilters);
  query.set("limit", String(PAGE));
  if (!isFirst && cursor) query.set("cursor", cursor);
  gallery.isLoading.value = true;
  const found = await attempt(() => requestJson(`/gallery?${query}`));
  if (mine !== list) return;
  gallery.isLoading.value = false;
  if (!found) return;
  cursor = found.next;
  const known = new Set(isFirst ? [] : gallery.tiles.peek().map(({ id }) => id));
  const fresh = found.clips.filter((/** @type {Tile} */ { id }) => !known.has(id));
  gallery.tiles.value = isFirst ? fresh : [...gallery.tiles.peek(), ...fresh];
  if (isFirst) {
    gallery.total.value = found.total;
    if (found.deleted) announceDeletion(found.deleted);
  }
}

export async function loadAbout() {
  const about = await attempt(() => requestJson("/gallery/about"));
  if (about) gallery.about.value = about;
}

/** The ids of all clips that the filters leave. @returns {Promise<string[]>} */
export async function loadIds() {
  const found = await attempt(() => requestJson(`/gallery/ids?${queryOf(shownFilters)}`));
  return found?.ids ?? [];
}

/** While the gallery is seen, clips that are being made move. */
export function startUpdates() {
  poll ??= setInterval(updateActive, POLL_MS);
}

export function stopUpdates() {
  clearInterval(poll);
  poll = undefined;
}

async function updateActive() {
  const active = gallery.tiles.peek().filter(isActive).slice(0, MOST_POLLED);
  if (!active.length || document.hidden) return;
  const ids = active.map(({ id }) => id).join(",");
  const found = await requestJson(`/gallery/clips?ids=${ids}`).catch(() => null);
  if (!found) return;
  const fresh = new Map(found.clips.map((/** @type {Tile} */ tile) => [tile.id, tile]));
  const isGone = (/** @type {Tile} */ { id }) => active.some((a) => a.id === id) && !fresh.has(id);
  gallery.tiles.value = gallery.tiles
    .peek()
    .filter((tile) => !isGone(tile))
    .map((tile) => fresh.get(tile.id) ?? tile);
}

// ---- change

/** @param {string[]} ids @param {(tile: Tile) => Tile} change */
function changeTiles(ids, change) {
  const changed = new Set(ids);
  gallery.tiles.value = gallery.tiles
    .peek()
    .map((tile) => (changed.has(tile.id) ? change(tile) : tile));
}

/** @param {string[]} ids @param {boolean} starred */
export async function starClips(ids, starred) {
  changeTiles(ids, (tile) => ({ ...tile, starred }));
  await attempt(() => send("/gallery/star", { ids, starred }));
}

/** @param {string} id @param {string} title */
export async function renameClip(id, title) {
  const answer = await attempt(() => send(`/gallery/clips/${id}`, { title }, "PATCH"));
  if (!answer) return null;
  changeTiles([id], (tile) => ({ ...tile, title: answer.title }));
  return /** @type {{ title: string | null }} */ (answer);
}

/** @param {Deletion} deletion */
function announceDeletion(deletion) {
  const until = performance.now() + deletion.left_s * 1000;
  gallery.deletion.value = { ...deletion, until };
}

/** Hides the clips; for ten seconds they can come back. @param {string[]} ids */
export async function deleteClips(ids) {
  const deletion = await attempt(() => send("/gallery/delete", { ids }));
  if (!deletion) return;
  announceDeletion(deletion);
  const gone = new Set(deletion.ids);
  gallery.tiles.value = gallery.tiles.peek().filter(({ id }) => !gone.has(id));
  gallery.total.value = Math.max(0, (gallery.total.peek() ?? 0) - gone.size);
  for (const id of deletion.ids) {
    dropClip(id);
    for (const tab of Object.values(store.tabs)) if (tab.job.peek()?.id === id) leaveStage(tab);
  }
  loadMore();
}

/** Brings back what was deleted last, into its places. */
export async function undoDeletion() {
  const deletion = gallery.deletion.peek();
  if (!deletion) return;
  gallery.deletion.value = null;
  await attempt(() => send("/gallery/restore", { ids: deletion.ids }));
  loadNewestClips().catch(() => {});
  await Promise.all([showClips(shownFilters), loadAbout()]);
}

/** Saves the clips as one zip. @param {string[]} ids */
export async function zipClips(ids) {
  const answer = await attempt(() => send("/gallery/zips", { ids }));
  if (!answer) return;
  const link = document.createElement("a");
  link.href = baseUrl() + answer.path;
  link.download = "";
  link.click();
}

// ---- collections

/** @param {string} name @param {string[]} ids @returns {Promise<Collection | undefined>} */
export async function addCollection(name, ids) {
  const added = await attempt(() => send("/gallery/collections", { name, ids }));
  if (added) {
    changeTiles(ids, (tile) => ({ ...tile, collections: [...tile.collections, added.id] }));
    await loadAbout();
  }
  return added;
}

/** @param {string} id @param {{ add?: string[], remove?: string[] }} change */
export async function changeCollection(id, { add = [], remove = [] }) {
  const done = await attempt(() => send(`/gallery/collections/${id}/clips`, { add, remove }));
  if (done === undefined) return;
  changeTiles(add, (tile) => ({
    ...tile,
    collections: [...new Set([...tile.collections, id])],
  }));
  changeTiles(remove, (tile) => ({
    ...tile,
    collections: tile.collections.filter((each) => each !== id),
  }));
  if (shownFilters.collection === id) await showClips(shownFilters);
  await loadAbout();
}

/** @param {string} id @param {string} name */
export async function renameCollection(id, name) {
  await attempt(() => send(`/gallery/collections/${id}`, { name }, "PATCH"));
  await loadAbout();
}

/** Its clips stay. @param {string} id */
export async function deleteCollection(id) {
  await attempt(() => send(`/gallery/collections/${id}`, {}, "DELETE"));
  await loadAbout();
}
