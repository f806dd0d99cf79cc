// @ts-check
/* One shot of a storyboard: its clip, its words, how it follows the one before, and its verbs. */
import { fileUrl, problemOf, uploadFile } from "../api.js";
import { Icon } from "../components/icon.js";
import { PreviewCanvas } from "../components/preview_canvas.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { PICTURE_TYPES } from "../picture_types.js";
import { board, changeShot, isShotChanged, moveShot, redoShot, removeShot } from "./film_state.js";

/** @import { BoardShot, FilmShot, Job } from "../types.d.ts" */

const TEXTS = {
  prompt: "What happens in this shot?",
  cut: "How it follows the shot before it",
  length: "Length in seconds",
  auto: "auto",
  earlier: "Move earlier",
  later: "Move later",
  redo: "Redo",
  redoHint: "Make this shot again; all others are kept",
  remove: "Remove",
  picture: "Start from a picture",
  noPicture: "Without the picture",
  unmade: "Not made yet",
  changed: "Changed",
  progress: "Progress",
};
const CUTS = { continue: "Continues", hard: "Cut", crossfade: "Cross-fade" };

/**
 * @param {object} props
 * @param {BoardShot} props.card
 * @param {FilmShot | undefined} props.shot as the server has it
 * @param {number} props.index
 * @param {number} props.count
 * @param {number | null} props.numberInFilm its place there, from 1
 * @param {boolean} props.takesImage whether the model can start from a picture
 * @param {boolean} props.isFocused
 */
export function ShotCard({ card, shot, index, count, numberInFilm, takesImage, isFocused }) {
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  useLayoutEffect(() => {
    if (isFocused) field.current?.focus();
  }, [isFocused]);
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!event.altKey || !by) return;
    event.preventDefault();
    const sign = document.documentElement.dir === "rtl" ? -1 : 1;
    moveShot(card.key, by * sign);
    const moved = /** @type {HTMLElement} */ (event.currentTarget);
    requestAnimationFrame(() => moved.querySelector("textarea")?.focus());
  };
  const name = `Shot ${index + 1}`;
  const isChanged = shot !== undefined && isShotChanged(card, shot);
  const made = shot?.job && ["queued", "running"].includes(shot.state) ? shot.job : null;
  const clip = shot?.job?.state === "succeeded" && shot.state !== "gone" ? shot.job : null;
  const cuts = Object.entries(CUTS).filter(
    ([cut]) => cut !== "continue" || takesImage || card.cut === "continue",
  );
  const line = shot ? (shot.error?.message ?? shot.line) : "";
  return html`
    <li class="k-shot" aria-label=${name} onKeyDown=${onKeyDown}>
      <div class="k-shot-picture">
        ${
          clip
            ? html`<${ShotClip} job=${clip} key=${clip.id} label=${`${name}: ${shot?.prompt}`} />`
            : html`<span class="k-shot-empty" aria-hidden="true">${index + 1}</span>`
        }
        ${made && html`<${PreviewCanvas} class="k-shot-preview" job=${made} isShown=${true} key=${made.id} />`}
        ${made && html`<progress class="k-shot-progress" max="1" value=${made.ring} aria-label=${`${name}: ${TEXTS.progress}`}></progress>`}
      </div>
      <div class="k-shot-head">
        <h2 class="k-shot-name">${name}</h2>
        <span class="k-note k-shot-line">${isChanged ? TEXTS.changed : line || (!shot && TEXTS.unmade)}</span>
      </div>
      <select
        class="k-filter"
        aria-label=${`${name}: ${TEXTS.cut}`}
        title=${TEXTS.cut}
        disabled=${index === 0}
        value=${index === 0 ? "hard" : card.cut}
        onChange=${(/** @type {Event} */ event) => changeShot(card.key, { cut: /** @type {any} */ (event.target).value })}
      >
        ${cuts.map(([value, text]) => html`<option value=${value} key=${value}>${text}</option>`)}
      </select>
      <textarea
        class="k-shot-prompt"
        ref=${field}
        rows="3"
        dir="auto"
        aria-label=${`${name}: ${TEXTS.prompt}`}
        placeholder=${TEXTS.prompt}
        value=${card.prompt}
        onInput=${(/** @type {Event} */ event) => changeShot(card.key, { prompt: /** @type {any} */ (event.target).value })}
      ></textarea>
      <div class="k-shot-row">
        <${Length} card=${card} name=${name} />
        <${Picture} card=${card} isOffered=${takesImage && (index === 0 || card.cut !== "continue")} />
      </div>
      ${shot?.note && html`<p class="k-note">${shot.note}</p>`}
      ${shot?.error && html`<p class="k-shot-error" role="alert">${shot.error.message} ${shot.error.remedy}</p>`}
      <div class="k-shot-row k-shot-verbs">
        <button class="k-verb" type="button" aria-label=${`${name}: ${TEXTS.earlier}`} title=${TEXTS.earlier} disabled=${index === 0} onClick=${() => moveShot(card.key, -1)}>
          <${Icon} name="back" />
        </button>
        <button class="k-verb" type="button" aria-label=${`${name}: ${TEXTS.later}`} title=${TEXTS.later} disabled=${index === count - 1} onClick=${() => moveShot(card.key, 1)}>
          <${Icon} name="onward" />
        </button>
        ${
          numberInFilm !== null &&
          html`<button class="k-verb" type="button" aria-label=${`${name}: ${TEXTS.redo}`} title=${TEXTS.redoHint} disabled=${board.isBusy.peek()} onClick=${() => redoShot(numberInFilm, card)}>
            <${Icon} name="again" />${TEXTS.redo}
          </button>`
        }
        <button class="k-verb k-shot-remove" type="button" aria-label=${`${name}: ${TEXTS.remove}`} title=${TEXTS.remove} disabled=${count === 1} onClick=${() => removeShot(card.key)}>
          <${Icon} name="bin" />
        </button>
      </div>
    </li>
  `;
}

/** @param {{ job: Job, label: string }} props */
function ShotClip({ job, label }) {
  const [clip] = useState(fileUrl(job, "clip")); // signed addresses change with every state
  const [poster] = useState(fileUrl(job, "poster"));
  return html`<video src=${clip} poster=${poster} muted loop playsInline controls preload="metadata" aria-label=${label}></video>`;
}

/** @param {{ card: BoardShot, name: string }} props */
function Length({ card, name }) {
  const onChange = (/** @type {Event} */ event) => {
    const value = Number(/** @type {HTMLInputElement} */ (event.target).value);
    changeShot(card.key, { duration_s: value > 0 ? value : undefined });
  };
  return html`<label class="k-shot-length">
    <input type="number" min="0.1" max="600" step="any" inputmode="decimal" placeholder=${TEXTS.auto} aria-label=${`${name}: ${TEXTS.length}`} title=${TEXTS.length} value=${card.duration_s ?? ""} onChange=${onChange} />
    <span aria-hidden="true">s</span>
  </label>`;
}

/** @param {{ card: BoardShot, isOffered: boolean }} props */
function Picture({ card, isOffered }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  if (card.image) {
    return html`<button class="k-verb" type="button" onClick=${() => changeShot(card.key, { image: undefined })}>
      <${Icon} name="cross" />${TEXTS.noPicture}
    </button>`;
  }
  if (!isOffered) return null;
  const add = async (/** @type {Event} */ event) => {
    const file = /** @type {HTMLInputElement} */ (event.target).files?.[0];
    if (!file) return;
    try {
      const { id } = await uploadFile("/pictures", file);
      changeShot(card.key, { image: id });
    } catch (error) {
      board.problem.value = problemOf(error);
    }
  };
  return html`<button class="k-verb" type="button" onClick=${() => input.current?.click()}>
      <${Icon} name="picture" />${TEXTS.picture}
    </button>
    <input type="file" accept=${PICTURE_TYPES} hidden ref=${input} onChange=${add} />`;
}
