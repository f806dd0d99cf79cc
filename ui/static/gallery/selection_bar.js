// @ts-check
/* What can be done with the clips that are selected, and below it what was deleted just now. */
import { Icon } from "../components/icon.js";
import { openTimeline } from "../editing/open_editing.js";
import { html, useLayoutEffect, useSignal, useState } from "../html.js";
import { numberFormat } from "../language.js";
import { goTo } from "./address.js";
import {
  addCollection,
  changeCollection,
  deleteClips,
  gallery,
  starClips,
  undoDeletion,
  zipClips,
} from "./clips_shown.js";
import { clearSelection, selection } from "./selection.js";

const TEXTS = {
  label: "Selected clips",
  selected: (/** @type {string} */ n) => `Selected: ${n}`,
  compare: "Compare",
  compareHint: "Two to four clips, side by side",
  join: "Join",
  joinHint: "Two to twenty clips, one after the other, as a new clip",
  star: "Star",
  unstar: "Remove star",
  zip: "Zip",
  collect: "Add to collection",
  remove: "Delete",
  clear: "Clear selection",
  newName: "New collection",
  add: "Add",
  takeOut: (/** @type {string} */ name) => `Remove from “${name}”`,
  deleted: (/** @type {string} */ n) => `Deleted: ${n}`,
  unfinished: (/** @type {string} */ n) => `Still being made: ${n}. Discard them first.`,
  undo: "Undo",
};
const NUMBER = numberFormat();
const MOST_COMPARED = 4;
const MOST_JOINED = 20;

export function SelectionBar() {
  const ids = useSignal(selection.ids);
  const tiles = useSignal(gallery.tiles);
  const [isCollecting, setCollecting] = useState(false);
  useLayoutEffect(() => {
    if (!ids.size) setCollecting(false);
  }, [ids]);
  if (!ids.size) return null;
  const chosen = [...ids];
  const known = tiles.filter(({ id }) => ids.has(id));
  const areStarred = known.length > 0 && known.every(({ starred }) => starred);
  const canCompare = chosen.length >= 2 && chosen.length <= MOST_COMPARED;
  const joined = chosen.map((id) =>
    known.find((tile) => tile.id === id && tile.state === "succeeded"),
  );
  const canJoin = chosen.length >= 2 && chosen.length <= MOST_JOINED && joined.every(Boolean);
  const join = () =>
    openTimeline(/** @type {import("../types.d.ts").Tile[]} */ (joined), (problem) => {
      gallery.problem.value = problem;
    });
  const remove = () => deleteClips(chosen).then(clearSelection);
  return html`
    <div class="k-selection" role="toolbar" aria-label=${TEXTS.label}>
      <span class="k-selection-count" role="status">${TEXTS.selected(NUMBER.format(ids.size))}</span>
      <button
        class="k-verb"
        type="button"
        title=${TEXTS.compareHint}
        disabled=${!canCompare}
        onClick=${() => goTo({ compared: chosen })}
      >
        <${Icon} name="compare" />${TEXTS.compare}
      </button>
      <button
        class="k-verb"
        type="button"
        title=${TEXTS.joinHint}
        disabled=${!canJoin}
        aria-haspopup="dialog"
        onClick=${join}
      >
        <${Icon} name="join" />${TEXTS.join}
      </button>
      <button class="k-verb" type="button" onClick=${() => starClips(chosen, !areStarred)}>
        <${Icon} name="star" />${areStarred ? TEXTS.unstar : TEXTS.star}
      </button>
      <button
        class="k-verb"
        type="button"
        aria-expanded=${String(isCollecting)}
        onClick=${() => setCollecting(!isCollecting)}
      >
        <${Icon} name="folder" />${TEXTS.collect}
      </button>
      <button class="k-verb" type="button" onClick=${() => zipClips(chosen)}>
        <${Icon} name="down" />${TEXTS.zip}
      </button>
      <button class="k-verb" type="button" onClick=${remove}>
        <${Icon} name="bin" />${TEXTS.remove}
      </button>
      <button class="k-verb" type="button" aria-label=${TEXTS.clear} title=${TEXTS.clear} onClick=${clearSelection}>
        <${Icon} name="cross" />
      </button>
      ${isCollecting && html`<${Collecting} ids=${chosen} onDone=${() => setCollecting(false)} />`}
    </div>
  `;
}

/** @param {{ ids: string[], onDone: () => void }} props */
export function Collecting({ ids, onDone }) {
  const about = useSignal(gallery.about);
  const tiles = useSignal(gallery.tiles);
  const [name, setName] = useState("");
  const collections = about?.collections ?? [];
  const isIn = (/** @type {string} */ collection) =>
    ids.every((id) => tiles.find((tile) => tile.id === id)?.collections.includes(collection));
  const put = async (/** @type {string} */ id) => {
    await changeCollection(id, isIn(id) ? { remove: ids } : { add: ids });
    onDone();
  };
  const onSubmit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (await addCollection(name, ids)) onDone();
  };
  return html`
    <div class="k-collecting">
      ${collections.map(
        (
          each,
        ) => html`<button class="k-press" type="button" key=${each.id} onClick=${() => put(each.id)}>
          ${isIn(each.id) ? TEXTS.takeOut(each.name) : each.name}
        </button>`,
      )}
      <form class="k-rename" onSubmit=${onSubmit}>
        <input
          class="k-field"
          aria-label=${TEXTS.newName}
          placeholder=${TEXTS.newName}
          value=${name}
          onInput=${(/** @type {Event} */ event) => setName(/** @type {HTMLInputElement} */ (event.target).value)}
        />
        <button class="k-press" type="submit" disabled=${!name.trim()}>${TEXTS.add}</button>
      </form>
    </div>
  `;
}

/** For ten seconds, also after a reload. */
export function UndoBar() {
  const deletion = useSignal(gallery.deletion);
  useLayoutEffect(() => {
    if (!deletion) return;
    const left = Math.max(0, deletion.until - performance.now());
    const timer = setTimeout(() => {
      if (gallery.deletion.peek() === deletion) gallery.deletion.value = null;
    }, left);
    return () => clearTimeout(timer);
  }, [deletion]);
  const said = deletion && [
    deletion.ids.length > 0 && TEXTS.deleted(NUMBER.format(deletion.ids.length)),
    deletion.unfinished.length > 0 && TEXTS.unfinished(NUMBER.format(deletion.unfinished.length)),
  ];
  return html`
    <div class="k-undo" hidden=${!deletion}>
      <span role="status">${said?.filter(Boolean).join(". ")}</span>
      ${
        deletion &&
        deletion.ids.length > 0 &&
        html`<button class="k-press" type="button" onClick=${undoDeletion}>${TEXTS.undo}</button>`
      }
      ${
        deletion &&
        html`<span
          class="k-undo-time"
          key=${deletion.until}
          style=${{ "animation-duration": `${Math.max(0, deletion.until - performance.now())}ms` }}
        ></span>`
      }
    </div>
  `;
}
