/* The stage: one box that is never empty. At rest the aura breathes in it, while a clip is made
   its moving preview comes up out of the aura, then the clip itself plays. Same box throughout. */
import { kinora } from "./core.js";

const { el, fill, ask, url } = kinora;
const RING = 1000;

class Stage {
  constructor(element, io, { task, line, aspect }) {
    this.io = io;
    this.task = task;
    this.rest = line;
    this.job = null; // the view of the job on the stage
    this.source = null;
    this.build(element, aspect);
    this.show(null);
    queueMicrotask(() => kinora.addStage(task, this));
  }

  build(element, aspect) {
    const room = el("canvas.k-room", { "aria-hidden": "true" });
    const aura = el("canvas.k-aura", { "aria-hidden": "true" });
    this.pictureLayer = el("div.k-layer.k-picture-layer");
    this.previewCanvas = el("canvas.k-layer.k-preview", { "aria-hidden": "true" });
    this.video = el("video.k-layer.k-video", {
      muted: true, loop: true, playsinline: true, autoplay: true, preload: "auto", tabindex: "-1",
    });
    this.video.muted = true;
    this.still = el("img.k-layer.k-video", { alt: "" }); // a GIF plays in an <img>
    this.failure = el("div.k-layer.k-failure", { hidden: true });
    this.ring = this.buildRing();
    this.spoken = el("p.k-spoken", { "aria-live": "polite", role: "status" });
    this.box = el("div.k-box", { role: "group", "aria-label": "Stage" },
      aura, this.pictureLayer, this.previewCanvas, this.video, this.still, this.failure);
    this.frame = el("div.k-frame", {}, this.box, this.ring);
    this.root = el("div.k-stage", {}, room, this.frame, this.spoken);
    element.append(this.root);
    this.bar = new kinora.Bar(this.root, (verb, view) => this.act(verb, view));
    this.studio = element.closest(".k-studio") ?? element;
    this.aura = new kinora.Aura(aura, room);
    this.strip = new kinora.Strip(this.previewCanvas);
    this.shape(...aspect);
    new ResizeObserver(() => this.layRing()).observe(this.box);
    this.video.addEventListener("playing", () => this.reveal(this.video));
    this.video.addEventListener("click", () => (this.video.paused ? this.video.play() : this.video.pause()));
    this.still.addEventListener("load", () => this.reveal(this.still));
    if (this.task !== "t2v") this.buildPicture(this.task === "v2v" ? "video" : "image");
  }

  buildPicture(kind) {
    this.picture = new kinora.Picture(kind, this.pictureLayer, (value, isNew) => {
      if (isNew) this.leave();
      if (isNew) kinora.tell("trouble", { task: this.task, shown: null });
      if (isNew) this.lightFrom(value && this.picture.image);
      this.io.props.value = value && { id: value.id, focus: value.focus };
      if (isNew) this.io.trigger("picked");
    }, (shown) => kinora.tell("trouble", { task: this.task, shown }));
    const over = (event, on) => {
      event.preventDefault();
      this.box.classList.toggle("k-over", on);
    };
    this.box.addEventListener("dragover", (e) => over(e, true));
    this.box.addEventListener("dragleave", (e) => over(e, false));
    this.box.addEventListener("drop", (e) => {
      over(e, false);
      const file = e.dataTransfer.files[0];
      if (file) this.picture.take(file);
    });
    document.addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files ?? [])]
        .find((f) => f.type.startsWith(`${kind}/`) || ["", "application/octet-stream"].includes(f.type));
      if (!file || !this.box.offsetParent) return;
      event.preventDefault();
      this.picture.take(file);
    });
  }

  buildRing() {
    const svg = (name, attributes, ...children) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      node.append(...children);
      return node;
    };
    const stops = [["0", "#6d4aff"], ["0.55", "#2f7bff"], ["1", "#ff8a3d"]];
    const light = svg("linearGradient", { id: "k-ring-light", x1: 1, y1: 0, x2: 0, y2: 1 },
      ...stops.map(([offset, color]) => svg("stop", { offset, "stop-color": color })));
    this.arcs = ["k-ring-track", "k-ring-fill"].map((name) => svg("path", { class: name, pathLength: RING }));
    return svg("svg", { class: "k-ring", "aria-hidden": "true" }, svg("defs", {}, light), ...this.arcs);
  }

  /** Once round the stage, clockwise from the top. */
  layRing() {
    const w = this.box.offsetWidth + 16, h = this.box.offsetHeight + 16, e = 2, r = 20;
    const path = `M${w / 2} ${e}H${w - r - e}a${r} ${r} 0 0 1 ${r} ${r}V${h - r - e}a${r} ${r} 0 0 1 ${-r} ${r}`
      + `H${r + e}a${r} ${r} 0 0 1 ${-r} ${-r}V${r + e}a${r} ${r} 0 0 1 ${r} ${-r}Z`;
    if (w > 16) for (const arc of this.arcs) arc.setAttribute("d", path);
    this.picture?.place();
  }

  shape(width, height) {
    if (!width || !height) return;
    this.root.style.setProperty("--ratio", width / height);
    requestAnimationFrame(() => this.layRing());
  }

  /** What the line says while there is nothing to say. */
  atRest(line) {
    this.rest = line;
    if (!this.job) this.bar.show({ line });
  }

  /** Put a job on the stage and stay with it until it ends. */
  follow(view) {
    this.leave(false);
    this.show(view);
    if (["queued", "running"].includes(view.state)) this.listen(view);
  }

  listen(view) {
    const id = view.id;
    if (!view.signed && kinora.visitor.name) {
      this.recover(id); // an EventSource sends no header: without a cookie its address is signed
      return;
    }
    const source = new EventSource(url(view, "live"));
    this.source = source;
    source.onmessage = (message) => {
      if (this.source !== source) return;
      const view = JSON.parse(message.data);
      this.show(view);
      kinora.tell("job", view);
      if (!["queued", "running"].includes(view.state)) this.unlisten();
    };
    source.addEventListener("end", () => source.close());
    source.onerror = () => {
      if (this.source !== source) return;
      this.bar.say("The connection is gone; the clip goes on. Reconnecting…");
      if (source.readyState === EventSource.CLOSED) this.recover(id);
    };
  }

  async recover(id) {
    this.unlisten();
    try {
      const view = await ask(`/jobs/${id}`);
      if (this.job?.id === id) this.follow(view);
    } catch (error) {
      if (this.job?.id !== id) return;
      if (error.shown?.code === "not_found") this.leave();
      else setTimeout(() => this.job?.id === id && !this.source && this.recover(id), 2000);
    }
  }

  unlisten() {
    this.source?.close();
    this.source = null;
  }

  leave(render = true) {
    this.unlisten();
    this.strip.clear();
    for (const shown of [this.video, this.still]) {
      shown.classList.remove("k-on");
      shown.removeAttribute("src");
    }
    this.video.load();
    this.job = null;
    if (render) this.show(null);
  }

  /** The pressed button's answer is on its way: the stage wakes before the server has spoken. */
  wake() {
    if (this.job?.id) this.before = this.job;
    this.leave(false);
    this.show({ state: "queued", line: "Getting ready", ring: 0 });
  }

  /** It will not be made: back to what was on the stage before. */
  sleep() {
    if (this.job?.id) return;
    if (this.before) this.follow(this.before);
    else this.leave();
  }

  show(view) {
    this.job = view;
    const state = view?.state ?? "rest";
    const busy = state === "queued" || state === "running";
    this.root.dataset.state = state;
    this.studio.classList.toggle("k-busy", busy);
    this.studio.classList.toggle("k-started", state === "running" && view.phase === "denoise");
    this.aura.aim = busy ? 1 : 0.25;
    this.arcs[1].style.strokeDashoffset = RING * (1 - (busy ? Math.max(view.ring, 0.004) : view ? 1 : 0));
    if (view?.width) this.shape(view.width, view.height);
    if (!busy) kinora.tell("trouble", { task: this.task, shown: null, about: "stop" });
    this.bar.show(view ?? { line: this.rest });
    this.speak(view);
    this.fail(view?.error ?? null, view);
    if (busy && view.preview) this.strip.load(url(view, "preview"), view.preview);
    if (busy) {
      this.lightFrom(this.strip.number ? this.previewCanvas : null);
      this.aura.hidden = this.strip.number > 1; // by then the first one has risen
    }
    if (state === "succeeded") this.play(view);
    else if (!busy) {
      this.aura.hidden = false;
      this.lightFrom(this.picture?.value ? this.picture.image : null);
    }
    if (state === "cancelled") this.leave();
  }

  play(view) {
    const target = view.format === "gif" ? this.still : this.video;
    if (target.getAttribute("src") && target.dataset.clip === view.id) return;
    target.dataset.clip = view.id;
    if (target === this.video) {
      this.video.poster = url(view, "poster");
      this.video.setAttribute("aria-label", `Clip: ${view.prompt}`);
    } else this.still.alt = `Clip: ${view.prompt}`;
    target.src = url(view, "clip");
    if (target === this.video) {
      if (kinora.isCalm()) {
        this.video.autoplay = false;
        this.video.controls = true;
        this.video.addEventListener("loadeddata", () => this.reveal(this.video), { once: true });
      } else this.video.play().catch(() => this.reveal(this.video));
    }
  }

  reveal(shown) {
    if (this.job?.state !== "succeeded") return;
    shown.classList.add("k-on");
    this.lightFrom(shown);
    setTimeout(() => {
      if (shown.classList.contains("k-on")) {
        this.strip.clear();
        this.aura.hidden = true;
      }
    }, 400);
  }

  lightFrom(thing) {
    this.aura.source = thing;
  }

  /** Screen readers hear the turns of the story, not every step of it. */
  speak(view) {
    const said = !view?.phase ? "" : {
      queued: "Waiting to be made.",
      waiting_for_gpu: "Waiting for a GPU.",
      loading: "Loading the model.",
      denoise: "Your clip is taking shape.",
      decoding: "Decoding frames.",
      succeeded: "Your clip is ready and playing.",
      failed: "This clip could not be made.",
      gone: "This clip is gone.",
      cancelled: "Discarded.",
    }[view.phase];
    if (said && this.spoken.textContent !== said) this.spoken.textContent = said;
  }

  fail(error, view) {
    this.failure.hidden = !error;
    const mark = view && `${view.id} ${JSON.stringify(error)}`; // the same job may fail twice
    if (!error || this.failure.dataset.mark === mark) return;
    this.failure.dataset.mark = mark;
    const repair = error.action && el("button.k-press", {
      type: "button", onclick: () => this.act("repair", view, error.action.set),
    }, error.action.label);
    fill(this.failure,
      el("p.k-failure-title", {}, error.message),
      error.remedy && el("p", {}, error.remedy),
      el("div.k-failure-verbs", {}, repair,
        error.develop && el("button.k-press", {
          type: "button", title: "Nothing is sampled again: only the frames are made", onclick: () => this.act("develop", view),
        }, "Decode again"),
        el("button.k-press", { type: "button", onclick: () => this.act("again", view) }, error.develop ? "From the start" : "Try again")),
    );
  }

  act(verb, view, set) {
    if (["again", "another", "develop"].includes(verb)) this.wake();
    this.io.trigger(verb, { job: view.id, set: set ?? {} });
  }

  /** Finish now, or discard: straight to the job, past any queue. */
  async stop(how) {
    const id = this.job?.id;
    if (!id) return;
    this.bar.say(how === "finish" ? "Finishing with what is there" : "Discarding");
    try {
      await ask(`/jobs/${id}/${how}`, { method: "POST" });
    } catch (error) {
      kinora.tell("trouble", { task: this.task, shown: error.shown, about: "stop" });
    }
  }
}

kinora.parts.stage = (element, io, options) => new Stage(element, io, options);
