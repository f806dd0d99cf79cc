// @ts-check
/* Below the chips: all styles, one's own first, as thumbnails where the model has made them and by
   name otherwise, and what can be done with one's own. */
import { baseUrl, problemOf, request, requestJson } from "../api.js";
import { saveFile } from "../files.js";
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { clearProblem, setProblem } from "../problems.js";
import { loadStyles } from "../prompt_requests.js";
import { chooseStyle, promptState } from "../prompt_state.js";
import { store } from "../store.js";
import { tabElement } from "../tabs.js";
import { StyleForm } from "./style_form.js";

/**
 * @import { Mounted, Style } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

const KEYS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/**
 * The name beside it is its text. Without the file, which an update can have removed since the
 * styles were read, its place stays empty.
 * @param {{ file: string }} props
 */
function Thumbnail({ file }) {
  const [isMissing, setMissing] = useState(false);
  if (isMissing) return html`<span class="k-style-thumbnail"></span>`;
  return html`<img
    class="k-style-thumbnail"
    loading="lazy"
    decoding="async"
    width="104"
    height="78"
    alt=""
    src=${`${baseUrl()}/styles/thumbnails/${file}`}
    onError=${() => setMissing(true)}
  />`;
}

/** @param {Mounted & { element: HTMLElement }} props */
export function StyleStrip({ task, element }) {
  const tab = store.tabs[task];
  const state = promptState(task);
  const isOpen = useSignal(state.isStripOpen);
  const styles = useSignal(state.styles);
  const chosen = useSignal(state.style);
  /** The style in the form: one's own, to be changed, or a new one. */
  const [edited, setEdited] = useState(/** @type {Style | "new" | null} */ (null));
  const [said, setSaid] = useState("");
  const list = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const file = /** @type {Ref<HTMLInputElement>} */ (useRef(null));
  useLayoutEffect(() => {
    element.hidden = !isOpen; // Gradio's own element around this one takes space otherwise
    if (!isOpen) {
      setEdited(null);
      setSaid("");
    }
  }, [isOpen]);
  const isThere = Boolean(styles?.length);
  useLayoutEffect(() => {
    if (!isOpen || !isThere) return;
    list.current?.parentElement?.scrollIntoView({ block: "nearest" }); // what is below the styles, too
    list.current?.querySelector("[aria-checked=true]")?.scrollIntoView({
      block: "nearest",
      inline: "center",
    });
  }, [isOpen, isThere, chosen]);

  /** @param {() => Promise<string>} change returns what is said of it */
  const attempt = async (change) => {
    try {
      const done = await change();
      await loadStyles(task);
      clearProblem(tab, "styles");
      setSaid(done);
      return true;
    } catch (error) {
      setSaid("");
      setProblem(tab, problemOf(error), "styles");
      return false;
    }
  };
  const save = async (/** @type {Style} */ { id, name, prompt, negative_prompt, example }) => {
    const body = JSON.stringify({ name, prompt, negative_prompt, example });
    const saved = await attempt(async () => {
      await requestJson(`/styles/${id}`, { method: "PUT", body });
      return `“${name}” is saved.`;
    });
    if (!saved) return;
    setEdited(null);
    chooseStyle(task, id);
  };
  const remove = async (/** @type {Style} */ { id, name }) => {
    const removed = await attempt(async () => {
      await requestJson(`/styles/${id}`, { method: "DELETE" });
      return `“${name}” is deleted.`;
    });
    if (removed) chooseStyle(task, null);
  };
  const exportAll = () =>
    attempt(async () => {
      const response = await request("/styles/export");
      saveFile(await response.blob(), "kinora-styles.yaml");
      return "Your styles are in kinora-styles.yaml.";
    });
  const importAll = async () => {
    const taken = file.current?.files?.[0];
    if (!taken) return;
    await attempt(async () => {
      const answer = await requestJson("/styles/import", { method: "POST", body: taken });
      const names = answer.styles.map((/** @type {Style} */ { name }) => `“${name}”`);
      return `Imported: ${names.join(", ")}.`;
    });
    if (file.current) file.current.value = "";
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") {
      state.isStripOpen.value = false;
      /** @type {HTMLElement | null | undefined} */
      const chip = tabElement(task)?.querySelector(".k-style-chip");
      chip?.focus({ preventScroll: true });
      return;
    }
    const step = KEYS[/** @type {keyof typeof KEYS} */ (event.key)];
    if (!step || !list.current?.contains(/** @type {Node} */ (event.target))) return;
    /** @type {NodeListOf<HTMLElement>} */
    const options = list.current.querySelectorAll("[role=radio]");
    const index = [...options].indexOf(/** @type {HTMLElement} */ (event.target));
    options[(index + step + options.length) % options.length].focus();
    event.preventDefault();
  };

  const own = styles?.filter((style) => style.own) ?? [];
  const ownChosen = own.find(({ id }) => id === chosen);
  const hasThumbnails = Boolean(styles?.some(({ thumbnail }) => thumbnail));
  const option = (
    /** @type {string | null} */ id,
    /** @type {string} */ name,
    isOwn = false,
    /** @type {string | null | undefined} */ thumbnail = null,
  ) =>
    html`<button
      class=${`k-style${isOwn ? " k-style-own" : ""}${thumbnail ? " k-style-pictured" : ""}`}
      type="button"
      role="radio"
      aria-checked=${String(id === chosen)}
      tabIndex=${id === chosen ? 0 : -1}
      key=${id ?? ""}
      onClick=${() => chooseStyle(task, id)}
    >
      ${thumbnail && html`<${Thumbnail} key=${thumbnail} file=${thumbnail} />`}
      <span class="k-style-name">${name}</span>
    </button>`;
  return html`
    <div class="k-strip" id=${`k-strip-${task}`} hidden=${!isOpen} onKeyDown=${onKeyDown}>
      <div
        class=${`k-styles k-sideways${hasThumbnails ? " k-styles-pictured" : ""}`}
        role="radiogroup"
        aria-label="Styles"
        ref=${list}
      >
        ${option(null, "none")}
        ${styles?.map((style) => option(style.id, style.name, style.own, style.thumbnail))}
      </div>
      <div class="k-strip-verbs" hidden=${edited !== null}>
        <button class="k-link" type="button" onClick=${() => setEdited("new")}>
          Save as style…
        </button>
        ${
          ownChosen &&
          html`
            <button class="k-link" type="button" onClick=${() => setEdited(ownChosen)}>
              ${`Change “${ownChosen.name}”`}
            </button>
            <button class="k-link" type="button" onClick=${() => remove(ownChosen)}>
              ${`Delete “${ownChosen.name}”`}
            </button>
          `
        }
        <button class="k-link" type="button" hidden=${!own.length} onClick=${exportAll}>
          Export mine
        </button>
        <button class="k-link" type="button" onClick=${() => file.current?.click()}>Import</button>
        <input
          class="k-file"
          type="file"
          accept=".yaml,.yml"
          aria-label="Styles as YAML"
          tabIndex="-1"
          ref=${file}
          onChange=${importAll}
        />
      </div>
      ${
        edited &&
        html`<${StyleForm}
          task=${task}
          style=${edited === "new" ? null : edited}
          onSave=${save}
          onCancel=${() => setEdited(null)}
        />`
      }
      <p class="k-said" role="status">${said}</p>
    </div>
  `;
}
