// @ts-check
/* The storyboard: a film's shots as cards in a row, in the place of the page. */
import { DownloadLink } from "../components/download_link.js";
import { Icon } from "../components/icon.js";
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { store } from "../store.js";
import { filmPlace, leaveFilm, startFilmAddress } from "./film_address.js";
import { FilmStage } from "./film_stage.js";
import {
  addShot,
  applyChanges,
  board,
  discardFilm,
  estimateBoard,
  isChanged,
  MOST_SHOTS,
  makeFilm,
  resumeFilm,
} from "./film_state.js";
import { followFilm } from "./film_updates.js";
import { ShotCard } from "./shot_card.js";

/** @import { Board, Film } from "../types.d.ts" */

const TEXTS = {
  label: "Storyboard",
  back: "Back",
  make: "Make the film",
  discard: "Discard",
  resume: "Make the rest",
  apply: "Apply changes",
  add: "Add a shot",
  hint: "Each shot becomes a clip of its own; at the end they are joined.",
};
const ESTIMATE_AFTER_MS = 600;

export function Storyboard() {
  const here = useSignal(filmPlace);
  const scrolled = useRef(0);
  useLayoutEffect(startFilmAddress, []);
  const isOpen = here !== null;
  useLayoutEffect(() => {
    const { classList } = document.documentElement;
    if (isOpen) scrolled.current = scrollY;
    classList.toggle("k-in-film", isOpen);
    scrollTo({ top: isOpen ? 0 : scrolled.current, behavior: "instant" });
  }, [isOpen]);
  return here && html`<${StoryboardView} film=${here.film} />`;
}

/** @param {{ film: string | null }} props */
function StoryboardView({ film: id }) {
  const draft = useSignal(board.draft);
  const found = useSignal(board.film);
  const problem = useSignal(board.problem);
  const isBusy = useSignal(board.isBusy);
  const [added, setAdded] = useState(/** @type {string | null} */ (null));
  const back = useRef(/** @type {HTMLElement | null} */ (null));
  const film = found?.id === id ? found : null;

  useLayoutEffect(() => back.current?.focus({ preventScroll: true }), []);
  useLayoutEffect(() => (id ? followFilm(id) : undefined), [id]);
  useLayoutEffect(() => {
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
      const active = document.activeElement;
      if (active instanceof HTMLElement && active.matches("textarea, input, select")) active.blur();
      else leaveFilm();
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  useLayoutEffect(() => {
    if (id) return;
    const timer = setTimeout(() => estimateBoard(draft), ESTIMATE_AFTER_MS);
    return () => clearTimeout(timer);
  }, [draft, id]);

  const shots = new Map((film?.shots ?? []).map((shot, index) => [shot.id, { shot, index }]));
  const isWaiting = id !== null && !film; // of an address: its shots are not known yet
  return html`
    <section class="k-board" aria-label=${TEXTS.label}>
      <header class="k-gallery-row k-board-head">
        <button class="k-verb" type="button" title="Escape" ref=${back} onClick=${leaveFilm}>
          <${Icon} name="back" />${TEXTS.back}
        </button>
        <h1 class="k-gallery-title">${TEXTS.label}</h1>
        <${BoardLine} film=${film} />
        <${BoardVerbs} film=${film} draft=${draft} isBusy=${isBusy} />
      </header>
      ${problem && html`<p class="k-gallery-problem" role="alert">${problem.message} ${problem.remedy}</p>`}
      ${film?.error && html`<p class="k-gallery-problem" role="alert">${film.error.message} ${film.error.remedy}</p>`}
      <${FilmStage} film=${film} isMaking=${film?.state === "working" || (!id && isBusy)} />
      ${
        !isWaiting &&
        html`<ol class="k-shots">
          ${draft.shots.map((card, index) => {
            const known = card.id ? shots.get(card.id) : undefined;
            return html`<${ShotCard}
              key=${card.key}
              card=${card}
              shot=${known?.shot}
              numberInFilm=${known ? known.index + 1 : null}
              index=${index}
              count=${draft.shots.length}
              takesImage=${draft.takes_image !== false}
              isFocused=${card.key === added}
            />`;
          })}
          <li class="k-shot-add">
            <button class="k-verb" type="button" disabled=${draft.shots.length >= MOST_SHOTS} onClick=${() => setAdded(addShot())}>
              <${Icon} name="film" />${TEXTS.add}
            </button>
          </li>
        </ol>`
      }
    </section>
  `;
}

/** @param {{ film: Film | null }} props */
function BoardLine({ film }) {
  const estimate = useSignal(board.estimate);
  const line = film ? film.line : (estimate?.line ?? TEXTS.hint);
  return html`<p class="k-note k-board-line" role="status">${line}</p>`;
}

/** @param {{ film: Film | null, draft: Board, isBusy: boolean }} props */
function BoardVerbs({ film, draft, isBusy }) {
  const isReady = draft.shots.every((shot) => shot.prompt.trim() || shot.image);
  const primary = (/** @type {string} */ text, /** @type {() => void} */ act, isOff = false) =>
    html`<button class="k-board-go" type="button" disabled=${isBusy || isOff} onClick=${act}>${text}</button>`;
  const isUnsaved = film !== null && isChanged(draft, film);
  const canResume = film && ["failed", "cancelled", "gone"].includes(film.state);
  return html`<span class="k-board-verbs">
    ${film?.state === "working" && html`<button class="k-verb" type="button" disabled=${isBusy} onClick=${discardFilm}>${TEXTS.discard}</button>`}
    ${film?.file && html`<${DownloadLink} tab=${store.tabs[film.file.task]} clip=${film.file} />`}
    ${!film && primary(TEXTS.make, makeFilm, !isReady)}
    ${isUnsaved && primary(TEXTS.apply, applyChanges, !isReady)}
    ${canResume && !isUnsaved && primary(TEXTS.resume, resumeFilm)}
  </span>`;
}
