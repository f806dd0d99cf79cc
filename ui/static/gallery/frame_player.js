// @ts-check
/* A clip with its frames: one forward, one back, slower, again and again. */
import { fileUrl } from "../api.js";
import { isFilm, isMovingPicture } from "../clip_kinds.js";
import { Icon } from "../components/icon.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { numberFormat } from "../language.js";
import { prefersReducedMotion } from "../motion.js";
import { nameOf } from "./gallery_tile.js";

/** @import { WholeClip } from "../types.d.ts" */

const TEXTS = {
  controls: "Player",
  play: "Play",
  pause: "Pause",
  back: "One frame back",
  forward: "One frame forward",
  time: "Time",
  speed: "Speed",
  loop: "Loop",
  full: "Full screen",
  frame: (/** @type {string} */ n, /** @type {string} */ of) => `Frame ${n} of ${of}`,
  clip: (/** @type {string} */ name) => `Clip: ${name}`,
};
const SPEEDS = [0.1, 0.25, 0.5, 1, 2];
const NUMBER = numberFormat();
const HALF = 0.5; // a frame begins a moment before or after its time: its middle is always in it

/**
 * @param {object} props
 * @param {WholeClip} props.clip
 * @param {{ current: HTMLVideoElement | null }} props.video
 */
export function FramePlayer({ clip, video }) {
  const [src] = useState(fileUrl(clip, "clip")); // signed addresses change: the first one stays
  const [poster] = useState(fileUrl(clip, "poster"));
  const [frame, setFrame] = useState(0);
  const [isPlaying, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  const [isLooping, setLooping] = useState(true);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const frames = Math.max(1, Math.round(clip.duration_s * clip.fps));

  useLayoutEffect(() => {
    const player = video.current;
    if (!player) return;
    player.muted = false;
    if (prefersReducedMotion()) return;
    player.play().catch(() => {
      player.muted = true; // a browser may refuse sound before the first press
      player.play().catch(() => {});
    });
  }, []);
  useLayoutEffect(() => {
    if (video.current) video.current.playbackRate = speed;
  }, [speed]);
  useLayoutEffect(() => {
    if (!isPlaying) return;
    let next = 0;
    const draw = () => {
      const player = video.current;
      if (player) setFrame(Math.min(frames - 1, Math.floor(player.currentTime * clip.fps)));
      next = requestAnimationFrame(draw);
    };
    draw();
    return () => cancelAnimationFrame(next);
  }, [isPlaying]);

  const show = (/** @type {number} */ wanted) => {
    const player = video.current;
    if (!player) return;
    const to = isLooping ? (wanted + frames) % frames : Math.max(0, Math.min(wanted, frames - 1));
    player.pause();
    player.currentTime = (to + HALF) / clip.fps;
    setFrame(to);
  };
  const toggle = () => {
    if (video.current?.paused) video.current.play().catch(() => {});
    else video.current?.pause();
  };
  useLayoutEffect(() => {
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      const target = event.target instanceof Element ? event.target : null;
      if (target?.closest("input:not([type=range]), select, textarea, dialog")) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === ",") show(frame - 1);
      else if (event.key === ".") show(frame + 1);
      else if (event.key === " " && !target?.closest("button, a, summary")) toggle();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });

  const label = TEXTS.clip(nameOf(clip));
  const style = {
    "aspect-ratio": `${clip.width} / ${clip.height}`,
    "--shape": String(clip.width / clip.height),
  };
  if (!isFilm(clip.format)) {
    const shown = isMovingPicture(clip.format) ? src : poster;
    return html`<div class="k-player"><div class="k-player-picture" style=${style}><img src=${shown} alt=${label} /></div></div>`;
  }
  const button = (
    /** @type {string} */ icon,
    /** @type {string} */ text,
    /** @type {() => void} */ onClick,
    /** @type {string} */ key = "",
  ) => html`<button class="k-verb" type="button" aria-label=${text} title=${key ? `${text} (${key})` : text} onClick=${onClick}>
    <${Icon} name=${icon} />
  </button>`;
  return html`
    <div class="k-player" ref=${box}>
      <div class="k-player-picture" style=${style}>
        <video
          src=${src}
          poster=${poster}
          aria-label=${label}
          playsInline
          loop=${isLooping}
          preload="auto"
          tabIndex="-1"
          ref=${video}
          onPlay=${() => setPlaying(true)}
          onPause=${() => setPlaying(false)}
          onClick=${toggle}
        ></video>
      </div>
      <div class="k-player-bar" role="group" aria-label=${TEXTS.controls}>
        ${button("frameBack", TEXTS.back, () => show(frame - 1), ",")}
        ${button(isPlaying ? "pause" : "play", isPlaying ? TEXTS.pause : TEXTS.play, toggle)}
        ${button("frameOn", TEXTS.forward, () => show(frame + 1), ".")}
        <input
          class="k-player-time"
          type="range"
          min="0"
          max=${frames - 1}
          value=${frame}
          aria-label=${TEXTS.time}
          aria-valuetext=${TEXTS.frame(NUMBER.format(frame + 1), NUMBER.format(frames))}
          onInput=${(/** @type {Event} */ event) => show(Number(/** @type {HTMLInputElement} */ (event.target).value))}
        />
        <span class="k-player-frame">${TEXTS.frame(NUMBER.format(frame + 1), NUMBER.format(frames))}</span>
        <select
          class="k-filter"
          aria-label=${TEXTS.speed}
          onChange=${(/** @type {Event} */ event) => setSpeed(Number(/** @type {HTMLSelectElement} */ (event.target).value))}
        >
          ${SPEEDS.map((each) => html`<option value=${each} selected=${each === speed} key=${each}>${NUMBER.format(each)}×</option>`)}
        </select>
        <button class="k-verb" type="button" aria-pressed=${String(isLooping)} title=${TEXTS.loop} aria-label=${TEXTS.loop} onClick=${() => setLooping(!isLooping)}>
          <${Icon} name="again" />
        </button>
        ${document.fullscreenEnabled && button("full", TEXTS.full, () => box.current?.requestFullscreen?.().catch(() => {}))}
      </div>
    </div>
  `;
}
