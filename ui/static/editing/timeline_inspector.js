// @ts-check
/* What is selected on the track, with buttons for all that can be dragged: for phones and for whoever
   does not drag. */
import { Icon } from "../components/icon.js";
import { html } from "../html.js";
import { nameOfChoice } from "./operation_fields.js";
import { timeText } from "./trim_handle.js";

/** @import { Item } from "./editing.d.ts" */

const TEXTS = {
  earlier: "Move earlier",
  later: "Move later",
  remove: "Remove",
  start: "Start",
  end: "End",
  startBack: "Start one frame earlier",
  startOn: "Start one frame later",
  endBack: "End one frame earlier",
  endOn: "End one frame later",
  joint: "How the clips follow each other",
  length: "Length of the joint",
};
const MOST_S = 3;

/** @type {(icon: string, text: string, isOff: boolean, onClick: () => void) => unknown} */
const verb = (icon, text, isOff, onClick) =>
  html`<button class="k-verb" type="button" aria-label=${text} title=${text} disabled=${isOff} onClick=${onClick}>
    <${Icon} name=${icon} />
  </button>`;

/**
 * @param {object} props
 * @param {Item} props.item
 * @param {number} props.index
 * @param {number} props.count
 * @param {(to: number) => void} props.onMove
 * @param {() => void} props.onRemove
 * @param {(part: Partial<Item>, shown_s: number) => void} props.onTrim
 */
export function ClipInspector({ item, index, count, onMove, onRemove, onTrim }) {
  const frame = 1 / item.fps;
  const setStart = (/** @type {number} */ by) => {
    const start_s = Math.max(0, Math.min(item.start_s + by * frame, item.end_s - frame));
    onTrim({ start_s }, start_s + frame / 2);
  };
  const setEnd = (/** @type {number} */ by) => {
    const end_s = Math.min(
      item.duration_s,
      Math.max(item.end_s + by * frame, item.start_s + frame),
    );
    onTrim({ end_s }, end_s - frame / 2);
  };
  return html`
    <div class="k-tl-inspector">
      <span class="k-tl-name" translate="no" dir="auto">${item.name}</span>
      <span class="k-tl-verbs" dir="ltr">
        ${verb("back", TEXTS.earlier, index === 0, () => onMove(index - 1))}
        ${verb("onward", TEXTS.later, index === count - 1, () => onMove(index + 1))}
        ${verb("bin", TEXTS.remove, count === 1, onRemove)}
      </span>
      <span class="k-tl-step"><span>${TEXTS.start}</span>
        <span class="k-tl-frames" dir="ltr">
          ${verb("frameBack", TEXTS.startBack, false, () => setStart(-1))}
          <output translate="no">${timeText(item.start_s)}</output>
          ${verb("frameOn", TEXTS.startOn, false, () => setStart(1))}
        </span>
      </span>
      <span class="k-tl-step"><span>${TEXTS.end}</span>
        <span class="k-tl-frames" dir="ltr">
          ${verb("frameBack", TEXTS.endBack, false, () => setEnd(-1))}
          <output translate="no">${timeText(item.end_s)}</output>
          ${verb("frameOn", TEXTS.endOn, false, () => setEnd(1))}
        </span>
      </span>
    </div>
  `;
}

/**
 * @param {object} props
 * @param {Item} props.item
 * @param {(string | number)[]} props.transitions
 * @param {(joint: Partial<Item["joint"]>) => void} props.onChange
 */
export function JointInspector({ item, transitions, onChange }) {
  const { transition, duration_s } = item.joint;
  return html`
    <div class="k-tl-inspector">
      <select
        class="k-filter"
        aria-label=${TEXTS.joint}
        onChange=${(/** @type {Event} */ event) => onChange({ transition: /** @type {HTMLSelectElement} */ (event.target).value })}
      >
        ${transitions.map((each) => html`<option value=${each} key=${each} selected=${each === transition}>${nameOfChoice(each)}</option>`)}
      </select>
      ${
        transition !== "cut" &&
        html`<label class="k-tl-step">
          <input
            class="k-op-range"
            type="range"
            min="0.1"
            max=${MOST_S}
            step="0.1"
            aria-label=${TEXTS.length}
            aria-valuetext=${timeText(duration_s)}
            value=${duration_s}
            onInput=${(/** @type {Event} */ event) => onChange({ duration_s: Number(/** @type {HTMLInputElement} */ (event.target).value) })}
          />
          <output translate="no">${timeText(duration_s)}</output>
        </label>`
      }
    </div>
  `;
}
