/* In another site's frame: how much of this page can be seen at once. The Hub makes a Space's frame
   as high as the page in it, so `dvh` and `innerHeight` are then what the page itself asked for. */
import { kinora } from "./core.js";

const LEAST = 480;
let outer = null; // what the frame's outer page has said, in this page's own pixels

const view = () => (outer
  ? { top: outer.scrollTop - outer.offsetTop, bottom: outer.scrollTop + outer.clientHeight - outer.offsetTop }
  : { top: 0, bottom: innerHeight });

/** Which part of this page's window can be seen: {top, bottom}, both within it. */
kinora.seen = () => {
  const { top, bottom } = view();
  return { top: Math.max(0, Math.min(top, innerHeight)), bottom: Math.max(0, Math.min(bottom, innerHeight)) };
};

if (window.self !== window.top) {
  const style = document.documentElement.style;
  const measure = () => {
    // A frame that fills its window says nothing, and there `dvh` is true; it is never more than
    // the screen, which bounds a frame that grows with the page and says nothing either.
    const height = outer ? outer.clientHeight - Math.max(0, outer.offsetTop) : screen.availHeight;
    style.setProperty("--k-view", `${Math.max(height, LEAST)}px`);
    style.setProperty("--k-unseen", `${innerHeight - kinora.seen().bottom}px`);
  };
  const listen = () => window.parentIFrame?.getPageInfo((info) => {
    outer = info;
    measure();
  });
  measure();
  addEventListener("resize", measure);
  addEventListener("gradio:iframe-resizer-ready", listen); // Gradio's word for "the outer page resizes us"
  listen();
}
