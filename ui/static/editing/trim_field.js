// @ts-check
/* Trim: two handles over the clip, and buttons that move each by one frame. */
import { Icon } from "../components/icon.js";
import { html, useRef } from "../html.js";
import { TrimHandle, timeText } from "./trim_handle.js";

const TEXTS = {
  start: "Start",
  end: "End",
  startBack: "Start one frame earlier",
  startOn: "Start one frame later",
  endBack: "End one frame earlier",
  endOn: "End one frame later",
};

/**
 * @param {object} props
 * @param {number} props.fps
 * @param {number} props.frames
 * @param {string} props.poster
 * @param {Record<string, unknown>} props.values
 * @param {(values: { start_s: number, end_s: number | null }) => void} props.onChange
 * @param {(time_s: number) => void} props.onShow the frame at that time
 */
export function TrimField({ fps, frames, poster, values, onChange, onShow }) {
  const bar = useRef(/** @type {HTMLElement | null} */ (null));
  const start = Math.round(Number(values.start_s ?? 0) * fps);
  const end = values.end_s == null ? frames : Math.round(Number(values.end_s) * fps);
  const framesPerPixel = () => frames / (bar.current?.getBoundingClientRect().width || frames);
  const set = (/** @type {number} */ from, /** @type {number} */ to) =>
    onChange({ start_s: from / fps, end_s: to >= frames ? null : to / fps });
  const setStart = (/** @type {number} */ frame) => {
    const to = Math.max(0, Math.min(frame, end - 1));
    set(to, end);
    onShow((to + 0.5) / fps);
  };
  const setEnd = (/** @type {number} */ frame) => {
    const to = Math.max(start + 1, Math.min(frame, frames));
    set(start, to);
    onShow((to - 0.5) / fps);
  };
  const place = (/** @type {number} */ frame) => `${(100 * frame) / frames}%`;
  const step = (
    /** @type {"frameBack" | "frameOn"} */ icon,
    /** @type {string} */ text,
    /** @type {() => void} */ onClick,
  ) => html`<button class="k-verb" type="button" aria-label=${text} title=${text} onClick=${onClick}>
    <${Icon} name=${icon} />
  </button>`;
  return html`
    <div class="k-trim" dir="ltr">
      <div class="k-trim-bar" ref=${bar}>
        <div class="k-trim-film" style=${{ "background-image": `url("${poster}")` }}></div>
        <div class="k-trim-kept" style=${{ left: place(start), right: place(frames - end) }}></div>
        <${TrimHandle}
          side="start"
          label=${TEXTS.start}
          frame=${start}
          min=${0}
          max=${end - 1}
          fps=${fps}
          framesPerPixel=${framesPerPixel}
          place=${{ left: place(start) }}
          onMove=${setStart}
        />
        <${TrimHandle}
          side="end"
          label=${TEXTS.end}
          frame=${end}
          min=${start + 1}
          max=${frames}
          fps=${fps}
          framesPerPixel=${framesPerPixel}
          place=${{ left: place(end) }}
          onMove=${setEnd}
        />
      </div>
      <div class="k-trim-steps">
        <span>${step("frameBack", TEXTS.startBack, () => setStart(start - 1))}${timeText(start / fps)}${step("frameOn", TEXTS.startOn, () => setStart(start + 1))}</span>
        <span>${step("frameBack", TEXTS.endBack, () => setEnd(end - 1))}${timeText(end / fps)}${step("frameOn", TEXTS.endOn, () => setEnd(end + 1))}</span>
      </div>
    </div>
  `;
}
