// @ts-check
/* How much of this page can be seen at once: in another site's frame, and above a phone's keyboard.
   The Hub makes a Space's frame as high as the page in it, so `dvh` and `innerHeight` are then what
   the page itself wanted. */

/** @import { Layout } from "./types.d.ts" */

const LEAST_PX = 480;

/** What the frame's outer page has reported, in this page's own pixels. */
let outer = /** @type {{ scrollTop: number, offsetTop: number, clientHeight: number } | null} */ (
  null
);

/**
 * Which part of this page's window can be seen, both ends within it.
 * @returns {Layout}
 */
export function visiblePart() {
  const top = outer ? outer.scrollTop - outer.offsetTop : 0;
  const bottom = outer ? top + outer.clientHeight : innerHeight;
  const within = (/** @type {number} */ y) => Math.max(0, Math.min(y, innerHeight));
  return { top: within(top), bottom: within(bottom) };
}

function measureFrame() {
  // A frame that fills its window reports nothing, and there `dvh` is true; it is never more than the
  // screen, which bounds a frame that grows with the page and reports nothing either.
  const height = outer ? outer.clientHeight - Math.max(0, outer.offsetTop) : screen.availHeight;
  const { style } = document.documentElement;
  style.setProperty("--k-view", `${Math.max(height, LEAST_PX)}px`);
  style.setProperty("--k-unseen", `${innerHeight - visiblePart().bottom}px`);
}

function listenToOuterPage() {
  window.parentIFrame?.getPageInfo((info) => {
    outer = info;
    measureFrame();
  });
}

/** iOS lays its keyboard over fixed elements: the dock is lifted by as much as it covers. */
function liftDock() {
  const { height, offsetTop } = /** @type {VisualViewport} */ (window.visualViewport);
  const covered = Math.max(0, window.innerHeight - height - offsetTop);
  document.documentElement.style.setProperty("--k-lift", `${covered}px`);
}

export function startMeasuring() {
  window.visualViewport?.addEventListener("resize", liftDock);
  window.visualViewport?.addEventListener("scroll", liftDock);
  if (window.self === window.top) return;
  measureFrame();
  addEventListener("resize", measureFrame);
  addEventListener("gradio:iframe-resizer-ready", listenToOuterPage); // the outer page resizes us
  listenToOuterPage();
}
