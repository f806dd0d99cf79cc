// @ts-check
/* The ring around the stage, or in a cell of a grid, drawn clockwise from the top as the clip is
   made. */
import { html, useLayoutEffect, useSignal, useState } from "../html.js";
import { isActive } from "../store.js";

const LENGTH = 1000;
const MARGIN = 16;
const EDGE = 2;
const RADIUS = 20;
const STOPS = [
  ["0", "#6d4aff"],
  ["0.55", "#2f7bff"],
  ["1", "#ff8a3d"],
];

/** @param {number} w @param {number} h @param {number} r */
const outline = (w, h, r) => {
  const corner = (/** @type {number} */ x, /** @type {number} */ y) => `a${r} ${r} 0 0 1 ${x} ${y}`;
  return (
    `M${w / 2} ${EDGE}H${w - r - EDGE}${corner(r, r)}V${h - r - EDGE}${corner(-r, r)}` +
    `H${r + EDGE}${corner(-r, -r)}V${r + EDGE}${corner(r, -r)}Z`
  );
};

/**
 * @typedef {import("./stage.js").Ref<HTMLElement>} Box
 * @param {{ tab: import("../store.js").TabState, box: Box }} props
 */
export function StageRing({ tab, box }) {
  const job = useSignal(tab.job);
  const done = job && isActive(job) ? job.ring : job ? 1 : 0;
  return html`<${ProgressRing} done=${done} isStarted=${Boolean(job)} box=${box} />`;
}

/**
 * @param {object} props
 * @param {number} props.done 0 to 1
 * @param {boolean} [props.isStarted]
 * @param {Box} props.box that it goes around
 * @param {number} [props.margin] between the box and the ring, both sides together
 * @param {number} [props.radius]
 */
export function ProgressRing({ done, isStarted = true, box, margin = MARGIN, radius = RADIUS }) {
  const [path, setPath] = useState("");
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      const { offsetWidth, offsetHeight } = element;
      if (offsetWidth) setPath(outline(offsetWidth + margin, offsetHeight + margin, radius));
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const drawn = isStarted ? Math.max(done, 0.004) : 0;
  return html`
    <svg class="k-ring" aria-hidden="true">
      <defs>
        <linearGradient id="k-ring-light" x1="1" y1="0" x2="0" y2="1">
          ${STOPS.map(([offset, color]) => html`<stop offset=${offset} stop-color=${color} />`)}
        </linearGradient>
      </defs>
      <path class="k-ring-track" pathLength=${LENGTH} d=${path} />
      <path
        class="k-ring-fill"
        pathLength=${LENGTH}
        d=${path}
        style=${{ strokeDashoffset: String(LENGTH * (1 - drawn)) }}
      />
    </svg>
  `;
}
