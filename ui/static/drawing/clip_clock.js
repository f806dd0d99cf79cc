// @ts-check
/* One clock for all clips of a grid: they start together, stay together, and start again when the
   longest has ended. */

const TICK_MS = 100;
const DRIFT_S = 0.25; // a seek costs more than this is seen

export class ClipClock {
  constructor() {
    this.videos = /** @type {Set<HTMLVideoElement>} */ (new Set());
    this.time = 0; // seconds since the clips began
    this.ticked = 0;
    this.timer = /** @type {ReturnType<typeof setInterval> | undefined} */ (undefined);
  }

  /** @param {HTMLVideoElement} video */
  add(video) {
    this.videos.add(video);
  }

  /** @param {HTMLVideoElement} video */
  remove(video) {
    this.videos.delete(video);
    video.pause();
  }

  play() {
    if (this.timer !== undefined) return;
    this.ticked = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = undefined;
    for (const video of this.videos) video.pause();
  }

  tick() {
    const now = performance.now();
    this.time += (now - this.ticked) / 1000;
    this.ticked = now;
    const ready = [...this.videos].filter((video) => video.readyState >= 2);
    const longest = Math.max(0, ...ready.map((video) => video.duration));
    const starts = longest > 0 && this.time >= longest;
    if (starts) this.time = 0;
    for (const video of ready) this.keep(video, starts);
  }

  /** @param {HTMLVideoElement} video @param {boolean} starts */
  keep(video, starts) {
    if (video.seeking) return;
    const end = video.duration;
    if (this.time >= end) return; // a shorter clip waits on its last frame
    if (starts || Math.abs(video.currentTime - this.time) > DRIFT_S) video.currentTime = this.time;
    if (video.paused) video.play().catch(() => {});
  }
}
