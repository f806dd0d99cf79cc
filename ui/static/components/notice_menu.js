// @ts-check
/* While a clip is made: a bell that opens the two choices for its end. */
import { html, useRef, useSignal, useState } from "../html.js";
import { notices, requestNotifications, setNotices } from "../notices.js";
import { placePanel } from "../popover.js";
import { isActive } from "../store.js";
import { Icon } from "./icon.js";

const TEXTS = {
  bell: "When it is done",
  notification: "Show a notification",
  sound: "Play a quiet sound",
  refused: "This browser does not allow notifications of this page.",
};

/** @param {{ tab: import("../store.js").TabState }} props */
export function NoticeMenu({ tab }) {
  const job = useSignal(tab.job);
  const batch = useSignal(tab.batch);
  const chosen = useSignal(notices);
  const [said, say] = useState("");
  const panel = useRef(/** @type {HTMLElement | null} */ (null));
  const button = useRef(/** @type {HTMLElement | null} */ (null));
  const [isOpen, setOpen] = useState(false);
  if (!isActive(job) && !(batch && !batch.ended) && !isOpen) return null;

  const toggle = () => {
    if (!panel.current || !button.current) return;
    if (panel.current.matches(":popover-open")) panel.current.hidePopover();
    else {
      panel.current.showPopover();
      placePanel(panel.current, button.current);
      panel.current.querySelector("input")?.focus({ preventScroll: true });
    }
  };
  const onToggle = (/** @type {ToggleEvent} */ event) => {
    setOpen(event.newState === "open");
    if (event.newState !== "open") say("");
  };
  const setNotification = async () => {
    const wanted = !chosen.notification && (await requestNotifications());
    setNotices({ notification: wanted });
    say(!chosen.notification && !wanted ? TEXTS.refused : "");
  };
  const isOn = chosen.notification || chosen.sound;
  return html`
    <button
      class=${`k-verb k-bell${isOn ? " k-bell-on" : ""}`}
      type="button"
      aria-label=${TEXTS.bell}
      title=${TEXTS.bell}
      aria-haspopup="dialog"
      aria-expanded=${String(isOpen)}
      ref=${button}
      onClick=${toggle}
    >
      <${Icon} name="bell" />
    </button>
    <div
      class="k-menu k-bell-menu"
      popover="auto"
      role="dialog"
      aria-label=${TEXTS.bell}
      ref=${panel}
      onToggle=${onToggle}
    >
      <p class="k-menu-title">${TEXTS.bell}</p>
      <label class="k-bell-choice">
        <input type="checkbox" checked=${chosen.notification} onChange=${setNotification} />
        ${TEXTS.notification}
      </label>
      <label class="k-bell-choice">
        <input
          type="checkbox"
          checked=${chosen.sound}
          onChange=${() => setNotices({ sound: !chosen.sound })}
        />
        ${TEXTS.sound}
      </label>
      <p class="k-menu-title" role="status">${said}</p>
    </div>
  `;
}
