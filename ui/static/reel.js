/* The reel: this visitor's clips, newest first, the unfinished ones moving too. */
import { kinora } from "./core.js";

const { el, icon, ask, url } = kinora;
const POLL_MS = 1500;
const DRIVE_AGAIN_MS = 4000;
const busy = (view) => ["queued", "running"].includes(view.state);

class Tile {
  constructor(reel, view) {
    this.reel = reel;
    this.picture = el("div.k-tile-picture");
    this.caption = el("span.k-tile-caption");
    this.mark = el("span.k-tile-mark");
    this.open = el("button.k-tile-open", { type: "button", onclick: () => reel.open(this.view) },
      this.picture, this.mark, this.caption);
    this.bin = el("button.k-tool.k-tile-bin", { type: "button", onclick: () => this.remove() }, icon("bin"));
    this.root = el("li.k-tile", {}, this.open, this.bin);
    this.root.addEventListener("mouseleave", () => this.root.classList.remove("k-sure"));
    this.update(view);
  }

  update(view) {
    const before = this.view;
    this.view = view;
    this.root.dataset.state = view.state;
    this.picture.style.setProperty("--ratio", view.width / view.height);
    this.caption.textContent = view.prompt || "From a picture";
    this.mark.textContent = busy(view) ? `${Math.round(100 * view.ring)} %` : view.state === "failed" ? "Failed" : view.state === "gone" ? "Gone" : "";
    this.mark.hidden = !this.mark.textContent;
    this.open.setAttribute("aria-label", `${view.prompt || "Clip from a picture"}, ${view.state === "succeeded" ? "ready" : view.line}`);
    this.bin.setAttribute("aria-label", `Delete: ${view.prompt || "clip from a picture"}`);
    this.bin.hidden = busy(view);
    if (busy(view) && view.preview) {
      if (!this.strip) {
        const canvas = el("canvas.k-tile-strip", { "aria-hidden": "true" });
        this.picture.replaceChildren(canvas);
        this.strip = new kinora.Strip(canvas);
      }
      this.strip.load(url(view, "preview"), view.preview);
    }
    if (view.state === "succeeded" && before?.state !== "succeeded") this.showClip(view);
  }

  showClip(view) {
    this.strip = null;
    if (view.format === "gif") {
      this.picture.replaceChildren(el("img", { src: url(view, "clip"), alt: "", loading: "lazy" }));
      return;
    }
    const video = el("video", {
      poster: url(view, "poster"), muted: true, loop: true, playsinline: true, preload: "none", tabindex: "-1", "aria-hidden": "true",
    });
    video.muted = true;
    this.picture.replaceChildren(video);
    const play = () => {
      if (!video.src) video.src = url(this.view, "clip");
      video.play().catch(() => {});
    };
    if (kinora.isCalm()) return;
    this.open.addEventListener("pointerenter", play);
    this.open.addEventListener("focus", play);
    this.open.addEventListener("pointerleave", () => video.pause());
    this.open.addEventListener("blur", () => video.pause());
    this.reel.seen.observe(video);
    video.playWhenSeen = play;
  }

  async remove() {
    if (!this.root.classList.contains("k-sure")) {
      this.root.classList.add("k-sure");
      this.bin.setAttribute("aria-label", "Press again to delete this clip for good");
      return;
    }
    try {
      await ask(`/jobs/${this.view.id}`, { method: "DELETE" });
      this.reel.drop(this.view.id);
      kinora.tell("trouble", { task: this.view.task, shown: null, about: "reel" });
    } catch (error) {
      kinora.tell("trouble", { task: this.view.task, shown: error.shown, about: "reel" });
    }
  }
}

class Reel {
  constructor(element) {
    this.tiles = new Map();
    this.driven = new Map(); // when each waiting clip was last given a web request of ours
    this.list = el("ul.k-reel", { "aria-label": "My clips" });
    this.more = el("button.k-verb", { type: "button", hidden: true, onclick: () => this.older() }, "Older clips");
    this.root = el("section.k-reel-part", { hidden: true, "aria-labelledby": "k-reel-title" },
      el("h2.k-title", { id: "k-reel-title" }, "My clips"), this.list, this.more);
    element.append(this.root);
    this.seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) target.playWhenSeen?.();
        else target.pause();
      }
    }, { threshold: 0.5 });
    kinora.on("job", (view) => this.put(view));
    this.start();
  }

  async start() {
    try {
      const { jobs, last } = await ask("/jobs");
      this.last = last;
      jobs.reverse().forEach((view) => this.put(view));
      this.more.hidden = !last;
      this.attach(jobs.reverse());
    } catch {
      setTimeout(() => this.start(), 3000);
      return;
    }
    setInterval(() => this.poll(), POLL_MS);
  }

  /** After a reload the newest unfinished clip of each tab is back on its stage. */
  attach(jobs) {
    const running = {};
    for (const view of jobs) if (busy(view)) running[view.task] ??= view;
    const newest = jobs.find(busy);
    for (const view of Object.values(running)) {
      kinora.withStage(view.task, (stage) => {
        const now = this.tiles.get(view.id)?.view;
        if (stage.job || !now) return;
        stage.follow(now);
        stage.io.trigger("restore", { job: view.id, set: { as: "asked" } });
      });
    }
    if (newest && Date.now() / 1000 - newest.created_at < 3600) kinora.turnTo(newest.task);
  }

  async poll() {
    const onStage = new Set(Object.values(kinora.stages).map((s) => s.source && s.job?.id));
    for (const { view } of [...this.tiles.values()]) {
      if (view.drive) this.drive(view.id); // again, where the last time came to nothing
      if (!busy(view) || onStage.has(view.id)) continue;
      if (document.hidden && !("drive" in view)) continue; // nobody looks, and it needs no request
      try {
        this.put(await ask(`/jobs/${view.id}`));
      } catch (error) {
        if (error.shown?.code === "not_found") this.drop(view.id);
      }
    }
  }

  put(view) {
    if (view.state === "cancelled") {
      this.drop(view.id);
      return;
    }
    if (view.drive) this.drive(view.id);
    const tile = this.tiles.get(view.id);
    if (tile) tile.update(view);
    else {
      const fresh = new Tile(this, view);
      this.tiles.set(view.id, fresh);
      const later = [...this.list.children].find((li) => li.dataset.at < view.created_at);
      fresh.root.dataset.at = view.created_at;
      this.list.insertBefore(fresh.root, later ?? null);
    }
    this.root.hidden = false;
  }

  /** On ZeroGPU a clip is made with the quota of a web request, which ends with its page and
      whose token gets old: then the server says so, and a queued Gradio event brings a new one. */
  drive(id) {
    const now = Date.now();
    if (now - (this.driven.get(id) ?? 0) < DRIVE_AGAIN_MS) return;
    this.driven.set(id, now);
    kinora.withStage("t2v", (stage) => stage.io.trigger("drive", { job: id, set: {} }));
  }

  drop(id) {
    this.tiles.get(id)?.root.remove();
    this.tiles.delete(id);
    this.root.hidden = this.tiles.size === 0;
    for (const stage of Object.values(kinora.stages)) if (stage.job?.id === id) stage.leave();
  }

  open(view) {
    kinora.turnTo(view.task);
    kinora.withStage(view.task, (stage) => {
      stage.follow(view);
      stage.box.scrollIntoView({ block: "nearest", behavior: kinora.isCalm() ? "auto" : "smooth" });
    });
  }

  async older() {
    const { jobs, last } = await ask(`/jobs?before=${this.last}`);
    jobs.forEach((view) => this.put(view));
    this.last = last;
    this.more.hidden = !last;
  }
}

kinora.parts.reel = (element) => new Reel(element);
