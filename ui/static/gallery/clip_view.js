// @ts-check
/* One clip, large: its frames, its settings, its family, and what can be done with it. */
import { fileUrl, problemOf, requestJson } from "../api.js";
import { ClipSettings } from "../components/clip_settings.js";
import { Icon } from "../components/icon.js";
import { openFilm } from "../film/film_address.js";
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { dateFormat } from "../language.js";
import { isActive, store } from "../store.js";
import { goTo, goToAll, leaveGallery, replacePlace } from "./address.js";
import { ClipVerbs } from "./clip_verbs.js";
import { gallery, loadMore, renameClip } from "./clips_shown.js";
import { FramePlayer } from "./frame_player.js";
import { nameOf } from "./gallery_tile.js";
import { selection } from "./selection.js";

/** @import { Problem, Relative, WholeClip } from "../types.d.ts" */

const TEXTS = {
  back: "All clips",
  previous: "Previous clip",
  next: "Next clip",
  title: "Title",
  titleHint: "Give it a title",
  settings: "Settings",
  family: "Family",
  storyboard: "Storyboard",
  loading: "Loading",
  made: (/** @type {string} */ date) => `Made on ${date}`,
};
/** @type {Record<Relative["relation"], string>} */
const RELATIONS = {
  parent: "Made from",
  variation: "Variation",
  draft: "Draft beside it",
  continued_from: "Continues",
  edited_from: "Edited from",
  picture_from: "Begins with its picture",
  continued_to: "Continued by",
  edited_to: "Edited to",
  picture_to: "Its picture begins",
  edit_of: "Edited from",
  edit: "Edited to",
  shot: "Of the same film",
};
const DATE = dateFormat({ dateStyle: "long", timeStyle: "short" });
const POLL_MS = 1500;

/** @param {{ id: string }} props */
export function ClipView({ id }) {
  const tiles = useSignal(gallery.tiles);
  const [clip, setClip] = useState(/** @type {WholeClip | null} */ (null));
  const [family, setFamily] = useState(/** @type {Relative[]} */ ([]));
  const [film, setFilm] = useState(/** @type {string | null} */ (null));
  const [problem, setProblem] = useState(/** @type {Problem | null} */ (null));
  const video = useRef(/** @type {HTMLVideoElement | null} */ (null));
  const back = useRef(/** @type {HTMLElement | null} */ (null));

  useLayoutEffect(() => back.current?.focus({ preventScroll: true }), []);
  useLayoutEffect(() => {
    let isWanted = true;
    const read = async () => {
      try {
        const found = await requestJson(`/gallery/clips/${id}`);
        if (!isWanted) return;
        setClip(found.clip);
        setFamily(found.family);
        setFilm(found.film);
        setProblem(null);
        if (isActive(found.clip)) setTimeout(() => isWanted && read(), POLL_MS);
      } catch (error) {
        if (isWanted) setProblem(problemOf(error));
      }
    };
    setClip(null);
    setFamily([]);
    setFilm(null);
    read();
    return () => {
      isWanted = false;
    };
  }, [id]);

  const index = tiles.findIndex((tile) => tile.id === id);
  useLayoutEffect(() => {
    if (index >= 0) selection.current.value = index; // where the keyboard is when one comes back
  }, [index]);
  const beside = (/** @type {number} */ step) => {
    const next = index < 0 ? undefined : tiles[index + step];
    if (next) replacePlace({ clip: next.id });
    if (index + step >= tiles.length - 2) loadMore();
  };
  useLayoutEffect(() => {
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      const target = event.target instanceof Element ? event.target : null;
      if (target?.closest("input, select, textarea, dialog")) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "ArrowLeft") beside(-1);
      else if (event.key === "ArrowRight") beside(1);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
  const step = (/** @type {string} */ icon, /** @type {string} */ text, /** @type {number} */ by) =>
    html`<button class="k-verb" type="button" aria-label=${text} title=${text} disabled=${index < 0 || !tiles[index + by]} onClick=${() => beside(by)}>
      <${Icon} name=${icon} />
    </button>`;
  const shown = clip?.id === id ? clip : null;
  return html`
    <div class="k-clip-view">
      <header class="k-gallery-row">
        <button class="k-verb" type="button" title="Escape" ref=${back} onClick=${goToAll}>
          <${Icon} name="back" />${TEXTS.back}
        </button>
        <span class="k-clip-steps">${step("back", TEXTS.previous, -1)}${step("onward", TEXTS.next, 1)}</span>
      </header>
      ${problem && html`<p class="k-gallery-problem" role="alert">${problem.message} ${problem.remedy}</p>`}
      ${!shown && !problem && html`<div class="k-clip-waiting" role="status"><span class="k-spoken">${TEXTS.loading}</span></div>`}
      ${
        shown &&
        html`<div class="k-clip-parts" key=${shown.id}>
          ${
            shown.state === "succeeded"
              ? html`<${FramePlayer} clip=${shown} video=${video} />`
              : html`<div class="k-player"><div class="k-player-picture k-player-none"><p>${shown.error?.message ?? shown.line} ${shown.error?.remedy}</p></div></div>`
          }
          <div class="k-clip-about">
            <${Title} clip=${shown} onChange=${(/** @type {string | null} */ title) => setClip({ ...shown, title })} />
            <p class="k-note">${TEXTS.made(DATE.format(shown.created_at * 1000))}</p>
            <${ClipVerbs}
              clip=${shown}
              videoOf=${() => video.current}
              onChange=${(/** @type {Partial<WholeClip>} */ change) => setClip({ ...shown, ...change })}
            />
            ${film && html`<p><button class="k-verb" type="button" onClick=${() => openStoryboard(film)}><${Icon} name="film" />${TEXTS.storyboard}</button></p>`}
            ${family.length > 0 && html`<${Family} family=${family} />`}
            ${
              shown.settings &&
              html`<h2 class="k-subtitle">${TEXTS.settings}</h2>
                <div onClick=${leaveOnRestore}><${ClipSettings} tab=${store.tabs[shown.task]} clip=${shown} /></div>`
            }
          </div>
        </div>`
      }
    </div>
  `;
}

/** @param {string} film */
function openStoryboard(film) {
  leaveGallery();
  openFilm(film);
}

/** “Use these settings” fills the form: it is not seen from here. @param {MouseEvent} event */
function leaveOnRestore(event) {
  const button =
    event.target instanceof Element ? event.target.closest(".k-used-verbs button") : null;
  if (button?.parentElement?.lastElementChild === button) leaveGallery();
}

/** @param {{ clip: WholeClip, onChange: (title: string | null) => void }} props */
function Title({ clip, onChange }) {
  const save = async (/** @type {Event} */ event) => {
    const field = /** @type {HTMLInputElement} */ (event.target);
    if (field.value.trim() === (clip.title ?? "")) return;
    const saved = await renameClip(clip.id, field.value);
    if (saved) onChange(saved.title);
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const field = /** @type {HTMLInputElement} */ (event.target);
    if (event.key === "Escape") field.value = clip.title ?? "";
    if (event.key === "Enter" || event.key === "Escape") field.blur();
    if (event.key === "Escape") event.stopPropagation();
  };
  return html`
    <input
      class="k-clip-title"
      aria-label=${TEXTS.title}
      placeholder=${clip.prompt || TEXTS.titleHint}
      title=${TEXTS.titleHint}
      dir="auto"
      value=${clip.title ?? ""}
      onChange=${save}
      onKeyDown=${onKeyDown}
    />
  `;
}

/** @param {{ family: Relative[] }} props */
function Family({ family }) {
  return html`
    <h2 class="k-subtitle">${TEXTS.family}</h2>
    <ul class="k-family">
      ${family.map(
        ({ relation, clip }) => html`<li key=${clip.id}>
          <button class="k-family-clip" type="button" onClick=${() => goTo({ clip: clip.id })}>
            <${FamilyPicture} clip=${clip} />
            <span class="k-note">${RELATIONS[relation]}</span>
            <span class="k-item-caption" dir="auto">${nameOf(clip)}</span>
          </button>
        </li>`,
      )}
    </ul>
  `;
}

/** @param {{ clip: import("../types.d.ts").Tile }} props */
function FamilyPicture({ clip }) {
  const [poster] = useState(fileUrl(clip, "poster"));
  return html`<span class="k-family-picture">
    ${clip.state === "succeeded" && html`<img src=${poster} alt="" loading="lazy" />`}
  </span>`;
}
