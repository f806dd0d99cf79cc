// @ts-check
/* The aura: slow light in purple, blue and orange, painted very small and stretched, so it costs
   next to nothing. The same painter lights the room around the stage from whatever is on it. */
import { isDark, prefersReducedMotion } from "../motion.js";

const SIZE = 48;
/** @typedef {[number, number, number]} Rgb */
/** @typedef {{ color: Rgb, bright?: Rgb, x: number, y: number, r: number, px: number, py: number, phase: number, a?: number }} Light */

/** @type {Light[]} */
const LIGHTS = [
  { color: [109, 74, 255], x: 0.3, y: 0.4, r: 0.95, px: 0.00021, py: 0.00017, phase: 0 },
  { color: [47, 123, 255], x: 0.78, y: 0.22, r: 0.8, px: 0.00016, py: 0.00023, phase: 2.1 },
  {
    color: [255, 138, 61],
    bright: [255, 158, 94],
    x: 0.76,
    y: 0.82,
    r: 0.62,
    px: 0.00025,
    py: 0.00014,
    phase: 4.2,
    a: 1.1,
  },
  { color: [109, 74, 255], x: 0.14, y: 0.9, r: 0.6, px: 0.00013, py: 0.00019, phase: 5.3, a: 0.8 },
];

/** A bell, not a cone: no bright point in the middle, no edge. */
const FALLOFF = [0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1].map((t) => [
  t,
  t === 1 ? 0 : Math.exp(-4.2 * t * t),
]);

const AURA_MS = 70; // slow light needs few frames, and the machine may be busy making a clip
const ROOM_MS = 180;
const STILL_MS = 1000;

/** @param {HTMLCanvasElement} canvas @param {number} size */
function contextOf(canvas, size) {
  canvas.width = size;
  canvas.height = size;
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

export class Aura {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLCanvasElement} room
   */
  constructor(canvas, room) {
    this.canvas = canvas;
    this.context = contextOf(canvas, SIZE);
    this.room = contextOf(room, SIZE);
    this.lamp = contextOf(document.createElement("canvas"), 8);
    this.light = contextOf(document.createElement("canvas"), SIZE);
    this.energy = 0.25; // 0 asleep, 1 working
    this.targetEnergy = 0.25;
    this.time = 4000;
    /** What lights the room; null for the aura itself. */
    this.source = /** @type {CanvasImageSource | null} */ (null);
    this.isCovered = false; // by something opaque
    this.isOnScreen = true;
    this.drawnAt = 0;
    this.roomDrawnAt = 0;
    new IntersectionObserver(([entry]) => {
      this.isOnScreen = entry.isIntersecting;
    }).observe(canvas);
    requestAnimationFrame((now) => this.tick(now));
  }

  /** @param {number} now */
  tick(now) {
    requestAnimationFrame((next) => this.tick(next));
    const isStill = prefersReducedMotion();
    if (!this.isOnScreen || now - this.drawnAt < (isStill ? STILL_MS : AURA_MS)) return;
    const step = Math.min(now - this.drawnAt, 100);
    this.drawnAt = now;
    this.energy += (this.targetEnergy - this.energy) * 0.08;
    if (!isStill) this.time += step * (0.6 + 2.2 * this.energy);
    if (!this.isCovered) this.paint(isDark());
    if (now - this.roomDrawnAt < ROOM_MS) return;
    this.roomDrawnAt = now;
    this.lightRoom();
  }

  /** What is on the stage falls softly into the room around it. */
  lightRoom() {
    // light changes over a second, as a lamp does
    this.light.globalAlpha = 0.3;
    this.lamp.filter = this.source ? "saturate(1.8) brightness(1.25)" : "none";
    try {
      this.lamp.drawImage(this.source ?? this.canvas, 0, 0, 8, 8); // a lamp has no edges
      this.light.drawImage(this.lamp.canvas, 0, 0, SIZE, SIZE);
    } catch {
      /* a video that is not ready lights nothing */
    }
    const { room } = this;
    room.globalCompositeOperation = "copy";
    room.drawImage(this.light.canvas, 0, 0);
    room.globalCompositeOperation = "destination-in";
    const half = SIZE / 2;
    const fall = room.createRadialGradient(half, half, 0, half, half, half);
    for (const t of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
      fall.addColorStop(t, `rgba(0,0,0,${(1 + Math.cos(Math.PI * t)) / 2})`);
    }
    room.fillStyle = fall;
    room.fillRect(0, 0, SIZE, SIZE);
  }

  /** @param {boolean} dark */
  paint(dark) {
    const { context, time, energy } = this;
    context.globalCompositeOperation = "source-over";
    context.fillStyle = dark ? "#0d0b14" : "#f1edff";
    context.fillRect(0, 0, SIZE, SIZE);
    context.globalCompositeOperation = dark ? "lighter" : "source-over";
    const breath = 1 + 0.1 * Math.sin(time * 0.0007);
    for (const light of LIGHTS) {
      const x = (light.x + 0.16 * Math.sin(time * light.px * 6 + light.phase)) * SIZE;
      const y = (light.y + 0.16 * Math.cos(time * light.py * 6 + light.phase)) * SIZE;
      const radius = light.r * SIZE * breath * (0.95 + 0.15 * energy);
      const strength = ((dark ? 0.62 : 0.6) + 0.2 * energy) * (light.a ?? 1);
      const [r, g, b] = dark ? light.color : (light.bright ?? light.color);
      const gradient = context.createRadialGradient(x, y, 0, x, y, radius);
      for (const [at, share] of FALLOFF) {
        gradient.addColorStop(at, `rgba(${r},${g},${b},${strength * share})`);
      }
      context.fillStyle = gradient;
      context.fillRect(0, 0, SIZE, SIZE);
    }
  }
}
