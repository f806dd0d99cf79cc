// @ts-check
/* A chip that opens the looks: prompts and settings, saved by name, applied, shared, deleted. */
import { problemOf, requestJson } from "../api.js";
import { copyText, saveFile } from "../files.js";
import { useGradioValue } from "../gradio.js";
import { createPortal, html, useLayoutEffect, useRef, useState } from "../html.js";
import { fileName, lookText, readLookFile } from "../look_files.js";
import { isTouch } from "../motion.js";
import { placePanel } from "../popover.js";
import { LookImport } from "./look_import.js";
import { LookRow } from "./look_row.js";

/**
 * @import { SharedLook } from "../look_files.js"
 * @import { Look, LooksAnswer, Mounted, Problem } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

/** @param {Problem} problem */
const sentence = ({ message, remedy }) => [message, remedy].filter(Boolean).join(" ");
/** @param {string} name */
const pathOf = (name) => `/looks/${encodeURIComponent(name)}`;
/** @param {SharedLook[]} looks */
const quoted = (looks) => looks.map(({ name }) => `“${name}”`).join(", ");

/** @param {Mounted<LooksAnswer | null>} props */
export function LooksChip({ gradio }) {
  const [answer] = useGradioValue(gradio);
  const [looks, setLooks] = useState(/** @type {Look[] | null} */ (null));
  const [name, setName] = useState("");
  const [isOpen, setOpen] = useState(false);
  const [said, setSaid] = useState("");
  /** Deleted or replaced just now: can be brought back. */
  const [gone, setGone] = useState(/** @type {Look[]} */ ([]));
  const [isDraggedOver, setDraggedOver] = useState(false);
  /** The text in the field for shared looks; null where that is closed. */
  const [text, setText] = useState(/** @type {string | null} */ (null));
  const button = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const panel = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const input = /** @type {Ref<HTMLInputElement>} */ (useRef(null));

  const say = (/** @type {string} */ done, /** @type {Look[]} */ lost = []) => {
    setSaid(done);
    setGone(lost);
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
    } catch (error) {
      say(sentence(problemOf(error)));
    }
    await load(); // also then: of several files, the first may be saved
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

  /** Not in the field on a phone: the keyboard would cover half of what is listed. */
  const focusInside = () => (isTouch() ? panel : input).current?.focus({ preventScroll: true });
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
    focusInside();
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
  const put = (/** @type {SharedLook} */ look) =>
    requestJson(pathOf(look.name), {
      method: "PUT",
      body: JSON.stringify({ settings: look.settings }),
    });
  const remove = (/** @type {Look} */ look) =>
    attempt(async () => {
      await requestJson(pathOf(look.name), { method: "DELETE" });
      say(`“${look.name}” is deleted.`, [look]);
      focusInside(); // the button that had it is gone
    });
  const bringBack = (/** @type {Look[]} */ lost) =>
    attempt(async () => {
      for (const look of lost) await put(look);
      say(lost.length === 1 ? `${quoted(lost)} is back.` : `${quoted(lost)} are back.`);
    });
  const copy = async (/** @type {Look} */ look) => {
    if (await copyText(lookText(look))) {
      say(`“${look.name}” is copied. Paste it to whom you like.`);
      return;
    }
    setText(lookText(look));
    say("Copy the text below.");
  };
  const importLooks = (/** @type {SharedLook[]} */ found) =>
    attempt(async () => {
      const names = new Set(found.map((look) => look.name));
      const before = /** @type {Look[]} */ ((await requestJson("/looks")).looks);
      for (const look of found) await put(look);
      setText(null);
      focusInside(); // the button that had it is gone
      const replaced = before.filter((look) => names.has(look.name));
      const listed = quoted(found);
      const done = found.length === 1 ? `${listed} is imported.` : `${listed} are imported.`;
      say(replaced.length ? `${done} It replaces one that you had.` : done, replaced);
    });
  const importFiles = async (/** @type {FileList | null | undefined} */ list) => {
    const found = /** @type {SharedLook[]} */ ([]);
    for (const file of list ?? []) {
      const look = await readLookFile(file);
      if (!look) return say(`“${file.name}” is no look. Choose a file that was saved here.`);
      found.push(look);
    }
    if (found.length) await importLooks(found);
  };
  const onDrag = (/** @type {DragEvent} */ event, /** @type {boolean} */ isOver) => {
    if (!event.dataTransfer?.types.includes("Files")) return; // text belongs to the field
    event.preventDefault();
    setDraggedOver(isOver);
  };
  const onDrop = (/** @type {DragEvent} */ event) => {
    onDrag(event, false);
    event.stopPropagation(); // the stage takes files, too
    importFiles(event.dataTransfer?.files);
  };

  const isTaken = looks?.some((look) => look.name === name.trim());
  const popover = html`
    <div
      class=${`k-picker-layer k-looks-panel${isDraggedOver ? " k-over" : ""}`}
      popover="auto"
      role="dialog"
      aria-label="Looks"
      tabIndex="-1"
      ref=${panel}
      onToggle=${onToggle}
      onDragOver=${(/** @type {DragEvent} */ event) => onDrag(event, true)}
      onDragLeave=${(/** @type {DragEvent} */ event) => onDrag(event, false)}
      onDrop=${onDrop}
    >
      <form class="k-look-form" onSubmit=${save}>
        <input
          class="k-picker-search"
          type="text"
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
            onCopy=${() => copy(look)}
            onSave=${() => saveFile(new Blob([lookText(look)], { type: "application/json" }), fileName(look))}
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
          gone.length > 0 &&
          html`<button class="k-link" type="button" onClick=${() => bringBack(gone)}>
            Undo
          </button>`
        }
      </p>
      <${LookImport}
        text=${text}
        setText=${setText}
        onImport=${(/** @type {SharedLook} */ look) => importLooks([look])}
        onFiles=${importFiles}
        say=${say}
      />
    </div>
  `;
  return html`
    <button
      class="k-chip-button k-looks-chip"
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
