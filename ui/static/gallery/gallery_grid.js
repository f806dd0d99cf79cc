// @ts-check
/* The grid of all clips. Only the rows that are seen, and two on each side, are in the page, so ten
   thousand clips cost as much as fifty. Selected by click, shift, drag and keyboard. */
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { goTo } from "./address.js";
import { deleteClips, gallery, loadIds, loadMore, starClips } from "./clips_shown.js";
import { GalleryTile } from "./gallery_tile.js";
import { clearSelection, moveTo, select, selection, selectTo, toggle } from "./selection.js";

/** @import { Tile } from "../types.d.ts" */

const TEXTS = { label: "Clips" };
const GAP = 14;
const CAPTION = 42;
const LEAST = { small: 148, large: 280 };
const LEAST_ON_PHONE = { small: 104, large: 170 };
const PHONE = 640;
const ROWS_BESIDE = 2;
const DRAG_PX = 6;
const HOLD_MS = 450;

/** @typedef {{ columns: number, width: number, row: number }} Layout how the tiles are arranged */
/** @typedef {{ left: number, top: number, width: number, height: number }} Box */

/** @param {number} width @param {"small" | "large"} size @returns {Layout} */
export function layoutOf(width, size) {
  const least = (width < PHONE ? LEAST_ON_PHONE : LEAST)[size];
  const columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
  const tile = (width - GAP * (columns - 1)) / columns;
  return { columns, width: tile, row: tile + CAPTION + GAP };
}

/**
 * The indexes of the tiles that a box touches.
 * @param {Box} box
 * @param {Layout} layout
 * @param {number} count
 */
export function tilesWithin(box, { columns, width, row }, count) {
  const found = [];
  for (let index = 0; index < count; index += 1) {
    const left = (index % columns) * (width + GAP);
    const top = Math.floor(index / columns) * row;
    const isBeside = left > box.left + box.width || left + width < box.left;
    if (!isBeside && top <= box.top + box.height && top + row - GAP >= box.top) found.push(index);
  }
  return found;
}

/** @param {{ size: "small" | "large", isShown: boolean }} props */
export function GalleryGrid({ size, isShown }) {
  const tiles = useSignal(gallery.tiles);
  const total = useSignal(gallery.total);
  const isLoading = useSignal(gallery.isLoading);
  const ids = useSignal(selection.ids);
  const current = useSignal(selection.current);
  const scroller = useRef(/** @type {HTMLElement | null} */ (null));
  const canvas = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(0);
  const [seen, setSeen] = useState({ first: 0, last: 12 });
  const [band, setBand] = useState(/** @type {Box | null} */ (null));
  const wantsFocus = useRef(false);
  const scrolled = useRef(0);
  const layout = layoutOf(width, size);
  const { columns, row } = layout;
  const rows = Math.ceil(tiles.length / columns);

  const measure = () => {
    const box = scroller.current;
    if (!box?.clientHeight || !width) return;
    scrolled.current = box.scrollTop;
    const first = Math.max(0, Math.floor(box.scrollTop / row) - ROWS_BESIDE);
    const last = Math.ceil((box.scrollTop + box.clientHeight) / row) + ROWS_BESIDE;
    if (first !== seen.first || last !== seen.last) setSeen({ first, last });
    if (last + 2 * (last - first) >= rows) loadMore();
  };
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width) setWidth(contentRect.width); // 0 while one clip is before the grid
    });
    if (canvas.current) observer.observe(canvas.current);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(measure, [width, size, tiles.length, isLoading]);

  const scrollTo = (/** @type {number} */ index) => {
    const box = scroller.current;
    if (!box) return;
    const top = Math.floor(index / columns) * row;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + row > box.scrollTop + box.clientHeight)
      box.scrollTop = top + row - box.clientHeight;
  };
  const wasHidden = useRef(false);
  useLayoutEffect(() => {
    if (!isShown) wasHidden.current = true;
    else if (wasHidden.current && scroller.current) {
      scroller.current.scrollTop = scrolled.current; // not every browser keeps it
      scrollTo(selection.current.peek()); // the clip that was before the grid, with the keyboard
      wantsFocus.current = true;
      measure();
    }
  }, [isShown]);
  useLayoutEffect(() => {
    if (!wantsFocus.current || !isShown) return;
    const tile = canvas.current?.querySelector(`[data-index="${selection.current.peek()}"]`);
    if (!(tile instanceof HTMLElement)) return;
    wantsFocus.current = false;
    tile.focus({ preventScroll: true });
  });
  const indexAt = (/** @type {EventTarget | null} */ target) => {
    const tile = target instanceof Element ? target.closest("[data-index]") : null;
    return tile instanceof HTMLElement ? Number(tile.dataset.index) : -1;
  };

  // ---- the keyboard

  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / row)) * columns;
    const isRtl = getComputedStyle(/** @type {Element} */ (scroller.current)).direction === "rtl";
    /** @type {Record<string, number>} */
    const steps = {
      ArrowRight: isRtl ? -1 : 1, ArrowLeft: isRtl ? 1 : -1, ArrowDown: columns,
      ArrowUp: -columns, PageDown: page, PageUp: -page, Home: -tiles.length, End: tiles.length,
    }; // biome-ignore format: a table
    const chord = event.ctrlKey || event.metaKey;
    const tile = tiles[current];
    if (event.key in steps) {
      const next = Math.max(0, Math.min(current + steps[event.key], tiles.length - 1));
      if (event.shiftKey) selectTo(next);
      else moveTo(next);
      wantsFocus.current = true;
      scrollTo(next);
    } else if (chord && event.key.toLowerCase() === "a") loadIds().then(select);
    else if (event.key === " ") toggle(current);
    else if (event.key === "Enter" && tile) goTo({ clip: tile.id });
    else if (event.key === "Delete" || event.key === "Backspace")
      deleteClips(ids.size ? [...ids] : tile ? [tile.id] : []).then(clearSelection);
    else if (event.key.toLowerCase() === "s" && !chord && tile)
      starClips(ids.size ? [...ids] : [tile.id], !tile.starred);
    else return;
    event.preventDefault();
  };

  // ---- the pointer

  const onClick = (/** @type {MouseEvent} */ event) => {
    const index = indexAt(event.target);
    const tile = tiles[index];
    if (!tile || wasDragged.current) return;
    const target = /** @type {Element} */ (event.target);
    const act = target.closest("[data-act]")?.getAttribute("data-act");
    if (act === "star") starClips([tile.id], !tile.starred);
    else if (event.shiftKey) selectTo(index);
    else if (act === "check" || event.ctrlKey || event.metaKey || ids.size) toggle(index);
    else {
      moveTo(index);
      goTo({ clip: tile.id });
    }
  };
  const wasDragged = useRef(false);
  const onPointerDown = (/** @type {PointerEvent} */ event) => {
    wasDragged.current = false;
    if (event.pointerType === "mouse") startBand(event);
    else startHold(event);
  };
  /** A finger that stays on a tile selects it. @param {PointerEvent} event */
  const startHold = (event) => {
    const index = indexAt(event.target);
    if (index < 0) return;
    const timer = setTimeout(() => {
      wasDragged.current = true; // the click that follows is not one
      toggle(index);
    }, HOLD_MS);
    const stop = () => clearTimeout(timer);
    for (const end of ["pointerup", "pointercancel", "scroll"])
      addEventListener(end, stop, { once: true, capture: true });
  };
  /** What a box drawn with the mouse touches is selected. @param {PointerEvent} event */
  const startBand = (event) => {
    const box = scroller.current;
    const area = canvas.current;
    if (event.button !== 0 || !box || !area) return;
    const at = (/** @type {PointerEvent} */ { clientX, clientY }) => {
      const { left, top } = area.getBoundingClientRect();
      return { x: clientX - left, y: clientY - top };
    };
    const from = at(event);
    const before = event.ctrlKey || event.metaKey || event.shiftKey ? [...ids] : [];
    const onMove = (/** @type {PointerEvent} */ move) => {
      const to = at(move);
      const [dx, dy] = [Math.abs(to.x - from.x), Math.abs(to.y - from.y)];
      if (!wasDragged.current && Math.max(dx, dy) < DRAG_PX) return;
      wasDragged.current = true;
      const drawn = {
        left: Math.min(from.x, to.x),
        top: Math.min(from.y, to.y),
        width: dx,
        height: dy,
      };
      setBand(drawn);
      const now = gallery.tiles.peek();
      const within = tilesWithin(drawn, layout, now.length).map((index) => now[index].id);
      select([...before, ...within]);
      const { top, bottom } = box.getBoundingClientRect();
      if (move.clientY > bottom - 24) box.scrollTop += 16;
      if (move.clientY < top + 24) box.scrollTop -= 16;
    };
    const onUp = () => {
      removeEventListener("pointermove", onMove);
      setBand(null);
      if (!wasDragged.current && indexAt(event.target) < 0) clearSelection();
    };
    addEventListener("pointermove", onMove);
    addEventListener("pointerup", onUp, { once: true });
  };

  // a tile that is drawn before the width is known would move
  const shown = width ? tiles.slice(seen.first * columns, seen.last * columns) : [];
  const placeOf = (/** @type {number} */ index) => ({
    width: `${layout.width}px`,
    height: `${row - GAP}px`,
    "inset-inline-start": `${(index % columns) * (layout.width + GAP)}px`,
    top: `${Math.floor(index / columns) * row}px`,
  });
  const focusable = Math.max(0, Math.min(current, tiles.length - 1));
  return html`
    <div class="k-scroller" ref=${scroller} onScroll=${measure} onPointerDown=${onPointerDown} onClick=${onClick}>
      <div
        class=${`k-items${ids.size ? " k-items-selecting" : ""}`}
        role="listbox"
        aria-label=${TEXTS.label}
        aria-multiselectable="true"
        tabIndex=${tiles.length ? -1 : 0}
        style=${{ height: `${Math.max(0, rows * row - GAP)}px` }}
        ref=${canvas}
        onKeyDown=${onKeyDown}
        onContextMenu=${(/** @type {Event} */ event) => wasDragged.current && event.preventDefault()}
      >
        ${shown.map((/** @type {Tile} */ tile, n) => {
          const index = seen.first * columns + n;
          return html`<${GalleryTile}
            key=${tile.id}
            tile=${tile}
            index=${index}
            total=${total}
            isSelected=${ids.has(tile.id)}
            isCurrent=${index === focusable || (n === 0 && (focusable < index || focusable >= index + shown.length))}
            place=${placeOf(index)}
          />`;
        })}
        ${band && html`<div class="k-band" style=${{ left: `${band.left}px`, top: `${band.top}px`, width: `${band.width}px`, height: `${band.height}px` }}></div>`}
      </div>
    </div>
  `;
}
