// @ts-check
/* Which clips are selected, and where the keyboard is. */
import { signal } from "../html.js";
import { gallery } from "./clips_shown.js";

export const selection = {
  ids: signal(/** @type {ReadonlySet<string>} */ (new Set())),
  /** The index of the tile that the keyboard is on. */
  current: signal(0),
};

/** Where a range began: what was selected besides it stays. */
let anchor = 0;
let besides = /** @type {ReadonlySet<string>} */ (new Set());

/** @param {Iterable<string>} ids */
export function select(ids) {
  selection.ids.value = new Set(ids);
}

export function clearSelection() {
  if (selection.ids.peek().size) select([]);
}

/** @param {number} index */
export function toggle(index) {
  const tile = gallery.tiles.peek()[index];
  if (!tile) return;
  const ids = new Set(selection.ids.peek());
  if (!ids.delete(tile.id)) ids.add(tile.id);
  anchor = index;
  besides = ids;
  selection.current.value = index;
  select(ids);
}

/** From where the range began to this one. @param {number} index */
export function selectTo(index) {
  const [from, to] = [Math.min(anchor, index), Math.max(anchor, index)];
  const within = gallery.tiles.peek().slice(from, to + 1);
  selection.current.value = index;
  select([...besides, ...within.map(({ id }) => id)]);
}

/** A range begins here. @param {number} index */
export function moveTo(index) {
  selection.current.value = index;
  anchor = index;
  besides = selection.ids.peek();
}

/** @param {string[]} ids */
export function forget(ids) {
  const gone = new Set(ids);
  select([...selection.ids.peek()].filter((id) => !gone.has(id)));
}
