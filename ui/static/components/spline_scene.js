// @ts-check
/* The operator's Spline scene, in the aura's place while nothing else is on the stage. It comes from
   another host, so it is in a frame of its own, gets no presses and sees nothing of the page. */
import { html, useState } from "../html.js";
import { prefersReducedMotion } from "../motion.js";

/** @param {{ url: string | null, isAtRest: boolean }} props */
export function SplineScene({ url, isAtRest }) {
  const [isLoaded, setLoaded] = useState(false);
  if (!url || !isAtRest || prefersReducedMotion()) return null;
  return html`
    <iframe
      class=${`k-layer k-scene${isLoaded ? " k-on" : ""}`}
      src=${url}
      title=""
      aria-hidden="true"
      tabIndex="-1"
      loading="lazy"
      referrerPolicy="no-referrer"
      sandbox="allow-scripts allow-same-origin"
      onLoad=${() => setLoaded(true)}
    ></iframe>
  `;
}
