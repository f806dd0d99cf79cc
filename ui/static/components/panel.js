// @ts-check
/* A small window over the page, for what has too many settings for the first screen. Escape, its
   cross and a press beside it close it. What was written in it is state of the panel's parent, so it
   stays. */
import { html, useLayoutEffect, useRef } from "../html.js";
import { isTouch } from "../motion.js";
import { Icon } from "./icon.js";

/**
 * @param {object} props
 * @param {string} props.title
 * @param {boolean} props.isOpen
 * @param {() => void} props.onClose
 * @param {unknown} props.children
 */
export function Panel({ title, isOpen, onClose, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useLayoutEffect(() => {
    if (!isOpen) {
      dialog.current?.close();
      return;
    }
    dialog.current?.showModal();
    /** @type {HTMLElement | null | undefined} */
    const field = dialog.current?.querySelector(".k-field");
    if (!isTouch()) field?.focus(); // a keyboard on the screen would cover half of it
  }, [isOpen]);
  const onClick = (/** @type {MouseEvent} */ event) => {
    if (event.target === dialog.current) onClose(); // beside what is in it
  };
  return html`
    <dialog class="k-panel" aria-label=${title} ref=${dialog} onClose=${onClose} onClick=${onClick}>
      <div class="k-panel-body">
        <header class="k-panel-head">
          <h2 class="k-title">${title}</h2>
          <button class="k-verb" type="button" aria-label="Close" title="Close" onClick=${onClose}>
            <${Icon} name="cross" />
          </button>
        </header>
        ${isOpen && children}
      </div>
    </dialog>
  `;
}
