// @ts-check
/* The clips of a batch on the stage, as a grid: drafts, a comparison with labels on both axes, or
   many. All play in step. */
import { refreshBatch } from "../batches.js";
import { ClipClock } from "../drawing/clip_clock.js";
import { html, useLayoutEffect, useRef, useSignal } from "../html.js";
import { BatchCell } from "./batch_cell.js";

/**
 * @import { Batch } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

const MOST_FITTED = 12; // more cells than these scroll
const NAMES = { drafts: "Draft", comparison: "Clip", batch: "Clip" };

/**
 * How many columns make the cells largest in a box of the same shape as they are.
 * @param {number} count
 */
function columnsFor(count) {
  return Math.ceil(Math.sqrt(count));
}

/** @param {Batch} batch @param {number} index */
function nameOf(batch, index) {
  const { labels, job } = batch.cells[index];
  if (batch.axes.length)
    return batch.axes.map(({ label }, n) => `${label} ${labels[n]}`).join(", ");
  if (batch.kind === "batch" && job?.prompt) return `Clip ${index + 1}: ${job.prompt}`;
  return `${NAMES[batch.kind]} ${index + 1}`;
}

/** @param {{ tab: import("../store.js").TabState }} props */
export function BatchGrid({ tab }) {
  const batch = useSignal(tab.batch);
  const job = useSignal(tab.job);
  const clock = useRef(/** @type {ClipClock | null} */ (null));
  const grid = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const opened = useRef(/** @type {HTMLElement | null} */ (null));
  const isBehind = useRef(false); // one of its clips is on the stage
  const isPlaying = useSignal(tab.plays);
  clock.current ??= new ClipClock();
  const isShown = batch !== null && job === null;

  useLayoutEffect(() => {
    if (isShown && isPlaying) clock.current?.play();
    else clock.current?.pause();
  }, [isShown, isPlaying]);
  useLayoutEffect(() => {
    if (isShown && isBehind.current) {
      refreshBatch(tab); // it was not followed meanwhile
      opened.current?.focus({ preventScroll: true });
    }
    isBehind.current = batch !== null && job !== null;
  }, [isShown]);

  if (!batch) return null;
  const { axes, cells } = batch;
  const hasAxes = axes.length > 0;
  const columns = hasAxes ? axes[0].values.length : columnsFor(cells.length);
  const rows = Math.ceil(cells.length / columns);
  const isFitted = hasAxes || cells.length <= MOST_FITTED;
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (!step || !grid.current) return;
    const buttons = [
      .../** @type {NodeListOf<HTMLElement>} */ (grid.current.querySelectorAll(".k-cell-open")),
    ];
    const at = buttons.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (at < 0) return;
    event.preventDefault();
    buttons[at + step]?.focus();
  };
  const onClick = (/** @type {MouseEvent} */ event) => {
    const target = event.target instanceof Element ? event.target : null;
    opened.current = target?.closest(".k-cell-open") ?? null;
  };
  const cellAt = (/** @type {number} */ index) => html`
    <${BatchCell}
      key=${cells[index].job?.id ?? index}
      tab=${tab}
      cell=${cells[index]}
      name=${nameOf(batch, index)}
      kind=${batch.kind}
      clock=${clock.current}
    />
  `;
  const label = `${cells.length} ${batch.kind === "drafts" ? "drafts" : "clips"}`;
  const style = {
    "--columns": String(columns),
    "--rows": String(rows),
    "--shape": String(batch.width / batch.height),
  };
  const kinds = ["k-cells", isFitted && "k-cells-fitted", hasAxes && "k-cells-axes"];
  return html`
    <div class="k-layer k-grid-layer" hidden=${!isShown}>
      <div
        class=${kinds.filter(Boolean).join(" ")}
        style=${style}
        role="group"
        aria-label=${label}
        ref=${grid}
        onKeyDown=${onKeyDown}
        onClick=${onClick}
      >
        ${hasAxes && html`<${Axes} batch=${batch} />`}
        ${cells.map((_, index) =>
          hasAxes && index % columns === 0
            ? html`<span class="k-axis k-axis-row" aria-hidden="true" key=${`row ${index}`}
                  >${axes[1]?.values[index / columns] ?? ""}</span
                >${cellAt(index)}`
            : cellAt(index),
        )}
      </div>
    </div>
  `;
}

/** The first row: what the columns are. @param {{ batch: Batch }} props */
function Axes({ batch: { axes } }) {
  const corner = axes.map(({ label }) => label).join(" → ");
  return html`
    <span class="k-axis k-axis-corner" aria-hidden="true">
      ${axes.length > 1 ? html`<b>${axes[0].label}</b><b>${axes[1].label}</b>` : corner}
    </span>
    ${axes[0].values.map((value) => html`<span class="k-axis" aria-hidden="true">${value}</span>`)}
  `;
}
