// @ts-check
/* Two to four clips side by side, in step: they start together, stop together, and show the same
   moment. */
import { fileUrl, problemOf, requestJson } from "../api.js";
import { Icon } from "../components/icon.js";
import { ClipClock } from "../drawing/clip_clock.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { numberFormat } from "../language.js";
import { prefersReducedMotion } from "../motion.js";
import { goTo, goToAll } from "./address.js";
import { nameOf } from "./gallery_tile.js";

/** @import { Problem, Tile } from "../types.d.ts" */

const TEXTS = {
  back: "All clips",
  title: "Side by side",
  play: "Play all clips",
  pause: "Pause all clips",
  before: "One frame back",
  after: "One frame forward",
  time: "Time",
  open: (/** @type {string} */ name) => `Open: ${name}`,
  facts: (/** @type {Tile} */ { model, width, height }) => `${model} · ${width} × ${height}`,
  none: "These clips are not here any more.",
};
const TICK_MS = 100;
const HALF = 0.5;
const SECONDS = numberFormat({
  style: "unit",
  unit: "second",
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
});

/** @param {{ ids: string[] }} props */
export function CompareView({ ids }) {
  const [clips, setClips] = useState(/** @type {Tile[] | null} */ (null));
  const [problem, setProblem] = useState(/** @type {Problem | null} */ (null));
  const [isPlaying, setPlaying] = useState(!prefersReducedMotion());
  const [time, setTime] = useState(0);
  const clock = useRef(/** @type {ClipClock | null} */ (null));
  const back = useRef(/** @type {HTMLElement | null} */ (null));
  clock.current ??= new ClipClock();

  useLayoutEffect(() => {
    back.current?.focus({ preventScroll: true });
    requestJson(`/gallery/clips?ids=${ids.join(",")}`).then(
      (found) => setClips(found.clips),
      (error) => setProblem(problemOf(error)),
    );
  }, []);
  useLayoutEffect(() => {
    const running = clock.current;
    if (!isPlaying || !running) return;
    running.play();
    const timer = setInterval(() => setTime(running.time), TICK_MS);
    return () => {
      clearInterval(timer);
      running.pause();
    };
  }, [isPlaying, clips]);

  const longest = Math.max(0.1, ...(clips ?? []).map(({ duration_s }) => duration_s));
  const fps = Math.max(1, ...(clips ?? []).map((clip) => clip.fps));
  /** All of them at that moment, standing still. */
  const show = (/** @type {number} */ wanted) => {
    const to = Math.max(0, Math.min(wanted, longest - HALF / fps));
    setPlaying(false);
    setTime(to);
    if (!clock.current) return;
    clock.current.pause();
    clock.current.time = to;
    for (const video of clock.current.videos)
      video.currentTime = Math.min(to, Math.max(0, video.duration - HALF / fps));
  };
  const frame = Math.floor(time * fps + 0.01);
  const showFrame = (/** @type {number} */ n) => show((n + HALF) / fps);
  useLayoutEffect(() => {
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      const target = event.target instanceof Element ? event.target : null;
      if (event.key === ",") showFrame(frame - 1);
      else if (event.key === ".") showFrame(frame + 1);
      else if (event.key === " " && !target?.closest("button")) setPlaying(!isPlaying);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });

  return html`
    <div class="k-compare-view">
      <header class="k-gallery-row">
        <button class="k-verb" type="button" title="Escape" ref=${back} onClick=${goToAll}>
          <${Icon} name="back" />${TEXTS.back}
        </button>
        <h1 class="k-gallery-title">${TEXTS.title}</h1>
      </header>
      ${problem && html`<p class="k-gallery-problem" role="alert">${problem.message} ${problem.remedy}</p>`}
      ${clips?.length === 0 && html`<p class="k-gallery-problem" role="alert">${TEXTS.none}</p>`}
      <div class=${`k-compared k-compared-${clips?.length ?? ids.length}`} style=${{ "--clips": String(Math.max(1, clips?.length ?? ids.length)) }}>
        ${clips?.map((clip) => html`<${Compared} key=${clip.id} clip=${clip} clock=${clock.current} />`)}
      </div>
      <div class="k-player-bar" role="group">
        <button class="k-verb" type="button" aria-label=${TEXTS.before} title=${`${TEXTS.before} (,)`} onClick=${() => showFrame(frame - 1)}>
          <${Icon} name="frameBack" />
        </button>
        <button class="k-verb" type="button" aria-label=${isPlaying ? TEXTS.pause : TEXTS.play} onClick=${() => setPlaying(!isPlaying)}>
          <${Icon} name=${isPlaying ? "pause" : "play"} />
        </button>
        <button class="k-verb" type="button" aria-label=${TEXTS.after} title=${`${TEXTS.after} (.)`} onClick=${() => showFrame(frame + 1)}>
          <${Icon} name="frameOn" />
        </button>
        <input
          class="k-player-time"
          type="range"
          min="0"
          max=${longest}
          step=${1 / fps}
          value=${time}
          aria-label=${TEXTS.time}
          aria-valuetext=${SECONDS.format(time)}
          onInput=${(/** @type {Event} */ event) => show(Number(/** @type {HTMLInputElement} */ (event.target).value))}
        />
        <span class="k-player-frame">${SECONDS.format(time)}</span>
      </div>
    </div>
  `;
}

/** @param {{ clip: Tile, clock: ClipClock | null }} props */
function Compared({ clip, clock }) {
  const video = useRef(/** @type {HTMLVideoElement | null} */ (null));
  const [src] = useState(fileUrl(clip, "clip"));
  const [poster] = useState(fileUrl(clip, "poster"));
  useLayoutEffect(() => {
    const player = video.current;
    if (!player || !clock) return;
    clock.add(player);
    return () => clock.remove(player);
  }, []);
  const name = nameOf(clip);
  return html`
    <figure class="k-compared-clip">
      <div class="k-compared-picture" style=${{ "--shape": String(clip.width / clip.height) }}>
        ${
          clip.format === "gif"
            ? html`<img src=${src} alt=${name} />`
            : html`<video src=${src} poster=${poster} muted playsInline preload="auto" tabIndex="-1" aria-label=${name} ref=${video}></video>`
        }
      </div>
      <figcaption>
        <button class="k-link" type="button" aria-label=${TEXTS.open(name)} onClick=${() => goTo({ clip: clip.id, compared: [] })}>
          <span dir="auto">${name}</span>
        </button>
        <span class="k-note">${TEXTS.facts(clip)}</span>
      </figcaption>
    </figure>
  `;
}
