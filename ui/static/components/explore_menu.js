// @ts-check
/* What Generate makes: one clip, or several drafts. A small button beside it opens the choice, and
   from there the panels for comparisons and batches. */
import { useGradioValue } from "../gradio.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { store } from "../store.js";
import { visiblePart } from "../viewport.js";
import { BatchPanel } from "./batch_panel.js";
import { ComparePanel } from "./compare_panel.js";

/**
 * @import { HowMany, Mounted } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

const DRAFTS = [2, 4, 6, 8];
const MARGIN = 12;
const STORED = "kinora-drafts-";

/** For this browser tab; it throws where a browser blocks all of a site's data. */
const remembered = {
  /** @param {string} task @returns {HowMany} */
  read(task) {
    try {
      const drafts = Number(sessionStorage.getItem(STORED + task));
      return DRAFTS.includes(drafts) ? { drafts } : null;
    } catch {
      return null;
    }
  },
  /** @param {string} task @param {HowMany} how */
  write(task, how) {
    try {
      sessionStorage.setItem(STORED + task, String(how?.drafts ?? 1));
    } catch {}
  },
};

/**
 * Above the button where there is room, else below it; its right edge is the button's.
 * @param {HTMLElement} menu
 * @param {HTMLElement} button
 */
function placeMenu(menu, button) {
  const { left, right, top, bottom } = button.getBoundingClientRect();
  const seen = visiblePart();
  const isAbove = top - seen.top > seen.bottom - bottom;
  const { style } = menu;
  style.setProperty("--right", `${Math.max(MARGIN, innerWidth - Math.max(right, left))}px`);
  style.setProperty("--top", isAbove ? "auto" : `${bottom + 8}px`);
  style.setProperty("--bottom", isAbove ? `${innerHeight - top + 8}px` : "auto");
}

/** @param {Mounted<HowMany>} props */
export function ExploreMenu({ gradio, task }) {
  const tab = store.tabs[task];
  const [how, setHow] = useGradioValue(gradio);
  const [isOpen, setOpen] = useState(false);
  const [panel, setPanel] = useState(/** @type {"compare" | "batch" | null} */ (null));
  const button = /** @type {Ref<HTMLButtonElement>} */ (useRef(null));
  const menu = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const chosen = how?.drafts ?? 1;

  useLayoutEffect(() => {
    tab.explore = gradio;
    const before = remembered.read(task);
    if (!before) return;
    setHow(before);
    tab.whenConnected(() => gradio.trigger("changed"));
  }, []);

  const items = () => [
    .../** @type {NodeListOf<HTMLElement>} */ (menu.current?.querySelectorAll("button") ?? []),
  ];
  const close = () => menu.current?.hidePopover();
  const choose = (/** @type {number} */ count) => {
    close();
    if (count === chosen) return;
    const fresh = count === 1 ? null : { drafts: count };
    setHow(fresh);
    remembered.write(task, fresh);
    gradio.trigger("changed");
  };
  const onBeforeToggle = (/** @type {ToggleEvent} */ event) => {
    if (event.newState === "open" && menu.current && button.current) {
      placeMenu(menu.current, button.current);
    }
  };
  const toggle = (/** @type {Event} */ event) => {
    event.preventDefault(); // not the button's own toggle: the focus moves before the next key
    if (!menu.current?.togglePopover()) return;
    const list = items();
    (list.find((item) => item.ariaChecked === "true") ?? list[0])?.focus();
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const list = items();
    const at = list.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = {
      ArrowDown: (at + 1) % list.length,
      ArrowUp: (at - 1 + list.length) % list.length,
      Home: 0,
      End: list.length - 1,
    }[event.key];
    if (event.key === "Tab") close();
    if (to === undefined) return;
    event.preventDefault();
    list[to]?.focus();
  };

  const label = chosen === 1 ? "Generate makes one clip" : `Generate makes ${chosen} drafts`;
  const choice = (/** @type {number} */ count, /** @type {string} */ text) => html`
    <button
      class="k-menu-item"
      type="button"
      role="menuitemradio"
      aria-checked=${String(count === chosen)}
      tabIndex="-1"
      onClick=${() => choose(count)}
    >
      ${text}
    </button>
  `;
  const opener = (/** @type {"compare" | "batch"} */ name, /** @type {string} */ text) => html`
    <button
      class="k-menu-item"
      type="button"
      role="menuitem"
      tabIndex="-1"
      onClick=${() => {
        close();
        setPanel(name);
      }}
    >
      ${text}
    </button>
  `;
  const id = `k-explore-${task}`;
  return html`
    <button
      class=${`k-times${chosen > 1 ? " k-times-many" : ""}`}
      type="button"
      popovertarget=${id}
      aria-haspopup="menu"
      aria-expanded=${String(isOpen)}
      aria-label=${label}
      title=${label}
      ref=${button}
      onClick=${toggle}
    >
      ×${chosen}
    </button>
    <div
      class="k-menu"
      id=${id}
      popover="auto"
      role="menu"
      aria-label="What Generate makes"
      ref=${menu}
      onBeforeToggle=${onBeforeToggle}
      onToggle=${(/** @type {ToggleEvent} */ event) => setOpen(event.newState === "open")}
      onKeyDown=${onKeyDown}
    >
      ${choice(1, "One clip")}
      <div class="k-menu-title" role="presentation">Drafts: quick ones, to pick the best</div>
      <div class="k-menu-row" role="group" aria-label="Drafts">
        ${DRAFTS.map((count) => choice(count, `×${count}`))}
      </div>
      ${opener("compare", "Compare…")}
      ${opener("batch", "Batch…")}
    </div>
    <${ComparePanel} tab=${tab} isOpen=${panel === "compare"} onClose=${() => setPanel(null)} />
    <${BatchPanel} tab=${tab} isOpen=${panel === "batch"} onClose=${() => setPanel(null)} />
  `;
}
