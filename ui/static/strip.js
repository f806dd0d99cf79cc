/* A moving preview: one JPEG with all frames side by side, played on a canvas. A newer strip
   comes up out of the older one instead of replacing it with a jump. */
import { kinora } from "./core.js";

const BLEND_MS = 420;

class Strip {
  constructor(canvas) {
    this.canvas = canvas;
    this.ink = canvas.getContext("2d");
    this.now = null;
    this.before = null;
    this.number = 0;
    this.wanted = 0;
    this.running = false;
  }

  /** `meta` is {number, frames, width, height, fps}; older than what is shown is ignored. */
  async load(url, meta) {
    if (meta.number <= this.wanted) return;
    this.wanted = meta.number;
    const image = new Image();
    image.decoding = "async";
    image.src = `${url}&n=${meta.number}`;
    try {
      await image.decode();
    } catch {
      return; // gone meanwhile, or the job ended
    }
    if (meta.number <= this.number || this.wanted === Infinity) return;
    this.number = meta.number;
    this.before = this.now;
    this.now = { image, ...meta, born: performance.now() };
    if (this.canvas.width !== meta.width) this.canvas.width = meta.width;
    if (this.canvas.height !== meta.height) this.canvas.height = meta.height;
    this.canvas.classList.add("k-on");
    if (!this.running) {
      this.running = true;
      requestAnimationFrame((t) => this.play(t));
    }
  }

  play(time) {
    if (!this.running || !this.now) return;
    if (!this.canvas.isConnected) {
      this.running = false;
      return;
    }
    requestAnimationFrame((t) => this.play(t));
    const { now, before } = this;
    const frame = kinora.isCalm()
      ? Math.floor(now.frames / 2)
      : Math.floor((time / 1000) * now.fps) % now.frames;
    const risen = before ? Math.min(1, (performance.now() - now.born) / BLEND_MS) : 1;
    if (frame === this.shown && risen === this.risen && this.shownNumber === this.number) return;
    if (risen < 1) this.draw(before, Math.min(frame, before.frames - 1), 1);
    this.draw(now, frame, risen);
    this.shown = frame;
    this.risen = risen;
    this.shownNumber = this.number;
  }

  draw(strip, frame, alpha) {
    this.ink.globalAlpha = alpha;
    const { width, height } = this.canvas;
    this.ink.drawImage(
      strip.image, frame * strip.width, 0, strip.width, strip.height, 0, 0, width, height,
    );
    this.ink.globalAlpha = 1;
  }

  clear() {
    this.running = false;
    this.now = this.before = null;
    this.number = this.wanted = 0;
    this.canvas.classList.remove("k-on");
  }
}

kinora.Strip = Strip;
