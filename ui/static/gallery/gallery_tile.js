// @ts-check
/* One clip in the grid: its poster, which plays while the pointer or the keyboard is on it; on a
   touch screen those in the middle of the screen play. What is not seen does not exist. */
import { fileUrl } from "../api.js";
import { isFilm, isMovingPicture } from "../clip_kinds.js";
import { Icon } from "../components/icon.js";
import { PreviewCanvas } from "../components/preview_canvas.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { numberFormat } from "../language.js";
import { isTouch, prefersReducedMotion } from "../motion.js";
import { isActive } from "../store.js";
import { selection } from "./selection.js";

/** @import { Job, Tile } from "../types.d.ts" */

export const TILE_TEXTS = {
  untitled: "Clip from a picture",
  failed: "Failed",
  gone: "Gone",
  starred: "starred",
  draft: "Draft",
  seconds: (/** @type {string} */ n) => `${n} s`,
  waiting: "Waiting",
};

const SECONDS = numberFormat({ maximumFractionDigits: 1 });
const PERCENT = numberFormat({ style: "percent" });

/** @param {Tile} tile */
export const nameOf = (tile) => tile.title || tile.prompt || TILE_TEXTS.untitled;

/** @param {Tile} tile */
export const lengthOf = (tile) => TILE_TEXTS.seconds(SECONDS.format(tile.duration_s));

/** @param {Tile} tile */
function markOf(tile) {
  if (tile.state === "queued") return TILE_TEXTS.waiting;
  if (tile.state === "running") return PERCENT.format(tile.ring ?? 0);
  if (tile.state === "failed") return TILE_TEXTS.failed;
  if (tile.state === "gone") return TILE_TEXTS.gone;
  return tile.is_draft ? TILE_TEXTS.draft : "";
}

/**
 * @param {object} props
 * @param {Tile} props.tile
 * @param {number} props.index
 * @param {number | null} props.total
 * @param {boolean} props.isSelected
 * @param {boolean} props.isCurrent whether the keyboard is on it
 * @param {Record<string, string>} props.place
 */
export function GalleryTile({ tile, index, total, isSelected, isCurrent, place }) {
  const [isPlaying, setPlaying] = useState(false);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const mark = markOf(tile);
  useLayoutEffect(() => {
    if (!isTouch() || !box.current) return;
    const middle = new IntersectionObserver(([entry]) => setPlaying(entry.isIntersecting), {
      rootMargin: "-38% 0px",
    });
    middle.observe(box.current);
    return () => middle.disconnect();
  }, []);
  const onPointer = (/** @type {boolean} */ isOver) => (/** @type {PointerEvent} */ event) => {
    if (event.pointerType === "mouse") setPlaying(isOver);
  };
  const onFocus = () => {
    selection.current.value = index;
    if (!isTouch()) setPlaying(true);
  };
  const label = [nameOf(tile), lengthOf(tile), mark, tile.starred && TILE_TEXTS.starred];
  return html`
    <div
      class=${`k-item${isSelected ? " k-item-on" : ""}`}
      id=${`k-item-${tile.id}`}
      role="option"
      aria-selected=${String(isSelected)}
      aria-label=${label.filter(Boolean).join(", ")}
      aria-setsize=${total ?? -1}
      aria-posinset=${index + 1}
      tabIndex=${isCurrent ? 0 : -1}
      data-index=${index}
      data-state=${tile.state}
      style=${place}
      ref=${box}
      onPointerEnter=${onPointer(true)}
      onPointerLeave=${onPointer(false)}
      onFocus=${onFocus}
      onBlur=${() => !isTouch() && setPlaying(false)}
    >
      <div class="k-item-picture">
        <${TilePicture} tile=${tile} isPlaying=${isPlaying && !prefersReducedMotion()} />
        <span class="k-item-mark" hidden=${!mark}>${mark}</span>
        <span class="k-item-length" hidden=${tile.state !== "succeeded"}>${lengthOf(tile)}</span>
        <span class="k-item-check" data-act="check"><${Icon} name="check" /></span>
        <span class=${`k-item-star${tile.starred ? " k-item-starred" : ""}`} data-act="star">
          <${Icon} name="star" />
        </span>
      </div>
      <span class="k-item-caption" dir="auto">${nameOf(tile)}</span>
    </div>
  `;
}

/** @param {{ tile: Tile, isPlaying: boolean }} props */
function TilePicture({ tile, isPlaying }) {
  // Signed addresses change: what was loaded first stays.
  const [poster] = useState(fileUrl(tile, "poster"));
  const [clip] = useState(fileUrl(tile, "clip"));
  if (isActive(tile)) {
    const job = /** @type {Job} */ (/** @type {unknown} */ (tile));
    return tile.preview
      ? html`<${PreviewCanvas} class="k-item-layer" job=${job} isShown=${true} />`
      : null;
  }
  if (tile.state !== "succeeded") return null;
  return html`
    <img class="k-item-layer" src=${poster} alt="" draggable=${false} decoding="async" />
    ${
      isPlaying &&
      (isFilm(tile.format) || isMovingPicture(tile.format)) &&
      (isMovingPicture(tile.format)
        ? html`<img class="k-item-layer" src=${clip} alt="" draggable=${false} />`
        : html`<video class="k-item-layer" src=${clip} muted loop autoplay playsInline tabIndex="-1" aria-hidden="true"></video>`)
    }
  `;
}
