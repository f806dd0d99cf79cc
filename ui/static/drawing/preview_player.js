// @ts-check
/* Plays a moving preview on a canvas: one JPEG with all frames side by side. A newer one is blended
   over the older one instead of replacing it with a jump. */
import { prefersReducedMotion } from "../motion.js";

/** @import { PreviewInfo } from "../types.d.ts" */

const BLEND_MS = 420;

/** @typedef {PreviewInfo & { image: HTMLImageElement, shownAt: number }} Strip */

export class PreviewPlayer {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(info: PreviewInfo) => void} onShow called when a newer preview is shown
   */
  constructor(canvas, onShow) {
    this.canvas = canvas;
    this.onShow = onShow;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.current = /** @type {Strip | null} */ (null);
    this.previous = /** @type {Strip | null} */ (null);
    this.requested = 0; // the newest number that was requested
    this.run = 0; // grows with each clearing
    this.isRunning = false;
    this.drawn = ""; // what the canvas shows: nothing is drawn twice
  }

  /**
   * Loads a preview; one that is older than what was requested before is ignored.
   * @param {string} url
   * @param {PreviewInfo} info
   */
  async load(url, info) {
    if (info.number <= this.requested) return;
    this.requested = info.number;
    const { run } = this;
    const image = new Image();
    image.decoding = "async";
    image.src = `${url}&n=${info.number}`;
    try {
      await image.decode();
    } catch {
      return; // gone meanwhile, or the job ended
    }
    // cleared or overtaken while it was decoded
    if (run !== this.run || info.number <= (this.current?.number ?? 0)) return;
    this.previous = this.current;
    this.current = { ...info, image, shownAt: performance.now() };
    if (this.canvas.width !== info.width) this.canvas.width = info.width;
    if (this.canvas.height !== info.height) this.canvas.height = info.height;
    this.onShow(info);
    if (this.isRunning) return;
    this.isRunning = true;
    requestAnimationFrame((time) => this.play(time));
  }

  /** @param {number} time of the animation frame, ms */
  play(time) {
    const { current, previous } = this;
    if (!this.isRunning || !current) return;
    if (!this.canvas.isConnected) {
      this.isRunning = false;
      return;
    }
    requestAnimationFrame((next) => this.play(next));
    const frame = prefersReducedMotion()
      ? Math.floor(current.frames / 2)
      : Math.floor((time / 1000) * current.fps) % current.frames;
    const age = performance.now() - current.shownAt;
    const blend = previous ? Math.min(1, age / BLEND_MS) : 1;
    const toDraw = `${current.number} ${frame} ${blend}`;
    if (toDraw === this.drawn) return;
    if (previous && blend < 1) this.draw(previous, Math.min(frame, previous.frames - 1), 1);
    this.draw(current, frame, blend);
    this.drawn = toDraw;
  }

  /** @param {Strip} strip @param {number} frame @param {number} alpha */
  draw(strip, frame, alpha) {
    const { width, height } = this.canvas;
    const x = frame * strip.width;
    this.context.globalAlpha = alpha;
    this.context.drawImage(strip.image, x, 0, strip.width, strip.height, 0, 0, width, height);
    this.context.globalAlpha = 1;
  }

  clear() {
    this.run += 1;
    this.drawn = "";
    this.isRunning = false;
    this.current = null;
    this.previous = null;
    this.requested = 0;
  }
}
