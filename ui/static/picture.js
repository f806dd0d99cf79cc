/* The picture a clip starts from, or the clip it is made over: chosen, pasted or dropped, cropped to
   the stage's shape, the crop moved by dragging or with the arrow keys. */
import { kinora } from "./core.js";

const { el, icon, ask } = kinora;
const KINDS = {
  image: {
    word: "picture",
    route: "/pictures",
    accept: kinora.pictures,
    label: "Picture to animate",
    icon: "picture",
    formats: `Use a ${kinora.pictureWords}.`,
    other: "video",
  },
  video: {
    word: "clip",
    route: "/videos",
    accept: "video/mp4,video/webm,video/quicktime",
    label: "Clip to work over",
    icon: "film",
    formats: "Use an MP4 or WebM.",
    other: "image",
  },
};
const clamp = (v) => Math.min(1, Math.max(0, v));

class Picture {
  /** `changed(value)` hears {id, width, height, focus} or null; `failed(shown)` hears a refusal. */
  constructor(kind, layer, changed, failed) {
    const { word, accept, label } = (this.kind = { name: kind, ...KINDS[kind] });
    this.layer = layer;
    this.changed = changed;
    this.failed = failed;
    this.value = null;
    this.image = kind === "video"
      ? el("video.k-picture", { muted: true, loop: true, playsinline: true, preload: "auto", tabindex: "-1", "aria-hidden": "true" })
      : el("img.k-picture", { alt: "", draggable: "false" });
    if (kind === "video") this.image.muted = true;
    this.crop = el("div.k-crop", {
      tabindex: "-1",
      role: "group",
      "aria-label": `Your ${word} as it will be cropped. Drag it, or use the arrow keys, to move the crop.`,
    });
    this.crop.append(this.image);
    this.file = el("input.k-file", {
      type: "file",
      accept,
      "aria-label": label,
      tabindex: "-1",
      onchange: () => {
        if (this.file.files[0]) this.take(this.file.files[0]);
        this.file.value = "";
      },
    });
    this.invite = el(
      "button.k-invite",
      { type: "button", onclick: () => this.file.click() },
      icon(this.kind.icon),
      el("span.k-invite-title", {}, `Choose a ${word}`),
      el("span.k-invite-more", {}, "or drop or paste one here"),
    );
    this.tools = el(
      "div.k-tools",
      {},
      el("button.k-tool", { type: "button", title: `Another ${word}`, "aria-label": `Another ${word}`, onclick: () => this.file.click() }, icon("swap")),
      el("button.k-tool", { type: "button", title: `Remove the ${word}`, "aria-label": `Remove the ${word}`, onclick: () => this.set(null) }, icon("cross")),
    );
    layer.append(this.crop, this.invite, this.file);
    this.box = layer.parentElement;
    this.box.append(this.tools);
    this.hearDrag();
    this.hearKeys();
  }

  async take(file) {
    if ([this.kind.other, "audio", "text", "font"].includes(file.type.split("/")[0])) {
      this.failed({ message: `That is not a ${this.kind.word}.`, remedy: this.kind.formats });
      return;
    }
    const turn = (this.turn = (this.turn ?? 0) + 1); // the last one counts, whenever it arrives
    this.layer.classList.add("k-taking");
    try {
      const stored = await ask(this.kind.route, {
        method: "POST",
        body: file,
        headers: { "Content-Type": "application/octet-stream" },
      });
      if (turn === this.turn) this.set(stored);
    } catch (error) {
      if (turn === this.turn) this.failed(error.shown ?? { message: `The ${this.kind.word} could not be sent.`, remedy: "Try again." });
    } finally {
      if (turn === this.turn) this.layer.classList.remove("k-taking"); // else another is under way
    }
  }

  set(picture, focus = { x: 0.5, y: 0.5 }) {
    this.turn = (this.turn ?? 0) + 1;
    this.layer.classList.remove("k-taking");
    this.value = picture && { ...picture, focus: { ...focus } };
    this.box.classList.toggle("k-has-picture", Boolean(picture));
    this.crop.tabIndex = picture ? 0 : -1;
    this.crop.setAttribute("aria-hidden", String(!picture));
    if (picture) kinora.showGiven(this.image, picture.id).then(() => this.play(), () => {});
    else {
      this.image.removeAttribute("src");
      this.play();
    }
    this.place();
    this.changed(this.value, true);
  }

  play() {
    if (this.kind.name !== "video") return;
    this.image.load();
    if (this.value && !kinora.isCalm()) this.image.play().catch(() => {});
  }

  place() {
    if (!this.value) return;
    const { x, y } = this.value.focus;
    this.image.style.objectPosition = `${100 * x}% ${100 * y}%`;
    const spare = this.spare();
    this.crop.classList.toggle("k-movable", spare.x > 1 || spare.y > 1);
  }

  /** How many pixels of the picture lie outside the stage, either way. */
  spare() {
    const box = this.crop.getBoundingClientRect();
    const { width, height } = this.value;
    const scale = Math.max(box.width / width, box.height / height);
    return { x: width * scale - box.width, y: height * scale - box.height };
  }

  move(dx, dy) {
    if (!this.value) return;
    const spare = this.spare();
    const { focus } = this.value;
    if (spare.x > 1) focus.x = clamp(focus.x - dx / spare.x);
    if (spare.y > 1) focus.y = clamp(focus.y - dy / spare.y);
    this.place();
    this.changed(this.value, false);
  }

  hearDrag() {
    let at = null;
    this.crop.addEventListener("pointerdown", (event) => {
      if (!this.value) return;
      at = { x: event.clientX, y: event.clientY };
      this.crop.setPointerCapture(event.pointerId);
      this.crop.classList.add("k-held");
    });
    this.crop.addEventListener("pointermove", (event) => {
      if (!at) return;
      this.move(event.clientX - at.x, event.clientY - at.y);
      at = { x: event.clientX, y: event.clientY };
    });
    for (const end of ["pointerup", "pointercancel"]) {
      this.crop.addEventListener(end, () => {
        at = null;
        this.crop.classList.remove("k-held");
      });
    }
  }

  hearKeys() {
    const steps = { ArrowLeft: [8, 0], ArrowRight: [-8, 0], ArrowUp: [0, 8], ArrowDown: [0, -8] };
    this.crop.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      if (!step || !this.value) return;
      event.preventDefault();
      this.move(...step);
    });
  }
}

kinora.Picture = Picture;
