// @ts-check
/* The stage: one box that is never empty. At rest the aura moves in it, while a clip is made its
   preview comes up out of the aura, then the clip itself plays. The same box throughout. */
import { Aura } from "../drawing/aura.js";
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { isClip } from "../restore_events.js";
import { isActive, store } from "../store.js";
import { Announcer } from "./announcer.js";
import { BatchGrid } from "./batch_grid.js";
import { ClipPlayer } from "./clip_player.js";
import { Failure } from "./failure.js";
import { PreviewCanvas } from "./preview_canvas.js";
import { StageRing } from "./progress_ring.js";
import { RestoreNote } from "./restore_note.js";
import { SplineScene } from "./spline_scene.js";
import { StartingPicture } from "./starting_picture.js";
import { StatusBar } from "./status_bar.js";

/**
 * @import { Mounted } from "../types.d.ts"
 * @import { StageValue } from "../store.js"
 */

/** @template T @typedef {{ current: T | null }} Ref */

const COVERED_MS = 400; // a clip that was revealed covers everything below it by then

/** @param {Mounted<StageValue | null> & { line: string, aspect: [number, number], scene: string | null }} props */
export function Stage({ gradio, task, line, aspect, scene }) {
  const tab = store.tabs[task];
  const root = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const box = /** @type {Ref<HTMLElement>} */ (useRef(null));
  const room = /** @type {Ref<HTMLCanvasElement>} */ (useRef(null));
  const glow = /** @type {Ref<HTMLCanvasElement>} */ (useRef(null));
  const preview = /** @type {Ref<HTMLCanvasElement>} */ (useRef(null));
  const media = /** @type {Ref<HTMLImageElement | HTMLVideoElement>} */ (useRef(null));
  const aura = /** @type {Ref<Aura>} */ (useRef(null));
  const [isDraggedOver, setDraggedOver] = useState(false);

  useLayoutEffect(() => {
    tab.restLine.value = line;
    tab.shape.value = { width: aspect[0], height: aspect[1] };
    if (glow.current && room.current) aura.current = new Aura(glow.current, room.current);
    tab.connect(gradio);
  }, []);

  const job = useSignal(tab.job);
  const batch = useSignal(tab.batch);
  const turn = useSignal(tab.turn);
  const { width, height } = useSignal(tab.shape);
  const { number } = useSignal(tab.preview);
  const picture = useSignal(tab.picture);
  const active = isActive(job);
  const state = job?.state ?? (batch ? "grid" : "rest");
  // an edit cannot be finished early
  const isSampling = job?.id && !job.is_edit && state === "running" && job.phase === "denoise";

  useLayoutEffect(() => {
    const studio = root.current?.closest(".k-studio"); // Gradio's column: the form changes with it
    studio?.classList.toggle("k-busy", active);
    studio?.classList.toggle("k-started", Boolean(isSampling));
  }, [active, isSampling]);

  useLayoutEffect(() => {
    if (!aura.current) return;
    aura.current.targetEnergy = active ? 1 : 0.25;
    if (active) {
      aura.current.source = number ? preview.current : null;
      aura.current.isCovered = number > 1; // by then the first one has come up
    } else if (state !== "succeeded") {
      aura.current.isCovered = false;
      aura.current.source = picture ? media.current : null;
    }
  }, [active, state, number, picture, turn]);

  const onReveal = (/** @type {HTMLElement & CanvasImageSource} */ clip) => {
    if (aura.current) aura.current.source = clip;
    setTimeout(() => {
      if (!clip.classList.contains("k-on") || !aura.current) return;
      tab.clearPreview();
      aura.current.isCovered = true;
    }, COVERED_MS);
  };

  const drop = /** @type {{ current: ((file: File) => void) | null }} */ (useRef(null));
  const onDrag = (/** @type {DragEvent} */ event, /** @type {boolean} */ isOver) => {
    if (!drop.current) return;
    event.preventDefault();
    setDraggedOver(isOver);
  };
  const onDrop = (/** @type {DragEvent} */ event) => {
    const file = event.dataTransfer?.files[0];
    if (file && task !== "v2v" && isClip(file)) {
      setDraggedOver(false); // the page reads its settings
      return;
    }
    onDrag(event, false);
    if (file) drop.current?.(file);
  };

  const boxClass = ["k-box", picture && "k-has-picture", isDraggedOver && "k-over"];
  return html`
    <div class="k-stage" data-state=${state} style=${{ "--ratio": String(width / height) }} ref=${root}>
      <canvas class="k-room" aria-hidden="true" ref=${room}></canvas>
      <div class="k-frame">
        <div
          class=${boxClass.filter(Boolean).join(" ")}
          role="group"
          aria-label="Stage"
          ref=${box}
          onDragOver=${(/** @type {DragEvent} */ event) => onDrag(event, true)}
          onDragLeave=${(/** @type {DragEvent} */ event) => onDrag(event, false)}
          onDrop=${onDrop}
        >
          <canvas class="k-aura" aria-hidden="true" ref=${glow}></canvas>
          <${SplineScene} url=${scene} isAtRest=${state === "rest" && !picture} />
          <${StartingPicture} tab=${tab} box=${box} media=${media} drop=${drop} />
          <${PreviewCanvas}
            class=${`k-layer k-preview${number ? " k-on" : ""}`}
            job=${active && job?.id ? job : null}
            isShown=${number > 0}
            turn=${turn}
            onShow=${(/** @type {import("../types.d.ts").PreviewInfo} */ info) => {
              tab.preview.value = info;
            }}
            canvas=${preview}
          />
          <${ClipPlayer} tab=${tab} onReveal=${onReveal} />
          <${Failure} tab=${tab} />
          <${BatchGrid} tab=${tab} />
        </div>
        <${StageRing} tab=${tab} box=${box} />
        <${RestoreNote} tab=${tab} />
      </div>
      <${Announcer} tab=${tab} />
      <${StatusBar} tab=${tab} />
    </div>
  `;
}
