// @ts-check
/* The picture as it will be cropped; the crop is moved by dragging or with the arrow keys. */
import { setFocus } from "../actions.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";

/**
 * @import { CroppedPicture } from "../types.d.ts"
 * @import { TabState } from "../store.js"
 * @import { Ref } from "./stage.js"
 */

/** @type {Record<string, [dx: number, dy: number]>} */
const KEY_STEPS = {
  ArrowLeft: [8, 0],
  ArrowRight: [-8, 0],
  ArrowUp: [0, 8],
  ArrowDown: [0, -8],
};

/** @param {number} value */
const clamp = (value) => Math.min(1, Math.max(0, value));

/**
 * How many pixels of the picture are outside the stage, either way.
 * @param {HTMLElement} crop
 * @param {CroppedPicture} picture
 */
function sparePixels(crop, { width, height }) {
  const box = crop.getBoundingClientRect();
  const scale = Math.max(box.width / width, box.height / height);
  return { x: width * scale - box.width, y: height * scale - box.height };
}

/**
 * @param {object} props
 * @param {TabState} props.tab
 * @param {{ type: string, word: string }} props.kind
 * @param {CroppedPicture | null} props.picture
 * @param {Ref<HTMLImageElement | HTMLVideoElement>} props.media
 */
export function PictureCrop({ tab, kind, picture, media }) {
  const crop = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const from = useRef(/** @type {{ x: number, y: number } | null} */ (null));
  const [isHeld, setHeld] = useState(false);
  const [isMovable, setMovable] = useState(false);

  useLayoutEffect(() => {
    const element = crop.current;
    if (!element) return;
    const measure = () => {
      const now = tab.picture.peek();
      const spare = now && sparePixels(element, now);
      setMovable(spare !== null && (spare.x > 1 || spare.y > 1));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [picture?.id]);

  const move = (/** @type {number} */ dx, /** @type {number} */ dy) => {
    const now = tab.picture.peek(); // several moves may come before the next rendering
    if (!now || !crop.current) return;
    const spare = sparePixels(crop.current, now);
    setFocus(tab, {
      x: spare.x > 1 ? clamp(now.focus.x - dx / spare.x) : now.focus.x,
      y: spare.y > 1 ? clamp(now.focus.y - dy / spare.y) : now.focus.y,
    });
  };
  const onPointerDown = (/** @type {PointerEvent} */ event) => {
    if (!picture) return;
    from.current = { x: event.clientX, y: event.clientY };
    crop.current?.setPointerCapture(event.pointerId);
    setHeld(true);
  };
  const onPointerMove = (/** @type {PointerEvent} */ event) => {
    if (!from.current) return;
    move(event.clientX - from.current.x, event.clientY - from.current.y);
    from.current = { x: event.clientX, y: event.clientY };
  };
  const release = () => {
    from.current = null;
    setHeld(false);
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const step = KEY_STEPS[event.key];
    if (!step || !picture) return;
    event.preventDefault();
    move(...step);
  };

  const position = picture && `${100 * picture.focus.x}% ${100 * picture.focus.y}%`;
  const style = position ? { objectPosition: position } : {};
  const isVideo = kind.type === "video";
  return html`
    <div
      class=${`k-crop${isMovable ? " k-movable" : ""}${isHeld ? " k-held" : ""}`}
      role="group"
      tabIndex=${picture ? 0 : -1}
      aria-hidden=${String(!picture)}
      aria-label=${`Your ${kind.word} as it will be cropped. Drag it, or use the arrow keys, to move the crop.`}
      ref=${crop}
      onPointerDown=${onPointerDown}
      onPointerMove=${onPointerMove}
      onPointerUp=${release}
      onPointerCancel=${release}
      onKeyDown=${onKeyDown}
    >
      ${
        isVideo
          ? html`<video
              class="k-picture"
              muted
              loop
              playsInline
              preload="auto"
              tabIndex="-1"
              aria-hidden="true"
              style=${style}
              ref=${media}
            ></video>`
          : html`<img class="k-picture" alt="" draggable=${false} style=${style} ref=${media} />`
      }
    </div>
  `;
}
