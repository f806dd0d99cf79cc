// @ts-check
/* Under a clip of a grid: the way back, and for a draft its rendering. */
import { renderDraft } from "../actions.js";
import { problemOf, requestJson } from "../api.js";
import { showGrid } from "../batches.js";
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { Icon } from "./icon.js";

/**
 * @import { Job } from "../types.d.ts"
 * @import { TabState } from "../store.js"
 */

/** Gets the focus, as the cell that was pressed is not seen any more. @param {{ tab: TabState, draft: Job }} props */
export function RenderButton({ tab, draft }) {
  const button = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    if (tab.batch.peek()) button.current?.focus({ preventScroll: true });
  }, []);
  return html`
    <button
      class="k-verb k-verb-main"
      type="button"
      ref=${button}
      onClick=${() => renderDraft(tab, draft)}
    >
      <${Icon} name="again" />Render it fully
    </button>
  `;
}

/** What the full clip takes, and whether it may show something else. @param {{ draft: Job }} props */
export function FullClipNote({ draft }) {
  const [lines, setLines] = useState(/** @type {string[]} */ ([]));
  useLayoutEffect(() => {
    let isWanted = true;
    requestJson(`/jobs/${draft.id}/full`).then(
      ({ line, notes }) => isWanted && setLines([line, ...notes]),
      (error) => isWanted && setLines([problemOf(error).message]),
    );
    return () => {
      isWanted = false;
    };
  }, [draft.id]);
  return lines.map((text) => html`<p class="k-note" key=${text}>${text}</p>`);
}

/** @param {{ tab: TabState, job: Job }} props */
export function BackToGrid({ tab, job }) {
  const batch = useSignal(tab.batch);
  const button = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    if (tab.batch.peek() && !job.is_draft) button.current?.focus({ preventScroll: true });
  }, []);
  if (!batch && !job.batch) return null;
  const isOfDrafts = batch ? batch.kind === "drafts" : job.is_draft;
  return html`
    <button
      class="k-verb"
      type="button"
      title=${batch ? "Escape" : undefined}
      ref=${button}
      onClick=${() => showGrid(tab, job.batch)}
    >
      <${Icon} name="grid" />${isOfDrafts ? "Back to the drafts" : "Back to the grid"}
    </button>
  `;
}
