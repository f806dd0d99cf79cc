// @ts-check
/* One clip in the list: its preview while it is made, then the clip, which plays when it is seen. */
import { fileUrl } from "../api.js";
import { deleteClip, openClip } from "../clips.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { prefersReducedMotion } from "../motion.js";
import { isActive } from "../store.js";
import { scrollToStage } from "../tabs.js";
import { Icon } from "./icon.js";
import { PreviewCanvas } from "./preview_canvas.js";

/**
 * @import { Job } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

/** @param {Job} clip */
function markOf(clip) {
  if (isActive(clip)) return `${Math.round(100 * clip.ring)} %`;
  return clip.state === "failed" ? "Failed" : clip.state === "gone" ? "Gone" : "";
}

/** @param {Job} clip */
const open = (clip) => openClip(clip, () => scrollToStage(clip.task));

/** @param {{ clip: Job }} props */
export function ClipTile({ clip }) {
  const [isConfirming, setConfirming] = useState(false); // whether it shall really be deleted
  const opener = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const mark = markOf(clip);
  const name = clip.prompt || "clip from a picture";
  const label = clip.prompt || "Clip from a picture";
  const remove = () => {
    if (isConfirming) deleteClip(clip);
    else setConfirming(true);
  };
  return html`
    <li
      class=${`k-tile${isConfirming ? " k-sure" : ""}`}
      data-state=${clip.state}
      onMouseLeave=${() => setConfirming(false)}
    >
      <button
        class="k-tile-open"
        type="button"
        aria-label=${`${label}, ${clip.state === "succeeded" ? "ready" : clip.line}`}
        ref=${opener}
        onClick=${() => open(clip)}
      >
        <div class="k-tile-picture" style=${{ "--ratio": String(clip.width / clip.height) }}>
          <${TilePicture} clip=${clip} opener=${opener} />
        </div>
        <span class="k-tile-mark" hidden=${!mark}>${mark}</span>
        <span class="k-tile-caption" translate=${clip.prompt ? "no" : "yes"}>${clip.prompt || "From a picture"}</span>
      </button>
      <button
        class="k-tool k-tile-bin"
        type="button"
        aria-label=${isConfirming ? "Press again to delete this clip for good" : `Delete: ${name}`}
        hidden=${isActive(clip)}
        onClick=${remove}
      >
        <${Icon} name="bin" />
      </button>
    </li>
  `;
}

/** @param {{ clip: Job, opener: Ref<HTMLElement> }} props */
function TilePicture({ clip, opener }) {
  const hasPreview = useRef(false);
  if (isActive(clip) && clip.preview) hasPreview.current = true;
  if (clip.state === "succeeded") return html`<${TileClip} clip=${clip} opener=${opener} />`;
  if (!hasPreview.current) return null;
  const job = isActive(clip) ? clip : null;
  return html`<${PreviewCanvas} class="k-tile-strip" job=${job} isShown=${true} />`;
}

/** @param {{ clip: Job, opener: Ref<HTMLElement> }} props */
function TileClip({ clip, opener }) {
  const video = /** @type {Ref<HTMLVideoElement>} */ (useRef(null));
  const newest = useRef(clip); // a newer signed address may arrive before it is first played
  newest.current = clip;
  // Signed addresses change with every state: what was loaded first stays.
  const [clipUrl] = useState(fileUrl(clip, "clip"));
  const [posterUrl] = useState(fileUrl(clip, "poster"));
  useLayoutEffect(() => {
    const player = video.current;
    const button = opener.current;
    if (!player || !button || prefersReducedMotion()) return;
    const play = () => {
      if (!player.src) player.src = fileUrl(newest.current, "clip");
      player.play().catch(() => {});
    };
    const pause = () => player.pause();
    const seen = new IntersectionObserver(([entry]) => (entry.isIntersecting ? play() : pause()), {
      threshold: 0.5,
    });
    seen.observe(player);
    const listeners = /** @type {const} */ ([
      ["pointerenter", play],
      ["focus", play],
      ["pointerleave", pause],
      ["blur", pause],
    ]);
    for (const [event, listener] of listeners) button.addEventListener(event, listener);
    return () => {
      seen.disconnect();
      for (const [event, listener] of listeners) button.removeEventListener(event, listener);
    };
  }, []);
  if (clip.format === "gif") return html`<img src=${clipUrl} alt="" loading="lazy" />`;
  return html`
    <video
      poster=${posterUrl}
      muted
      loop
      playsInline
      preload="none"
      tabIndex="-1"
      aria-hidden="true"
      ref=${video}
    ></video>
  `;
}
