// @ts-check
/* Plays the finished clip on the stage: an MP4 or WebM in a <video>, a GIF in an <img>; of a file that
   a browser cannot play, its poster. */
import { fileUrl } from "../api.js";
import { isFilm, isMovingPicture } from "../clip_kinds.js";
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { prefersReducedMotion } from "../motion.js";

/** @import { Ref } from "./stage.js" */

/**
 * @param {object} props
 * @param {import("../store.js").TabState} props.tab
 * @param {(clip: HTMLElement & CanvasImageSource) => void} props.onReveal called when it can be seen
 */
export function ClipPlayer({ tab, onReveal }) {
  const job = useSignal(tab.job);
  const turn = useSignal(tab.turn);
  const video = /** @type {Ref<HTMLVideoElement>} */ (useRef(null));
  const image = /** @type {Ref<HTMLImageElement>} */ (useRef(null));
  const [revealed, setRevealed] = useState(/** @type {"video" | "image" | null} */ (null));
  const clip = job?.id && job.state === "succeeded" ? job : null;

  const reveal = (/** @type {"video" | "image"} */ which) => {
    const element = which === "video" ? video.current : image.current;
    if (tab.job.peek()?.state !== "succeeded" || !element?.hasAttribute("src")) return;
    setRevealed(which);
    onReveal(element);
  };

  useLayoutEffect(() => {
    setRevealed(null);
    image.current?.removeAttribute("src");
    video.current?.removeAttribute("src");
    video.current?.load();
  }, [turn]);

  // Signed addresses change with every state: a clip that plays keeps the one that it began with.
  useLayoutEffect(() => {
    const player = video.current;
    if (!clip || !player || !image.current) return;
    if (!isFilm(clip.format)) {
      image.current.alt = `Clip: ${clip.prompt}`;
      image.current.src = fileUrl(clip, isMovingPicture(clip.format) ? "clip" : "poster");
      return;
    }
    player.poster = fileUrl(clip, "poster");
    player.setAttribute("aria-label", `Clip: ${clip.prompt}`);
    player.src = fileUrl(clip, "clip");
    if (prefersReducedMotion()) {
      player.autoplay = false;
      player.controls = true;
      player.addEventListener("loadeddata", () => reveal("video"), { once: true });
    } else player.play().catch(() => reveal("video"));
  }, [turn, clip?.id]);

  const togglePlaying = () => {
    if (video.current?.paused) video.current.play();
    else video.current?.pause();
  };
  const classOf = (/** @type {string} */ which) =>
    `k-layer k-video${revealed === which ? " k-on" : ""}`;
  return html`
    <video
      class=${classOf("video")}
      muted
      loop
      playsInline
      autoplay
      preload="auto"
      tabIndex="-1"
      ref=${video}
      onPlaying=${() => reveal("video")}
      onClick=${togglePlaying}
    ></video>
    <img class=${classOf("image")} alt="" ref=${image} onLoad=${() => reveal("image")} />
  `;
}
