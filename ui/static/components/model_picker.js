// @ts-check
/* A chip that opens a list of the models this tab's task can be done with, those that run here
   first; words narrow it, and an id of the Hub may be pasted. */

import { problemOf, requestJson } from "../api.js";
import { useGradioValue } from "../gradio.js";
import { createPortal, html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { isTouch } from "../motion.js";
import { placePanel } from "../popover.js";
import { clearProblem, setProblem } from "../problems.js";
import { store } from "../store.js";
import { groupModels } from "./model_groups.js";

/**
 * @import { ModelList, ModelRow, Mounted } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

/** @param {number} gb */
function size(gb) {
  if (gb >= 10) return `${Math.round(gb)} GB`;
  return gb >= 0.95 ? `${gb.toFixed(1)} GB` : `${Math.round(gb * 1000)} MB`;
}

/** @param {Mounted<string> & { title: string }} props `title` is the name of the first model */
export function ModelPicker({ gradio, task, title }) {
  const tab = store.tabs[task];
  const [chosen, setChosen] = useGradioValue(gradio);
  const card = useSignal(tab.card);
  const names = useRef(/** @type {Record<string, string>} */ ({ [chosen]: title }));
  const [offer, setOffer] = useState(/** @type {ModelList | null} */ (null));
  const [search, setSearch] = useState("");
  const [isUnfolded, setUnfolded] = useState(false);
  const [isOpen, setOpen] = useState(false);
  const [pointed, setPointed] = useState(-1);
  const button = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const panel = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const input = /** @type {Ref<HTMLInputElement>} */ (useRef(null));
  const list = /** @type {Ref<HTMLElement>} */ (useRef(null));

  if (card) names.current[card.id] = card.name;
  for (const model of offer?.models ?? []) names.current[model.id] = model.name;
  const { groups, folded, isNarrowed } = groupModels(offer, search, isUnfolded);
  const models = groups.flatMap((group) => group.models);
  const id = `k-picker-${task}`;

  // What is listed has changed: the first match, or the chosen one, is pointed at.
  useLayoutEffect(() => {
    setPointed(isNarrowed && models.length ? 0 : models.findIndex((model) => model.id === chosen));
    if (panel.current?.matches(":popover-open") && button.current) {
      placePanel(panel.current, button.current);
    }
  }, [offer, search, isUnfolded, isOpen, chosen]);
  useLayoutEffect(() => {
    list.current?.querySelector(".k-at")?.scrollIntoView({ block: "nearest" });
  }, [pointed, isOpen]);

  const load = async () => {
    try {
      setOffer(await requestJson(`/models?task=${task}`));
      clearProblem(tab, "models");
    } catch (error) {
      setProblem(tab, problemOf(error), "models");
      panel.current?.hidePopover();
    }
  };
  const toggle = () => {
    if (!panel.current || !button.current) return;
    if (panel.current.matches(":popover-open")) {
      panel.current.hidePopover();
      return;
    }
    setSearch("");
    setUnfolded(false);
    panel.current.showPopover();
    placePanel(panel.current, button.current);
    if (!isTouch()) input.current?.focus();
    if (!offer) load();
  };
  const onToggle = (/** @type {ToggleEvent} */ event) => {
    const opens = event.newState === "open";
    setOpen(opens);
    if (!opens && panel.current?.contains(document.activeElement)) {
      button.current?.focus({ preventScroll: true });
    }
  };
  const choose = (/** @type {ModelRow} */ model) => {
    panel.current?.hidePopover();
    if (model.id === chosen) return;
    names.current[model.id] = model.name;
    setChosen(model.id);
    tab.lookup.value = model.name;
    gradio.trigger("chosen", { before: chosen });
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const count = models.length;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && count) setPointed((pointed + step + count) % count);
    else if (event.key === "Enter") {
      const model = models[Math.max(pointed, 0)];
      if (model) choose(model);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const unfold = () => {
    setUnfolded(true);
    input.current?.focus();
  };

  const name = names.current[chosen] ?? chosen ?? "";
  const placeholder = offer?.any ? "Find a model, or paste an id: owner/name" : "Find a model";
  const option = (/** @type {ModelRow} */ model) => {
    const index = models.indexOf(model);
    const facts = [
      model.verdict,
      model.download_gb && `${size(model.download_gb)} to download.`,
      model.gated && "Its terms must be accepted on the Hub.",
    ];
    return html`
      <div
        class=${`k-picker-option${index === pointed ? " k-at" : ""}`}
        id=${`${id}-${index}`}
        role="option"
        aria-selected=${String(model.id === chosen)}
        key=${model.id}
        onClick=${() => choose(model)}
      >
        <span class="k-picker-option-name" translate="no">${model.name}</span>
        <span class="k-picker-about">${model.about}</span>
        <span class="k-picker-facts">${facts.filter(Boolean).join(" ")}</span>
      </div>
    `;
  };
  const popover = html`
    <div
      class="k-picker-panel k-picker-layer"
      popover="auto"
      role="dialog"
      aria-label="Choose a model"
      ref=${panel}
      onToggle=${onToggle}
    >
      <input
        class="k-picker-search"
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls=${`${id}-list`}
        aria-activedescendant=${models[pointed] ? `${id}-${pointed}` : undefined}
        aria-autocomplete="list"
        aria-label="Find a model"
        autocomplete="off"
        spellcheck=${false}
        placeholder=${placeholder}
        value=${search}
        ref=${input}
        onInput=${() => setSearch(input.current?.value ?? "")}
        onKeyDown=${onKeyDown}
      />
      <div class="k-picker-list" id=${`${id}-list`} role="listbox" aria-label="Models" ref=${list}>
        ${groups.map(
          (group) => html`
            <div role="group" aria-label=${group.title} key=${group.title}>
              ${
                group.isTitled &&
                html`<div class="k-picker-title" aria-hidden="true">${group.title}</div>`
              }
              ${group.models.map(option)}
            </div>
          `,
        )}
        ${
          !groups.length &&
          html`<p class="k-picker-none">${offer ? "No model of that name." : "One moment…"}</p>`
        }
      </div>
      <button class="k-verb" type="button" hidden=${!folded} onClick=${unfold}>
        ${folded === 1 ? "1 more needs a bigger machine" : `${folded} more need a bigger machine`}
      </button>
    </div>
  `;
  return html`
    <button
      class="k-picker"
      type="button"
      aria-haspopup="dialog"
      aria-expanded=${String(isOpen)}
      aria-label=${`Model: ${name}`}
      ref=${button}
      onClick=${toggle}
    >
      <span class="k-picker-label">Model</span>
      <span class="k-picker-name">${name}</span>
      <span class="k-picker-arrow" aria-hidden="true"></span>
    </button>
    ${createPortal(popover, document.body) /* out of the chips' row, which scrolls */}
  `;
}
