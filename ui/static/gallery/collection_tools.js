// @ts-check
/* The collection that is shown: its name can be changed, and it can be deleted without its clips. */
import { Icon } from "../components/icon.js";
import { html, useState } from "../html.js";
import { deleteCollection, gallery, renameCollection } from "./clips_shown.js";

const TEXTS = {
  name: "Name of the collection",
  rename: "Rename",
  save: "Save",
  remove: "Delete this collection",
  sure: "Delete it? Its clips stay.",
};

/** @param {{ id: string, onDelete: () => void }} props */
export function CollectionTools({ id, onDelete }) {
  const [name, setName] = useState(/** @type {string | null} */ (null));
  const [isSure, setSure] = useState(false);
  const known = gallery.about.peek()?.collections.find((each) => each.id === id);
  if (!known) return null;
  const save = async (/** @type {Event} */ event) => {
    event.preventDefault();
    await renameCollection(id, name ?? "");
    setName(null);
  };
  const remove = async () => {
    if (!isSure) {
      setSure(true);
      return;
    }
    await deleteCollection(id);
    onDelete();
  };
  if (name !== null) {
    return html`<form class="k-rename" onSubmit=${save}>
      <input
        class="k-field"
        aria-label=${TEXTS.name}
        value=${name}
        onInput=${(/** @type {Event} */ event) => setName(/** @type {HTMLInputElement} */ (event.target).value)}
      />
      <button class="k-press" type="submit">${TEXTS.save}</button>
    </form>`;
  }
  return html`
    <button class="k-verb" type="button" onClick=${() => setName(known.name)}>
      <${Icon} name="pen" />${TEXTS.rename}
    </button>
    <button class="k-verb" type="button" aria-label=${isSure ? TEXTS.sure : TEXTS.remove} onClick=${remove} onBlur=${() => setSure(false)}>
      <${Icon} name="bin" />${isSure ? TEXTS.sure : ""}
    </button>
  `;
}
