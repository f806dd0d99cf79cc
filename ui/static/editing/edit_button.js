// @ts-check
/* Edit, under a finished clip: opens the panel beside the stage. */
import { Icon } from "../components/icon.js";
import { html } from "../html.js";
import { openEditor } from "./open_editing.js";

const TEXTS = { edit: "Edit", hint: "Trim, speed, crop, sound, titles and more: a new clip" };

/** @param {{ clip: import("../types.d.ts").Job }} props */
export const EditButton = ({ clip }) => html`
  <button class="k-verb k-edit-button" type="button" title=${TEXTS.hint} aria-haspopup="dialog" onClick=${() => openEditor(clip)}>
    <${Icon} name="scissors" />${TEXTS.edit}
  </button>
`;
