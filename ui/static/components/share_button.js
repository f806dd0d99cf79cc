// @ts-check
/* Share, under a finished clip: opens the panel with its link. */
import { html, useState } from "../html.js";
import { Icon } from "./icon.js";
import { SharePanel } from "./share_panel.js";

const TEXTS = {
  share: "Share",
  hint: "A link by which others can watch this clip",
};

/** @param {{ clip: Pick<import("../types.d.ts").Job, "id"> }} props */
export function ShareButton({ clip }) {
  const [isOpen, setOpen] = useState(false);
  return html`
    <button
      class="k-verb"
      type="button"
      title=${TEXTS.hint}
      aria-haspopup="dialog"
      onClick=${() => setOpen(true)}
    >
      <${Icon} name="share" />${TEXTS.share}
    </button>
    <${SharePanel} key=${clip.id} clip=${clip} isOpen=${isOpen} onClose=${() => setOpen(false)} />
  `;
}
