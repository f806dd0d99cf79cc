// @ts-check
/* The clips of the timeline as values: their order, their parts, their joints. */
import { fileUrl } from "../api.js";
import { isFilm, isMovingPicture } from "../clip_kinds.js";
import { nameOf } from "../gallery/gallery_tile.js";

/** @import { Tile } from "../types.d.ts" */
/** @import { Edit, EditEstimate, Item, Joint, Music } from "./editing.d.ts" */

/** @type {Joint} */
const CUT = { transition: "cut", duration_s: 0.5 };
let lastKey = 0;

/** @param {Tile} tile @returns {Item} */
export function itemOfTile(tile) {
  lastKey += 1;
  return {
    key: lastKey,
    id: tile.id,
    name: nameOf(tile),
    src: fileUrl(tile, isFilm(tile.format) || isMovingPicture(tile.format) ? "clip" : "poster"),
    poster: fileUrl(tile, "poster"),
    isPicture: !isFilm(tile.format),
    duration_s: tile.duration_s,
    fps: tile.fps,
    start_s: 0,
    end_s: tile.duration_s,
    joint: CUT,
  };
}

/** @param {string} id @param {string} name @param {EditEstimate} facts @returns {Item} */
export function itemOfUpload(id, name, { duration_s, fps }) {
  lastKey += 1;
  const times = { duration_s, fps, start_s: 0, end_s: duration_s };
  return { key: lastKey, id, name, src: "", poster: "", isPicture: false, ...times, joint: CUT };
}

/** @param {Item} item */
export const lengthOfItem = ({ start_s, end_s }) => end_s - start_s;

/**
 * When each clip begins in what comes out, and how long it overlaps the one before it: at most half
 * of either, as on the server.
 * @param {Item[]} items
 */
export function planOf(items) {
  let time = 0;
  const places = items.map((item, index) => {
    const before = items[index - 1];
    const most = before ? Math.min(lengthOfItem(before), lengthOfItem(item)) / 2 : 0;
    const overlap = item.joint.transition === "cut" ? 0 : Math.min(most, item.joint.duration_s);
    const start = time - overlap;
    time = start + lengthOfItem(item);
    return { start, overlap };
  });
  return { places, total: time };
}

/** @param {Item[]} items @param {number} from @param {number} to */
export function moved(items, from, to) {
  const next = [...items];
  next.splice(Math.max(0, Math.min(to, items.length - 1)), 0, ...next.splice(from, 1));
  return next;
}

/** @param {Item} item */
const partOf = ({ start_s, end_s, duration_s }) => ({
  ...(start_s > 0 ? { start_s } : {}),
  ...(end_s < duration_s ? { end_s } : {}),
});

/**
 * What the timeline says, as one edit.
 * @param {Item[]} items @param {Music | null} music @param {number} ownVolume
 * @returns {Edit | null} null: nothing would change
 */
export function editOf(items, music, ownVolume) {
  const operations = /** @type {Record<string, unknown>[]} */ ([]);
  const parts = items.map(partOf);
  const isTrimmed = parts.some((part) => Object.keys(part).length > 0);
  if (items.length > 1) {
    const joints = items.slice(1).map(({ joint }) => joint);
    const isPlain = joints.every(({ transition }) => transition === "cut");
    operations.push({
      op: "join",
      ...(isPlain ? {} : { joints }),
      ...(isTrimmed ? { parts } : {}),
    });
  } else if (isTrimmed) operations.push({ op: "trim", ...parts[0] });
  if (music || ownVolume !== 1) {
    const { id, volume, at_s, fade_out_s } = music ?? {};
    const track = music ? { file: id, volume, at_s, fade_out_s } : {};
    operations.push({ op: "sound", ...track, own_volume: ownVolume });
  }
  return operations.length ? { clips: items.map(({ id }) => id), operations } : null;
}
