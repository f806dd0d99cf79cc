// @ts-check
/* Under the stage, while it shows a grid: stopping all, and the files that are made of all clips. */
import { batchUrl } from "../api.js";
import { discardAll } from "../batches.js";
import { html, useSignal } from "../html.js";
import { Icon } from "./icon.js";

/** @import { Batch } from "../types.d.ts" */

const FILES = /** @type {const} */ ([
  ["sheet.png", "picture", "Contact sheet", "One picture of all clips"],
  ["grid.mp4", "film", "Grid video", "One video in which all play"],
  ["clips.zip", "down", "Zip", "All clips, and what made them"],
]);
const MOST_REASONS = 2;

/** Why clips failed, each reason once. @param {{ batch: Batch }} props */
export function BatchFailures({ batch }) {
  const messages = batch.cells.flatMap(({ job }) => job?.error?.message ?? []);
  return [...new Set(messages)]
    .slice(0, MOST_REASONS)
    .map((text) => html`<p class="k-note" key=${text}>${text}</p>`);
}

/** @param {{ tab: import("../store.js").TabState, batch: Batch }} props */
export function BatchVerbs({ tab, batch }) {
  const isPlaying = useSignal(tab.plays);
  const togglePlaying = () => {
    tab.plays.value = !isPlaying;
  };
  return html`
    ${
      !batch.ended &&
      html`<button class="k-verb" type="button" onClick=${() => discardAll(tab, batch)}>
        <${Icon} name="cross" />Stop all
      </button>`
    }
    ${
      batch.ready > 0 &&
      html`<button
        class="k-verb"
        type="button"
        aria-label=${isPlaying ? "Pause all clips" : "Play all clips"}
        onClick=${togglePlaying}
      >
        <${Icon} name=${isPlaying ? "pause" : "play"} />${isPlaying ? "Pause" : "Play"}
      </button>`
    }
    ${
      batch.ready > 0 &&
      batch.kind !== "drafts" &&
      FILES.map(
        ([file, icon, label, title]) => html`
          <a
            class="k-verb"
            key=${file}
            href=${batchUrl(batch, file, "download")}
            download=""
            title=${title}
          >
            <${Icon} name=${icon} />${label}
          </a>
        `,
      )
    }
  `;
}
