// @ts-check
/* One clip of a grid: its preview while it is made, then the clip, which plays in step with the
   others while it is seen. */
import { makeAgain } from "../actions.js";
import { fileUrl } from "../api.js";
import { discardCell, openCell } from "../batches.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { prefersReducedMotion } from "../motion.js";
import { isActive } from "../store.js";
import { Icon } from "./icon.js";
import { PreviewCanvas } from "./preview_canvas.js";
import { ProgressRing } from "./progress_ring.js";

/**
 * @import { Cell, CellJob } from "../types.d.ts"
 * @import { TabState } from "../store.js"
 * @import { ClipClock } from "../drawing/clip_clock.js"
 * @import { Ref } from "./stage.js"
 */

/** @type {Record<string, string>} */
const ENDED = { failed: "Failed", gone: "Gone", cancelled: "Discarded" };
const RING = { margin: 0, radius: 10 };

/** @param {CellJob} job */
function markOf(job) {
  if (job.state === "running") return `${Math.round(100 * job.ring)} %`;
  if (job.state === "queued") return "Waiting";
  return ENDED[job.state] ?? "";
}

/**
 * @param {object} props
 * @param {TabState} props.tab
 * @param {Cell} props.cell
 * @param {string} props.name "Draft 2"
 * @param {import("../types.d.ts").Batch["kind"]} props.kind
 * @param {ClipClock} props.clock
 */
export function BatchCell({ tab, cell, name, kind, clock }) {
  const box = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const [isConfirming, setConfirming] = useState(false); // whether it shall really be deleted
  const { job, problem } = cell;
  if (!job) {
    return html`<div class="k-cell k-cell-empty" ref=${box}>
      <p><span class="k-spoken">${name}: </span>${problem}</p>
    </div>`;
  }
  const mark = markOf(job);
  const active = isActive(job);
  const isReady = job.state === "succeeded";
  const canBeMade = ["failed", "gone", "cancelled"].includes(job.state);
  const discard = () => {
    if (active || isConfirming) discardCell(tab, job);
    else setConfirming(true);
  };
  const discardLabel = isConfirming
    ? `Press again to delete ${name.toLowerCase()} for good`
    : `Discard ${name.toLowerCase()}`;
  return html`
    <div
      class=${`k-cell${isConfirming ? " k-sure" : ""}`}
      data-state=${job.state}
      ref=${box}
      onMouseLeave=${() => setConfirming(false)}
    >
      <button
        class="k-cell-open"
        type="button"
        aria-label=${`${name}, ${isReady ? "ready" : job.error?.message || mark}`}
        title=${canBeMade ? job.error?.message : "Open"}
        onClick=${() => openCell(tab, job)}
      >
        <${CellPicture} job=${job} clock=${clock} />
        <span class="k-cell-mark" hidden=${!mark}>${mark}</span>
        ${kind === "batch" && !canBeMade && html`<span class="k-cell-caption" translate="no">${job.prompt}</span>`}
      </button>
      ${job.state === "running" && html`<${ProgressRing} done=${job.ring} box=${box} ...${RING} />`}
      ${
        (active || (isReady && kind === "drafts")) &&
        html`<button
          class="k-tool k-cell-tool"
          type="button"
          title="Discard"
          aria-label=${discardLabel}
          onClick=${discard}
        >
          <${Icon} name=${active ? "cross" : "bin"} />
        </button>`
      }
      ${
        canBeMade &&
        html`<button
          class="k-press k-cell-again"
          type="button"
          aria-label=${`Try ${name.toLowerCase()} again`}
          onClick=${() => makeAgain(tab, job)}
        >
          Try again
        </button>`
      }
    </div>
  `;
}

/** @param {{ job: CellJob, clock: ClipClock }} props */
function CellPicture({ job, clock }) {
  const hasPreview = useRef(false);
  const [isLoaded, setLoaded] = useState(false); // until then the preview stays below the clip
  if (isActive(job) && job.preview) hasPreview.current = true;
  const shown = isActive(job) ? job : null;
  return html`
    ${
      hasPreview.current &&
      !isLoaded &&
      html`<${PreviewCanvas} class="k-cell-picture" job=${shown} isShown=${true} />`
    }
    ${
      job.state === "succeeded" &&
      html`<${CellClip} job=${job} clock=${clock} onLoad=${() => setLoaded(true)} />`
    }
  `;
}

/**
 * Loaded when it is first seen: a batch may have hundreds.
 * @param {{ job: CellJob, clock: ClipClock, onLoad: () => void }} props
 */
function CellClip({ job, clock, onLoad }) {
  const video = /** @type {Ref<HTMLVideoElement>} */ (useRef(null));
  const newest = useRef(job); // a newer signed address may arrive before it is first played
  newest.current = job;
  const image = prefersReducedMotion() ? "poster" : "clip"; // a GIF moves by itself
  const [imageUrl] = useState(fileUrl(job, image)); // what was loaded first stays
  useLayoutEffect(() => {
    const player = video.current;
    if (!player) return;
    const seen = new IntersectionObserver(([{ isIntersecting }]) => {
      if (!isIntersecting) {
        clock.remove(player);
        return;
      }
      if (!player.hasAttribute("src")) {
        player.poster = fileUrl(newest.current, "poster");
        player.src = fileUrl(newest.current, "clip");
      }
      clock.add(player);
    });
    seen.observe(player);
    return () => {
      seen.disconnect();
      clock.remove(player);
    };
  }, []);
  if (job.format === "gif") {
    return html`<img class="k-cell-picture" src=${imageUrl} alt="" loading="lazy" onLoad=${onLoad} />`;
  }
  return html`
    <video
      class="k-cell-picture"
      muted
      playsInline
      preload="auto"
      tabIndex="-1"
      aria-hidden="true"
      ref=${video}
      onLoadedData=${onLoad}
    ></video>
  `;
}
