// @ts-check
/* LoRAs, where the model takes any: one row each, with a weight. */

import { useGradioValue } from "../gradio.js";
import { html, useLayoutEffect, useRef, useSignal } from "../html.js";
import { clearProblem } from "../problems.js";
import { store } from "../store.js";
import { Icon } from "./icon.js";

/**
 * @import { Card, Lora, Mounted } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

const MOST = 8;
const MOST_NAMED = 12;

/** @param {Card} card */
function hint({ loras, lora_hub }) {
  if (loras.length) {
    const named = loras.slice(0, MOST_NAMED).join(", ");
    return loras.length > MOST_NAMED ? `Here: ${named} …` : `Here: ${named}`;
  }
  return lora_hub ? "Any id of the Hub, such as owner/name." : "The LoRA folder is empty.";
}

/** @param {Mounted<Lora[] | null> & { element: HTMLElement }} props */
export function LoraList({ gradio, task, element }) {
  const tab = store.tabs[task];
  const [value, setValue] = useGradioValue(gradio);
  const card = useSignal(tab.card);
  const rows = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const addButton = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const focusNext = useRef(/** @type {"last row" | "add" | null} */ (null));
  const loras = value ?? [];
  const isPossible = Boolean(card?.lora);

  useLayoutEffect(() => {
    element.hidden = !isPossible;
  }, [isPossible]);
  useLayoutEffect(() => {
    if (focusNext.current === "last row")
      rows.current?.lastElementChild?.querySelector("input")?.focus();
    if (focusNext.current === "add") addButton.current?.focus();
    focusNext.current = null;
  }, [loras.length]);

  const save = (/** @type {Lora[]} */ list) => {
    setValue(list);
    clearProblem(tab, "press");
  };
  const add = () => {
    focusNext.current = "last row";
    save([...loras, { source: "", weight: 1 }]);
  };
  const change = (/** @type {number} */ index, /** @type {Partial<Lora>} */ fresh) =>
    save(loras.map((lora, n) => (n === index ? { ...lora, ...fresh } : lora)));
  const remove = (/** @type {number} */ index) => {
    focusNext.current = "add";
    save(loras.filter((_, n) => n !== index));
  };
  const typed = (/** @type {Event} */ event) =>
    /** @type {HTMLInputElement} */ (event.target).value;

  const namesId = `k-loras-${task}`;
  return html`
    <section class="k-lora-part" aria-label="LoRAs" hidden=${!isPossible}>
      <span class="k-lora-title">LoRA</span>
      <p class="k-note">A small file that teaches the model a style or a subject.</p>
      <div class="k-loras" ref=${rows}>
        ${loras.map(
          ({ source, weight }, index) => html`
            <div class="k-lora" role="group" aria-label=${`LoRA ${index + 1}`} key=${index}>
              <input
                type="text"
                list=${namesId}
                value=${source}
                placeholder="name, or owner/name"
                aria-label=${`LoRA ${index + 1}`}
                spellcheck=${false}
                autocomplete="off"
                onInput=${(/** @type {Event} */ event) => change(index, { source: typed(event) })}
              />
              <input
                type="number"
                step="0.05"
                min="-4"
                max="4"
                value=${String(weight)}
                aria-label=${`Weight of LoRA ${index + 1}`}
                onInput=${(/** @type {Event} */ event) => change(index, { weight: typed(event) })}
              />
              <button
                class="k-verb"
                type="button"
                aria-label=${`Remove LoRA ${index + 1}`}
                title="Remove"
                onClick=${() => remove(index)}
              >
                <${Icon} name="cross" />
              </button>
            </div>
          `,
        )}
      </div>
      <button
        class="k-press"
        type="button"
        hidden=${loras.length >= MOST}
        ref=${addButton}
        onClick=${add}
      >
        Add a LoRA
      </button>
      <datalist id=${namesId}>
        ${card?.loras.map((name) => html`<option value=${name}></option>`)}
      </datalist>
      <p class="k-note">${card && hint(card)}</p>
    </section>
  `;
}
