// @ts-check
/* The clips of one batch in the list: one tile that opens their grid. */
import { fileUrl } from "../api.js";
import { deleteBatch, showBatchOfList } from "../clips.js";
import { html, useRef, useState } from "../html.js";
import { isActive } from "../store.js";
import { Icon } from "./icon.js";
import { PreviewCanvas } from "./preview_canvas.js";

/** @import { Job } from "../types.d.ts" */

const MOST_PICTURES = 4;

/** @param {Job[]} clips */
function markOf(clips) {
  if (clips.some(({ state }) => state === "running")) return "Running";
  if (clips.some(isActive)) return "Waiting";
  if (clips.some(({ state }) => state === "succeeded")) return "";
  return clips.every(({ state }) => state === "gone") ? "Gone" : "Failed";
}

/** @param {{ id: string, clips: Job[] }} props the clips of it that are in the list, newest first */
export function BatchTile({ id, clips }) {
  const [isConfirming, setConfirming] = useState(false); // whether all shall really be deleted
  const first = clips[clips.length - 1];
  const mark = markOf(clips);
  const ofPicture = first.is_draft ? "Drafts from a picture" : "Grid from a picture";
  const ofPrompt = first.is_draft ? `Drafts: ${first.prompt}` : `Grid: ${first.prompt}`;
  const name = first.prompt ? ofPrompt : ofPicture;
  const remove = () => {
    if (isConfirming) deleteBatch(first.task, id);
    else setConfirming(true);
  };
  return html`
    <li
      class=${`k-tile k-tile-batch${isConfirming ? " k-sure" : ""}`}
      onMouseLeave=${() => setConfirming(false)}
    >
      <button
        class="k-tile-open"
        type="button"
        aria-label=${`${name}, ${mark.toLowerCase() || "ready"}`}
        onClick=${() => showBatchOfList(first.task, id)}
      >
        <div class="k-tile-picture">
          <div class="k-tile-mosaic">
            ${[...clips]
              .reverse()
              .slice(0, MOST_PICTURES)
              .map((clip) => html`<${Picture} clip=${clip} key=${clip.id} />`)}
          </div>
        </div>
        <span class="k-tile-mark"><${Icon} name="grid" />${mark}</span>
        <span class="k-tile-caption">${name}</span>
      </button>
      <button
        class="k-tool k-tile-bin"
        type="button"
        aria-label=${isConfirming ? "Press again to delete all of these clips for good" : `Delete all: ${name}`}
        hidden=${clips.some(isActive)}
        onClick=${remove}
      >
        <${Icon} name="bin" />
      </button>
    </li>
  `;
}

/** @param {{ clip: Job }} props */
function Picture({ clip }) {
  const poster = useRef(""); // a signed address changes with every state: what was loaded first stays
  if (clip.state === "succeeded") {
    poster.current ||= fileUrl(clip, "poster");
    return html`<img src=${poster.current} alt="" loading="lazy" />`;
  }
  return html`
    <span>
      ${
        isActive(clip) &&
        clip.preview &&
        html`<${PreviewCanvas} class="k-tile-strip" job=${clip} isShown=${true} />`
      }
    </span>
  `;
}
