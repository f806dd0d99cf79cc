// @ts-check
/* One clip on the track, with the joint before it: dragged to another place, its ends dragged to
   trim it, all of it with the keyboard as well. */
import { Icon } from "../components/icon.js";
import { html, useLayoutEffect, useRef } from "../html.js";
import { showUpload } from "../visitor.js";
import { nameOfChoice } from "./operation_fields.js";
import { lengthOfItem } from "./timeline_state.js";
import { TrimHandle, timeText } from "./trim_handle.js";

/** @import { Item } from "./editing.d.ts" */

const TEXTS = {
  clip: (/** @type {number} */ n, /** @type {number} */ of, /** @type {string} */ name) =>
    `Clip ${n} of ${of}: ${name}`,
  joint: (/** @type {number} */ n, /** @type {number} */ m, /** @type {string} */ label) =>
    `Joint between clips ${n} and ${m}: ${label}`,
  start: (/** @type {number} */ n) => `Start of clip ${n}`,
  end: (/** @type {number} */ n) => `End of clip ${n}`,
};
const DRAG_PX = 6;

/**
 * @param {object} props
 * @param {Item} props.item
 * @param {number} props.index
 * @param {number} props.count
 * @param {"clip" | "joint" | ""} props.selected
 * @param {number} props.pixelsPerSecond
 * @param {(what: "clip" | "joint") => void} props.onSelect
 * @param {(to: number) => void} props.onMove
 * @param {(to: number) => void} props.onFocusOther
 * @param {() => void} props.onRemove
 * @param {(part: Partial<Item>, shown_s: number) => void} props.onTrim
 */
export function TimelineClip(props) {
  const { item, index, count, selected, pixelsPerSecond, onSelect, onMove, onTrim } = props;
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const frame = (/** @type {number} */ time_s) => Math.round(time_s * item.fps);
  const last = Math.max(1, frame(item.duration_s));

  const latest = useRef(props);
  latest.current = props;
  /** Follows the pointer on the whole page: what is moved to another place loses its capture. */
  const onPointerDown = (/** @type {PointerEvent} */ event) => {
    if (event.pointerType === "touch" || event.button) return; // a finger scrolls the track
    const from = event.clientX;
    let isDragged = false;
    const onPointerMove = (/** @type {PointerEvent} */ moved) => {
      isDragged ||= Math.abs(moved.clientX - from) > DRAG_PX;
      const to = isDragged ? placeAt(moved.clientX) : latest.current.index;
      if (to !== latest.current.index) latest.current.onMove(to);
    };
    const release = () => {
      removeEventListener("pointermove", onPointerMove);
      removeEventListener("pointerup", release);
      removeEventListener("pointercancel", release);
    };
    addEventListener("pointermove", onPointerMove);
    addEventListener("pointerup", release);
    addEventListener("pointercancel", release);
  };
  /** Beyond the middle of a neighbour is its place. @param {number} x */
  const placeAt = (x) => {
    const { index, count } = latest.current;
    const clips = [...(place.current?.parentElement?.querySelectorAll(".k-tl-clip") ?? [])];
    const middle = (/** @type {number} */ at) => {
      const { left, width } = clips[at].getBoundingClientRect();
      return left + width / 2;
    };
    if (index > 0 && x < middle(index - 1)) return index - 1;
    return index < count - 1 && x > middle(index + 1) ? index + 1 : index;
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && event.altKey) onMove(index + by);
    else if (by) props.onFocusOther(index + by);
    else if (event.key === "Delete" || event.key === "Backspace") props.onRemove();
    else return;
    event.preventDefault();
  };
  const trimStart = (/** @type {number} */ to) =>
    onTrim({ start_s: to / item.fps }, (to + 0.5) / item.fps);
  const trimEnd = (/** @type {number} */ to) =>
    onTrim({ end_s: to >= last ? item.duration_s : to / item.fps }, (to - 0.5) / item.fps);
  const framesPerPixel = () => item.fps / pixelsPerSecond;
  const label = TEXTS.clip(index + 1, count, item.name);
  return html`
    <li class="k-tl-place" ref=${place}>
      ${
        index > 0 &&
        html`<button
          class=${`k-tl-joint${item.joint.transition === "cut" ? "" : " k-tl-fades"}`}
          type="button"
          aria-label=${TEXTS.joint(index, index + 1, nameOfChoice(item.joint.transition))}
          title=${nameOfChoice(item.joint.transition)}
          aria-pressed=${String(selected === "joint")}
          onClick=${() => onSelect("joint")}
        >
          <${Icon} name="join" />
        </button>`
      }
      <div class=${`k-tl-clip${selected === "clip" ? " k-tl-on" : ""}`} style=${{ width: `${lengthOfItem(item) * pixelsPerSecond}px` }}>
        <button
          class="k-tl-body"
          type="button"
          data-clip=${item.key}
          aria-label=${label}
          aria-pressed=${String(selected === "clip")}
          aria-keyshortcuts="Alt+ArrowLeft Alt+ArrowRight Delete"
          onPointerDown=${onPointerDown}
          onKeyDown=${onKeyDown}
          onClick=${() => onSelect("clip")}
        >
          <${ClipPicture} item=${item} />
          <span class="k-tl-length" translate="no">${timeText(lengthOfItem(item))}</span>
        </button>
        <${TrimHandle}
          side="start"
          label=${TEXTS.start(index + 1)}
          frame=${frame(item.start_s)}
          min=${0}
          max=${frame(item.end_s) - 1}
          fps=${item.fps}
          framesPerPixel=${framesPerPixel}
          onMove=${trimStart}
        />
        <${TrimHandle}
          side="end"
          label=${TEXTS.end(index + 1)}
          frame=${frame(item.end_s)}
          min=${frame(item.start_s) + 1}
          max=${last}
          fps=${item.fps}
          framesPerPixel=${framesPerPixel}
          onMove=${trimEnd}
        />
      </div>
    </li>
  `;
}

/** @param {{ item: Item }} props */
function ClipPicture({ item }) {
  const video = useRef(/** @type {HTMLVideoElement | null} */ (null));
  useLayoutEffect(() => {
    if (video.current) showUpload(video.current, item.id).catch(() => {});
  }, [item.id]);
  if (item.poster) {
    return html`<span class="k-tl-film" style=${{ "background-image": `url("${item.poster}")` }}></span>`;
  }
  return html`<video class="k-tl-film" muted playsInline preload="metadata" tabIndex="-1" aria-hidden="true" ref=${video}></video>`;
}
