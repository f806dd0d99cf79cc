// @ts-check
/* Above the grid: search as it is typed, order, filters, the size of the tiles, and the storage. */
import { Icon } from "../components/icon.js";
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { dateFormat, numberFormat } from "../language.js";
import { leaveGallery, replacePlace } from "./address.js";
import { gallery } from "./clips_shown.js";
import { CollectionTools } from "./collection_tools.js";

/** @import { GalleryFilters, Storage } from "../types.d.ts" */

const TEXTS = {
  title: "All clips",
  back: "Back",
  search: "Search prompts and settings",
  order: "Order",
  orders: [
    ["", "Newest first"],
    ["oldest", "Oldest first"],
    ["longest", "Longest first"],
    ["shortest", "Shortest first"],
    ["model", "By model"],
  ],
  task: "Task",
  tasks: [
    ["", "Every task"],
    ["t2v", "Text to video"],
    ["i2v", "Image to video"],
    ["v2v", "Video to video"],
  ],
  model: "Model",
  everyModel: "Every model",
  size: "Size",
  everySize: "Every size",
  date: "Date",
  dates: [
    ["", "Any time"],
    ["1", "Last 24 hours"],
    ["7", "Last 7 days"],
    ["30", "Last 30 days"],
    ["365", "Last year"],
  ],
  state: "State",
  states: [
    ["", "Every state"],
    ["ready", "Ready"],
    ["running", "Being made"],
    ["failed", "Failed"],
  ],
  collection: "Collection",
  everyCollection: "Every collection",
  starred: "Starred",
  small: "Small pictures",
  large: "Large pictures",
  reset: "Show all",
  counted: (/** @type {string} */ name, /** @type {string} */ n) => `${name} (${n})`,
  shown: (/** @type {string} */ n) => `Clips: ${n}`,
  takes: (/** @type {string} */ size) => `Files: ${size}`,
  kept: (/** @type {string} */ days) => `Kept for ${days} days`,
  goes: (/** @type {string} */ date) => `your oldest goes on ${date}`,
  limit: (/** @type {string} */ share, /** @type {string} */ limit) =>
    `${share} of the ${limit} for everyone are used; then the oldest go`,
};
const NUMBER = numberFormat();
const PERCENT = numberFormat({ style: "percent" });
const DATE = dateFormat({ dateStyle: "medium" });
const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
const TYPING_MS = 150;

/** @param {number} bytes */
export function bytesOf(bytes) {
  const power = Math.min(UNITS.length - 1, bytes < 1 ? 0 : Math.floor(Math.log10(bytes) / 3));
  const options = /** @type {const} */ ({ style: "unit", maximumFractionDigits: 1 });
  const format = numberFormat({ ...options, unit: UNITS[power] });
  return format.format(bytes / 1000 ** power);
}

/**
 * @param {object} props
 * @param {GalleryFilters} props.filters
 * @param {"small" | "large"} props.size
 * @param {(size: "small" | "large") => void} props.onSize
 */
export function GalleryHead({ filters, size, onSize }) {
  const about = useSignal(gallery.about);
  const total = useSignal(gallery.total);
  const set = (/** @type {string} */ name) => (/** @type {string} */ value) => {
    const { [name]: _, ...others } = filters;
    replacePlace({ filters: value ? { ...others, [name]: value } : others });
  };
  const counted = (/** @type {[string, number][]} */ facets, /** @type {string} */ every) => [
    ["", every],
    ...facets.map(([name, n]) => [name, TEXTS.counted(name, NUMBER.format(n))]),
  ];
  const collections = (about?.collections ?? []).map(({ id, name, clips }) => [
    id,
    TEXTS.counted(name, NUMBER.format(clips)),
  ]);
  const isFiltered = Object.keys(filters).some((name) => name !== "sort");
  return html`
    <header class="k-gallery-head">
      <div class="k-gallery-row">
        <button class="k-verb" type="button" title="Escape" onClick=${leaveGallery}>
          <${Icon} name="back" />${TEXTS.back}
        </button>
        <h1 class="k-gallery-title">${TEXTS.title}</h1>
        <${Search} text=${filters.search ?? ""} onSearch=${set("search")} />
        <div class="k-sizes" role="group">
          ${
            /** @type {const} */ (["small", "large"]).map(
              (each) => html`<button
              class="k-verb"
              type="button"
              key=${each}
              aria-label=${TEXTS[each]}
              title=${TEXTS[each]}
              aria-pressed=${String(size === each)}
              onClick=${() => onSize(each)}
            >
              <${Icon} name=${each === "small" ? "tiles" : "grid"} />
            </button>`,
            )
          }
        </div>
      </div>
      <div class="k-gallery-filters">
        <${Choice} label=${TEXTS.order} options=${TEXTS.orders} value=${filters.sort} onChange=${set("sort")} />
        <button
          class="k-press k-filter"
          type="button"
          aria-pressed=${String(Boolean(filters.starred))}
          onClick=${() => set("starred")(filters.starred ? "" : "true")}
        >
          <${Icon} name="star" />${TEXTS.starred}
        </button>
        <${Choice} label=${TEXTS.state} options=${TEXTS.states} value=${filters.status} onChange=${set("status")} />
        <${Choice} label=${TEXTS.task} options=${TEXTS.tasks} value=${filters.task} onChange=${set("task")} />
        <${Choice} label=${TEXTS.model} options=${counted(about?.models ?? [], TEXTS.everyModel)} value=${filters.model} onChange=${set("model")} />
        <${Choice} label=${TEXTS.size} options=${counted(about?.sizes ?? [], TEXTS.everySize)} value=${filters.size} onChange=${set("size")} />
        <${Choice} label=${TEXTS.date} options=${TEXTS.dates} value=${filters.days} onChange=${set("days")} />
        ${
          collections.length > 0 &&
          html`<${Choice} label=${TEXTS.collection} options=${[["", TEXTS.everyCollection], ...collections]} value=${filters.collection} onChange=${set("collection")} />`
        }
        ${filters.collection && html`<${CollectionTools} id=${filters.collection} onDelete=${() => set("collection")("")} />`}
        ${
          isFiltered &&
          html`<button class="k-verb" type="button" onClick=${() => replacePlace({ filters: {} })}>
            <${Icon} name="cross" />${TEXTS.reset}
          </button>`
        }
      </div>
      <p class="k-gallery-facts">
        <span role="status">${total === null ? "" : TEXTS.shown(NUMBER.format(total))}</span>
        ${about && html`<${StorageFacts} storage=${about.storage} />`}
      </p>
    </header>
  `;
}

/** @param {{ text: string, onSearch: (text: string) => void }} props */
function Search({ text, onSearch }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  useLayoutEffect(() => {
    // what is being typed is newer than the address
    if (field.current && document.activeElement !== field.current) field.current.value = text;
  }, [text]);
  const onInput = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onSearch(field.current?.value.trim() ?? ""), TYPING_MS);
  };
  return html`
    <label class="k-search">
      <${Icon} name="search" />
      <input
        type="search"
        aria-label=${TEXTS.search}
        placeholder=${TEXTS.search}
        autocomplete="off"
        enterkeyhint="search"
        ref=${field}
        onInput=${onInput}
      />
    </label>
  `;
}

/** @param {{ label: string, options: string[][], value: string | undefined, onChange: (value: string) => void }} props */
function Choice({ label, options, value = "", onChange }) {
  const known = options.some(([each]) => each === value) ? options : [...options, [value, value]];
  const [width, setWidth] = useState("");
  const shown = known.find(([each]) => each === value)?.[1] ?? "";
  useLayoutEffect(() => setWidth(`${Math.min(26, Math.max(8, shown.length)) + 4}ch`), [shown]);
  return html`
    <select
      class=${`k-filter${value ? " k-filter-on" : ""}`}
      aria-label=${label}
      style=${{ width }}
      value=${value}
      onChange=${(/** @type {Event} */ event) => onChange(/** @type {HTMLSelectElement} */ (event.target).value)}
    >
      ${known.map(([each, name]) => html`<option value=${each} key=${each} selected=${each === value}>${name}</option>`)}
    </select>
  `;
}

/** What the clips take, the limits, and when the oldest goes. @param {{ storage: Storage }} props */
function StorageFacts({ storage }) {
  const facts = [TEXTS.takes(bytesOf(storage.bytes))];
  if (storage.keep_days) {
    const goes = storage.oldest_goes_at;
    const days = TEXTS.kept(NUMBER.format(storage.keep_days));
    facts.push(goes ? `${days}, ${TEXTS.goes(DATE.format(goes * 1000))}` : days);
  }
  if (storage.limit_bytes) {
    const share = PERCENT.format(storage.used_share ?? 0);
    facts.push(TEXTS.limit(share, bytesOf(storage.limit_bytes)));
  }
  return facts.map((fact) => html`<span key=${fact}>${fact}</span>`);
}
