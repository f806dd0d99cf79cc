// @ts-check
/* One end of a clip: dragged, or moved frame by frame with the arrow keys. */
import { html, useRef } from "../html.js";
import { numberFormat } from "../language.js";

const SECONDS = numberFormat({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
const MANY_FRAMES = 10;
const TEXTS = { at: (/** @type {string} */ time) => `${time} s` };

/** @param {number} time_s */
export const timeText = (time_s) => TEXTS.at(SECONDS.format(time_s));

/**
 * @param {object} props
 * @param {"start" | "end"} props.side
 * @param {string} props.label
 * @param {number} props.frame
 * @param {number} props.min
 * @param {number} props.max
 * @param {number} props.fps
 * @param {() => number} props.framesPerPixel
 * @param {Record<string, string>} [props.place]
 * @param {(frame: number) => void} props.onMove
 * @param {() => void} [props.onEnd] when it is let go
 */
export function TrimHandle(props) {
  const { side, label, frame, min, max, fps, framesPerPixel, place, onMove, onEnd } = props;
  const grip = useRef(/** @type {{ x: number, frame: number, scale: number } | null} */ (null));
  const move = (/** @type {number} */ to) => onMove(Math.max(min, Math.min(max, Math.round(to))));
  const onPointerDown = (/** @type {PointerEvent} */ event) => {
    event.stopPropagation(); // the clip below can be dragged, too
    /** @type {HTMLElement} */ (event.currentTarget).setPointerCapture(event.pointerId);
    grip.current = { x: event.clientX, frame, scale: framesPerPixel() };
  };
  const onPointerMove = (/** @type {PointerEvent} */ event) => {
    const { current } = grip;
    if (current) move(current.frame + (event.clientX - current.x) * current.scale);
  };
  const release = () => {
    if (grip.current) onEnd?.();
    grip.current = null;
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const step = event.shiftKey ? MANY_FRAMES : 1;
    /** @type {Record<string, number>} */
    const steps = {
      ArrowLeft: frame - step,
      ArrowDown: frame - step,
      ArrowRight: frame + step,
      ArrowUp: frame + step,
      Home: min,
      End: max,
    };
    const to = steps[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    move(to);
    onEnd?.();
  };
  return html`
    <div
      class=${`k-trim-handle k-trim-${side}`}
      role="slider"
      tabIndex="0"
      aria-label=${label}
      aria-valuemin=${min}
      aria-valuemax=${max}
      aria-valuenow=${frame}
      aria-valuetext=${timeText(frame / fps)}
      style=${place}
      onPointerDown=${onPointerDown}
      onPointerMove=${onPointerMove}
      onPointerUp=${release}
      onPointerCancel=${release}
      onKeyDown=${onKeyDown}
    ></div>
  `;
}
