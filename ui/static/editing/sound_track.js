// @ts-check
/* The sound track under the clips: a piece of music, where it begins, and how loud everything is. */
import { Icon } from "../components/icon.js";
import { html, useRef } from "../html.js";
import { numberFormat } from "../language.js";
import { timeText } from "./trim_handle.js";

/** @import { Music } from "./editing.d.ts" */

const TEXTS = {
  label: "Sound track",
  add: "Add music",
  remove: "Remove the music",
  volume: "Music",
  own: "The clips' own sound",
  at: "Begins at",
  fade: "Fade out",
};
const LOUDEST = 2;
const LONGEST_FADE_S = 5;
const PERCENT = numberFormat({ style: "percent", maximumFractionDigits: 0 });

/** The music, below the clips that it plays with. @param {{ music: Music | null, total: number, pixelsPerSecond: number, onFile: (file: File) => void }} props */
export function SoundBar({ music, total, pixelsPerSecond, onFile }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const onChoose = () => {
    const file = input.current?.files?.[0];
    if (file) onFile(file);
    if (input.current) input.current.value = "";
  };
  const place = music && {
    "margin-left": `${music.at_s * pixelsPerSecond}px`,
    width: `${Math.max(0, total - music.at_s) * pixelsPerSecond}px`,
  };
  return html`
    <div class="k-tl-music" role="group" aria-label=${TEXTS.label}>
      ${
        music
          ? html`<div class="k-tl-tune" style=${place}>
              <${Icon} name="music" /><span translate="no" dir="auto">${music.name}</span>
            </div>`
          : html`<button class="k-press" type="button" onClick=${() => input.current?.click()}>
              <${Icon} name="music" />${TEXTS.add}
            </button>`
      }
      <input
        class="k-file"
        type="file"
        accept="audio/*"
        aria-label=${TEXTS.add}
        tabIndex="-1"
        ref=${input}
        onChange=${onChoose}
      />
    </div>
  `;
}

/**
 * @param {object} props
 * @param {string} props.label
 * @param {number} props.value
 * @param {number} props.max
 * @param {string} props.text
 * @param {(value: number) => void} props.onInput
 */
const Slider = ({ label, value, max, text, onInput }) => html`
  <label class="k-tl-sound">
    <span>${label}</span>
    <input
      class="k-op-range"
      type="range"
      min="0"
      max=${max}
      step=${max / 20}
      value=${value}
      aria-valuetext=${text}
      onInput=${(/** @type {Event} */ event) => onInput(Number(/** @type {HTMLInputElement} */ (event.target).value))}
    />
    <output aria-hidden="true" translate="no">${text}</output>
  </label>
`;

/**
 * @param {object} props
 * @param {Music | null} props.music
 * @param {number} props.ownVolume
 * @param {number} props.total
 * @param {(change: Partial<Music> | null) => void} props.onChange null removes it
 * @param {(volume: number) => void} props.onOwnVolume
 */
export function SoundControls({ music, ownVolume, total, onChange, onOwnVolume }) {
  return html`
    <div class="k-tl-sounds">
      ${
        music &&
        html`<${Slider}
          label=${TEXTS.volume}
          value=${music.volume}
          max=${LOUDEST}
          text=${PERCENT.format(music.volume)}
          onInput=${(/** @type {number} */ volume) => onChange({ volume })}
        />`
      }
      <${Slider}
        label=${TEXTS.own}
        value=${ownVolume}
        max=${LOUDEST}
        text=${PERCENT.format(ownVolume)}
        onInput=${onOwnVolume}
      />
      ${
        music &&
        html`<${Slider}
            label=${TEXTS.at}
            value=${music.at_s}
            max=${Math.max(0.1, total)}
            text=${timeText(music.at_s)}
            onInput=${(/** @type {number} */ at_s) => onChange({ at_s })}
          />
          <${Slider}
            label=${TEXTS.fade}
            value=${music.fade_out_s}
            max=${LONGEST_FADE_S}
            text=${timeText(music.fade_out_s)}
            onInput=${(/** @type {number} */ fade_out_s) => onChange({ fade_out_s })}
          />
          <button class="k-verb" type="button" onClick=${() => onChange(null)}>
            <${Icon} name="bin" />${TEXTS.remove}
          </button>`
      }
    </div>
  `;
}
