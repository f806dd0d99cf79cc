// @ts-check
/* What the panel shows: the first seconds of what would come out, or the frame of the clip that a
   handle is on. The box stays the same. */
import { fileUrl } from "../api.js";
import { isFilm, isMovingPicture } from "../clip_kinds.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { prefersReducedMotion } from "../motion.js";

/** @import { EditedClip } from "./editing.d.ts" */

const TEXTS = {
  preview: "Preview of the first seconds",
  original: "The clip as it is",
  making: "Making a preview…",
};

/**
 * @param {object} props
 * @param {EditedClip} props.clip
 * @param {string} props.src
 * @param {number | null} props.shown the time of the clip's frame to show instead of the preview
 * @param {{ url: string, isWaiting: boolean }} props.preview
 */
export function EditMonitor({ clip, src, shown, preview }) {
  const source = useRef(/** @type {HTMLVideoElement | null} */ (null));
  useLayoutEffect(() => {
    if (source.current && shown !== null) source.current.currentTime = shown;
  }, [shown]);
  const isPicture = !isFilm(clip.format);
  const [poster] = useState(fileUrl({ id: clip.id, signed: clip.signed }, "poster"));
  const isPreview = shown === null && preview.url !== "";
  const caption = preview.isWaiting ? TEXTS.making : isPreview ? TEXTS.preview : TEXTS.original;
  return html`
    <figure class="k-monitor">
      <div class="k-monitor-box">
        <img class=${isPreview ? "" : "k-on"} src=${isMovingPicture(clip.format) ? src : poster} alt="" />
        ${
          !isPicture &&
          html`<video
            class=${isPreview ? "" : "k-on"}
            src=${src}
            muted
            playsInline
            preload="auto"
            tabIndex="-1"
            aria-hidden="true"
            ref=${source}
          ></video>`
        }
        ${
          preview.url &&
          html`<video
            class=${`k-monitor-preview${isPreview ? " k-on" : ""}`}
            key=${preview.url}
            src=${preview.url}
            aria-label=${TEXTS.preview}
            muted
            loop
            playsInline
            autoplay=${!prefersReducedMotion()}
            controls=${prefersReducedMotion()}
            tabIndex="-1"
          ></video>`
        }
      </div>
      <figcaption class="k-note"><span role="status">${caption}</span></figcaption>
    </figure>
  `;
}
