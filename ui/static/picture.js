/* The picture an image-to-video clip starts from: chosen, pasted or dropped, cropped to the
   stage's shape, the crop moved by dragging or with the arrow keys. */
(() => {
  "use strict";
  const { el, icon, ask } = kinora;
  const clamp = (v) => Math.min(1, Math.max(0, v));

  class Picture {
    /** `changed(value)` hears {id, width, height, focus} or null; `failed(shown)` hears a refusal. */
    constructor(layer, changed, failed) {
      this.layer = layer;
      this.changed = changed;
      this.failed = failed;
      this.value = null;
      this.image = el("img.k-picture", { alt: "", draggable: "false" });
      this.crop = el("div.k-crop", {
        tabindex: "-1",
        role: "group",
        "aria-label": "Your picture as it will be cropped. Drag it, or use the arrow keys, to move the crop.",
      });
      this.crop.append(this.image);
      this.file = el("input.k-file", {
        type: "file",
        accept: "image/png,image/jpeg,image/webp,image/gif,image/bmp,image/tiff,image/avif",
        "aria-label": "Picture to animate",
        tabindex: "-1",
        onchange: () => {
          if (this.file.files[0]) this.take(this.file.files[0]);
          this.file.value = "";
        },
      });
      this.invite = el(
        "button.k-invite",
        { type: "button", onclick: () => this.file.click() },
        icon("picture"),
        el("span.k-invite-title", {}, "Choose a picture"),
        el("span.k-invite-more", {}, "or drop or paste one here"),
      );
      this.tools = el(
        "div.k-tools",
        {},
        el("button.k-tool", { type: "button", title: "Another picture", "aria-label": "Another picture", onclick: () => this.file.click() }, icon("swap")),
        el("button.k-tool", { type: "button", title: "Remove the picture", "aria-label": "Remove the picture", onclick: () => this.set(null) }, icon("cross")),
      );
      layer.append(this.crop, this.invite, this.file);
      this.box = layer.parentElement;
      this.box.append(this.tools);
      this.hearDrag();
      this.hearKeys();
    }

    async take(file) {
      if (!file.type.startsWith("image/") && file.type !== "") {
        this.failed({ message: "That is not a picture.", remedy: "Use a PNG, JPEG or WebP." });
        return;
      }
      this.layer.classList.add("k-taking");
      try {
        this.set(await ask("/pictures", {
          method: "POST",
          body: file,
          headers: { "Content-Type": "application/octet-stream" },
        }));
      } catch (error) {
        this.failed(error.shown ?? { message: "The picture could not be sent.", remedy: "Try again." });
      } finally {
        this.layer.classList.remove("k-taking");
      }
    }

    set(picture, focus = { x: 0.5, y: 0.5 }) {
      this.value = picture && { ...picture, focus: { ...focus } };
      this.box.classList.toggle("k-has-picture", Boolean(picture));
      this.crop.tabIndex = picture ? 0 : -1;
      this.crop.setAttribute("aria-hidden", String(!picture));
      if (picture) this.image.src = `${kinora.base()}/pictures/${picture.id}`;
      else this.image.removeAttribute("src");
      this.place();
      this.changed(this.value, true);
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
})();
