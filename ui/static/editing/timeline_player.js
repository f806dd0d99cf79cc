// @ts-check
/* Plays the timeline through, as near to the file as a browser can: the clips one after the other
   with their fades, and the music. A clock leads; the clips follow it. */
import { Icon } from "../components/icon.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { showUpload } from "../visitor.js";
import { lengthOfItem } from "./timeline_state.js";
import { timeText } from "./trim_handle.js";

/** @import { Item, Music } from "./editing.d.ts" */
/** @typedef {ReturnType<typeof import("./timeline_state.js").planOf>} Plan */

const TEXTS = { play: "Play", pause: "Pause", time: "Time", label: "Play the timeline" };
const MOST_DRIFT_S = 0.25;
const clamp = (/** @type {number} */ value) => Math.max(0, Math.min(1, value));

/**
 * @param {object} props
 * @param {Item[]} props.items
 * @param {Plan} props.plan
 * @param {Music | null} props.music
 * @param {number} props.ownVolume
 * @param {{ key: number, time_s: number } | null} props.shown a frame of one clip, while it is trimmed
 * @param {() => void} props.onPlay
 */
export function TimelinePlayer({ items, plan, music, ownVolume, shown, onPlay }) {
  const [time, setTime] = useState(0);
  const [isPlaying, setPlaying] = useState(false);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const audio = useRef(/** @type {HTMLAudioElement | null} */ (null));
  const state = useRef({ items, plan, music, ownVolume });
  state.current = { items, plan, music, ownVolume };

  /** Puts every clip where it is at that time. @param {number} now @param {boolean} runs */
  const follow = (now, runs) => {
    const { items, plan, music, ownVolume } = state.current;
    items.forEach((item, index) => {
      const player = box.current?.querySelector(`[data-player="${item.key}"]`);
      if (!(player instanceof HTMLElement)) return;
      const { start, overlap } = plan.places[index];
      const local = now - start;
      const isLast = index === items.length - 1;
      const isOn = local >= 0 && (local < lengthOfItem(item) || isLast);
      const share = overlap > 0 ? clamp(local / overlap) : 1;
      player.style.opacity = String(isOn ? share : 0);
      if (!(player instanceof HTMLVideoElement)) return;
      const wanted = item.start_s + Math.min(Math.max(0, local), lengthOfItem(item) - 0.01);
      player.volume = clamp(ownVolume * (isOn ? share : 0));
      if (isOn && Math.abs(player.currentTime - wanted) > (runs ? MOST_DRIFT_S : 0.01)) {
        player.currentTime = wanted;
      }
      if (isOn && runs && player.paused) player.play().catch(() => {});
      if ((!isOn || !runs) && !player.paused) player.pause();
    });
    const tune = audio.current;
    if (!tune || !music) return;
    const local = now - music.at_s;
    const left = plan.total - now;
    tune.volume = clamp(music.volume * (music.fade_out_s ? clamp(left / music.fade_out_s) : 1));
    const wanted = tune.duration ? local % tune.duration : local;
    if (local >= 0 && Math.abs(tune.currentTime - wanted) > MOST_DRIFT_S) tune.currentTime = wanted;
    if (local >= 0 && runs && tune.paused) tune.play().catch(() => {});
    if ((local < 0 || !runs) && !tune.paused) tune.pause();
  };

  useLayoutEffect(() => {
    if (!isPlaying) {
      follow(time, false);
      return;
    }
    const begun = performance.now() - 1000 * (time >= plan.total ? 0 : time);
    let next = 0;
    const tick = () => {
      const now = Math.min((performance.now() - begun) / 1000, state.current.plan.total);
      const isOver = now >= state.current.plan.total;
      setTime(now);
      follow(now, !isOver);
      if (isOver) setPlaying(false);
      else next = requestAnimationFrame(tick);
    };
    tick();
    return () => cancelAnimationFrame(next);
  }, [isPlaying]);
  useLayoutEffect(() => {
    if (!isPlaying) follow(Math.min(time, plan.total), false);
  }, [time, items, isPlaying]);
  useLayoutEffect(() => {
    if (!shown) return;
    setPlaying(false);
    const index = items.findIndex(({ key }) => key === shown.key);
    const item = items[index];
    if (item) setTime(Math.max(0, plan.places[index].start + shown.time_s - item.start_s));
  }, [shown]);

  const toggle = () => {
    onPlay();
    setPlaying(!isPlaying);
  };
  const at = Math.min(time, plan.total);
  return html`
    <div class="k-tl-player" role="group" aria-label=${TEXTS.label}>
      <div class="k-monitor-box" ref=${box}>
        ${items.map((item) => html`<${Player} key=${item.key} item=${item} />`)}
        ${music && html`<audio src=${music.src} preload="auto" ref=${audio}></audio>`}
      </div>
      <div class="k-player-bar" dir="ltr">
        <button class="k-verb" type="button" aria-label=${isPlaying ? TEXTS.pause : TEXTS.play} onClick=${toggle}>
          <${Icon} name=${isPlaying ? "pause" : "play"} />
        </button>
        <input
          class="k-player-time"
          type="range"
          min="0"
          max=${plan.total}
          step="0.01"
          value=${at}
          aria-label=${TEXTS.time}
          aria-valuetext=${timeText(at)}
          onInput=${(/** @type {Event} */ event) => {
            setPlaying(false);
            setTime(Number(/** @type {HTMLInputElement} */ (event.target).value));
          }}
        />
        <span class="k-tl-now" translate="no"><bdi>${timeText(at)}</bdi> / <bdi>${timeText(plan.total)}</bdi></span>
      </div>
    </div>
  `;
}

/** @param {{ item: Item }} props */
function Player({ item }) {
  const video = useRef(/** @type {HTMLVideoElement | null} */ (null));
  useLayoutEffect(() => {
    if (!video.current) return;
    if (item.src) video.current.src = item.src;
    else showUpload(video.current, item.id).catch(() => {});
  }, [item.id]);
  if (item.isPicture)
    return html`<img class="k-tl-layer" data-player=${item.key} src=${item.src} alt="" />`;
  return html`<video
    class="k-tl-layer"
    data-player=${item.key}
    poster=${item.poster || undefined}
    playsInline
    preload="auto"
    tabIndex="-1"
    aria-hidden="true"
    ref=${video}
  ></video>`;
}
