/* The aura: slow light in purple, blue and orange, painted very small and stretched, so it costs
   next to nothing. The same painter lights the room around the stage from whatever is on it. */
import { kinora } from "./core.js";

const SIZE = 48;
const LIGHTS = [
  { color: [109, 74, 255], x: 0.3, y: 0.4, r: 0.95, px: 0.00021, py: 0.00017, phase: 0.0 },
  { color: [47, 123, 255], x: 0.78, y: 0.22, r: 0.8, px: 0.00016, py: 0.00023, phase: 2.1 },
  { color: [255, 138, 61], bright: [255, 158, 94], x: 0.76, y: 0.82, r: 0.62, px: 0.00025, py: 0.00014, phase: 4.2, a: 1.1 },
  { color: [109, 74, 255], x: 0.14, y: 0.9, r: 0.6, px: 0.00013, py: 0.00019, phase: 5.3, a: 0.8 },
];

// a bell, not a cone: no bright point in the middle, no edge
const FALL = [0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1].map((t) => [t, t === 1 ? 0 : Math.exp(-4.2 * t * t)]);

const AURA_MS = 70; // slow light needs few frames, and the machine may be busy making a clip
const ROOM_MS = 180;
const STILL_MS = 1000;

class Aura {
  constructor(canvas, room) {
    this.canvas = canvas;
    this.room = room;
    for (const c of [canvas, room]) {
      c.width = SIZE;
      c.height = SIZE;
    }
    this.ink = canvas.getContext("2d");
    this.roomInk = room.getContext("2d");
    this.lamp = Object.assign(document.createElement("canvas"), { width: 8, height: 8 }).getContext("2d");
    this.light = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE }).getContext("2d");
    this.energy = 0.25; // 0 asleep, 1 working
    this.aim = 0.25;
    this.time = 4000;
    this.source = null; // what lights the room: null for the aura itself
    this.hidden = false; // covered by something opaque
    this.last = this.lastRoom = 0;
    this.visible = true;
    new IntersectionObserver((seen) => {
      this.visible = seen[0].isIntersecting;
    }).observe(canvas);
    const tick = (now) => {
      requestAnimationFrame(tick);
      if (!this.visible || now - this.last < (kinora.isCalm() ? STILL_MS : AURA_MS)) return;
      const step = Math.min(now - this.last, 100);
      this.last = now;
      this.energy += (this.aim - this.energy) * 0.08;
      if (!kinora.isCalm()) this.time += step * (0.6 + 2.2 * this.energy);
      if (!this.hidden) this.glow(this.ink, kinora.isDark());
      if (now - this.lastRoom < ROOM_MS) return;
      this.lastRoom = now;
      this.lightRoom();
    };
    requestAnimationFrame(tick);
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
    const ink = this.roomInk;
    ink.globalCompositeOperation = "copy";
    ink.drawImage(this.light.canvas, 0, 0);
    ink.globalCompositeOperation = "destination-in";
    const half = SIZE / 2;
    const fall = ink.createRadialGradient(half, half, 0, half, half, half);
    for (const t of [0, 0.2, 0.4, 0.6, 0.8, 1]) fall.addColorStop(t, `rgba(0,0,0,${(1 + Math.cos(Math.PI * t)) / 2})`);
    ink.fillStyle = fall;
    ink.fillRect(0, 0, SIZE, SIZE);
  }

  glow(ink, dark) {
    ink.globalCompositeOperation = "source-over";
    ink.fillStyle = dark ? "#0d0b14" : "#f1edff";
    ink.fillRect(0, 0, SIZE, SIZE);
    ink.globalCompositeOperation = dark ? "lighter" : "source-over";
    const breath = 1 + 0.1 * Math.sin(this.time * 0.0007);
    for (const light of LIGHTS) {
      const x = (light.x + 0.16 * Math.sin(this.time * light.px * 6 + light.phase)) * SIZE;
      const y = (light.y + 0.16 * Math.cos(this.time * light.py * 6 + light.phase)) * SIZE;
      const radius = light.r * SIZE * breath * (0.95 + 0.15 * this.energy);
      const strength = ((dark ? 0.62 : 0.6) + 0.2 * this.energy) * (light.a ?? 1);
      const [r, g, b] = dark ? light.color : light.bright ?? light.color;
      const gradient = ink.createRadialGradient(x, y, 0, x, y, radius);
      for (const [at, share] of FALL) gradient.addColorStop(at, `rgba(${r},${g},${b},${strength * share})`);
      ink.fillStyle = gradient;
      ink.fillRect(0, 0, SIZE, SIZE);
    }
  }
}

kinora.Aura = Aura;
