// @ts-check
/* A chip that opens the looks: prompts and settings, saved by name, applied, shared, deleted. */
import { problemOf, requestJson } from "../api.js";
import { copyText } from "../files.js";
import { useGradioValue } from "../gradio.js";
import { createPortal, html, useLayoutEffect, useRef, useState } from "../html.js";
import { placePanel } from "../popover.js";
import { LookImport } from "./look_import.js";
import { LookRow } from "./look_row.js";

/**
 * @import { Look, LooksAnswer, Mounted, Problem } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

/** @param {Problem} problem */
const sentence = ({ message, remedy }) => [message, remedy].filter(Boolean).join(" ");
/** @param {string} name */
const pathOf = (name) => `/looks/${encodeURIComponent(name)}`;
/** @param {Look} look */
const shared = ({ name, settings }) => JSON.stringify({ name, settings }, null, 2);

/** @param {Mounted<LooksAnswer | null>} props */
export function LooksChip({ gradio }) {
  const [answer] = useGradioValue(gradio);
  const [looks, setLooks] = useState(/** @type {Look[] | null} */ (null));
  const [name, setName] = useState("");
  const [isOpen, setOpen] = useState(false);
  const [said, setSaid] = useState("");
  const [deleted, setDeleted] = useState(/** @type {Look | null} */ (null));
  /** The text in the field for shared looks; null where that is closed. */
  const [text, setText] = useState(/** @type {string | null} */ (null));
  const button = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const panel = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const input = /** @type {Ref<HTMLInputElement>} */ (useRef(null));

  const say = (/** @type {string} */ done, /** @type {Look | null} */ gone = null) => {
    setSaid(done);
    setDeleted(gone);
  };
  const load = async () => {
    try {
      setLooks((await requestJson("/looks")).looks);
    } catch (error) {
      say(sentence(problemOf(error)));
    }
  };
  /** @param {() => Promise<void>} change */
  const attempt = async (change) => {
    try {
      await change();
      await load();
    } catch (error) {
      say(sentence(problemOf(error)));
    }
  };
  useLayoutEffect(() => {
    if (answer?.error) say(sentence(answer.error));
    if (answer?.saved) {
      setName("");
      say(`“${answer.saved}” is saved.`);
      load();
    }
    if (answer?.applied) panel.current?.hidePopover();
  }, [answer]);

  const toggle = () => {
    if (!panel.current || !button.current) return;
    if (panel.current.matches(":popover-open")) {
      panel.current.hidePopover();
      return;
    }
    say("");
    setText(null);
    panel.current.showPopover();
    placePanel(panel.current, button.current);
    input.current?.focus({ preventScroll: true });
    load();
  };
  const onToggle = (/** @type {ToggleEvent} */ event) => {
    const opens = event.newState === "open";
    setOpen(opens);
    if (!opens && panel.current?.contains(document.activeElement)) {
      button.current?.focus({ preventScroll: true });
    }
  };
  const save = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (name.trim()) gradio.trigger("saved", { name: name.trim() });
  };
  const put = (/** @type {Pick<Look, "name" | "settings">} */ look) =>
    requestJson(pathOf(look.name), {
      method: "PUT",
      body: JSON.stringify({ settings: look.settings }),
    });
  const remove = (/** @type {Look} */ look) =>
    attempt(async () => {
      await requestJson(pathOf(look.name), { method: "DELETE" });
      say(`“${look.name}” is deleted.`, look);
      input.current?.focus({ preventScroll: true }); // the button that had it is gone
    });
  const bringBack = (/** @type {Look} */ look) =>
    attempt(async () => {
      await put(look);
      say(`“${look.name}” is back.`);
    });
  const share = async (/** @type {Look} */ look) => {
    if (await copyText(shared(look))) {
      say(`“${look.name}” is copied. Paste it to whom you like.`);
      return;
    }
    setText(shared(look));
    say("Copy the text below.");
  };
  const importLook = (/** @type {Pick<Look, "name" | "settings">} */ look) =>
    attempt(async () => {
      await put(look);
      setText(null);
      say(`“${look.name}” is imported.`);
    });

  const isTaken = looks?.some((look) => look.name === name.trim());
  const popover = html`
    <div
      class="k-picker-layer k-looks-panel"
      popover="auto"
      role="dialog"
      aria-label="Looks"
      ref=${panel}
      onToggle=${onToggle}
    >
      <form class="k-look-form" onSubmit=${save}>
        <input
          class="k-picker-search"
          type="text"
          maxLength="80"
          autocomplete="off"
          placeholder="Save these settings as…"
          aria-label="Name of the look"
          value=${name}
          ref=${input}
          onInput=${() => setName(input.current?.value ?? "")}
        />
        <button class="k-press k-press-first" type="submit" disabled=${!name.trim()}>
          ${isTaken ? "Replace" : "Save"}
        </button>
      </form>
      <ul class="k-look-list" aria-label="Saved looks">
        ${looks?.map(
          (look) => html`<${LookRow}
            key=${look.name}
            look=${look}
            onApply=${() => gradio.trigger("applied", { name: look.name })}
            onShare=${() => share(look)}
            onDelete=${() => remove(look)}
          />`,
        )}
      </ul>
      ${
        looks &&
        !looks.length &&
        html`<p class="k-picker-none">
          A look is a prompt with its settings. Yours will be listed here.
        </p>`
      }
      <p class="k-said" role="status">
        <span>${said}</span>
        ${
          deleted &&
          html`<button class="k-link" type="button" onClick=${() => bringBack(deleted)}>
            Undo
          </button>`
        }
      </p>
      <${LookImport} text=${text} setText=${setText} onImport=${importLook} say=${say} />
    </div>
  `;
  return html`
    <button
      class="k-picker k-looks-chip"
      type="button"
      aria-haspopup="dialog"
      aria-expanded=${String(isOpen)}
      ref=${button}
      onClick=${toggle}
    >
      <span class="k-picker-name">Looks</span>
      <span class="k-picker-arrow" aria-hidden="true"></span>
    </button>
    ${createPortal(popover, document.body) /* out of the chips' row, which scrolls */}
  `;
}
