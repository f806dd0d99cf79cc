/* The model picker: a chip that opens a list of the models this tab's task can be done with, those
   that run here first; words narrow it, and a pasted Hub id may be tried. */
import { kinora } from "./core.js";

const { el, ask } = kinora;
const GROUPS = [["runs", "Run here"], ["slow", "Run here, slowly"], ["no", "Need a bigger machine"]];
const HUB_ID = /^[A-Za-z0-9][\w.-]*\/[\w.-]+(@[\w./-]+)?$/;
const gigabytes = (gb) => gb >= 10 ? `${Math.round(gb)} GB` : gb >= 0.95 ? `${gb.toFixed(1)} GB` : `${Math.round(gb * 1000)} MB`;

class Picker {
  constructor(element, io, { task, title }) {
    this.io = io;
    this.task = task;
    this.names = { [io.props.value]: title };
    this.id = `k-picker-${task}`;
    this.value = el("span.k-picker-name");
    this.chip = el("button.k-picker", {
      type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", onclick: () => this.toggle(),
    }, el("span.k-picker-label", {}, "Model"), this.value, el("span.k-picker-arrow", { "aria-hidden": "true" }));
    this.search = el("input.k-picker-search", {
      type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": `${this.id}-list`, autocomplete: "off",
      "aria-label": "Find a model", "aria-autocomplete": "list", spellcheck: "false", placeholder: "Find a model",
      oninput: () => this.draw(), onkeydown: (event) => this.key(event),
    });
    this.list = el("div.k-picker-list", { id: `${this.id}-list`, role: "listbox", "aria-label": "Models" });
    this.more = el("button.k-verb", { type: "button", onclick: () => this.draw(true) });
    this.panel = el("div.k-picker-panel", { popover: "auto", role: "dialog", "aria-label": "Choose a model" }, this.search, this.list, this.more);
    this.panel.addEventListener("toggle", (event) => {
      const open = event.newState === "open";
      this.chip.setAttribute("aria-expanded", String(open));
      if (!open && this.panel.contains(document.activeElement)) this.chip.focus({ preventScroll: true });
    });
    element.append(this.chip);
    document.body.append(this.panel); // out of the chips' row, which scrolls
    this.panel.classList.add("k-picker-layer");
    kinora.on("card", (card) => {
      if (card.task === task) this.names[card.id] = card.name;
      this.show();
    });
    io.watch("value", () => this.show());
    this.show();
  }

  show() {
    const name = this.names[this.io.props.value] ?? this.io.props.value ?? "";
    this.value.textContent = name;
    this.chip.setAttribute("aria-label", `Model: ${name}`);
  }

  async toggle() {
    if (this.panel.matches(":popover-open")) {
      this.panel.hidePopover();
      return;
    }
    this.search.value = "";
    this.draw();
    this.panel.showPopover();
    this.place();
    if (!matchMedia("(pointer: coarse)").matches) this.search.focus();
    if (this.offer) return;
    try {
      this.offer = await ask(`/models?task=${this.task}`);
    } catch (error) {
      kinora.tell("trouble", { task: this.task, shown: error.shown, about: "models" });
      this.panel.hidePopover();
      return;
    }
    kinora.tell("trouble", { task: this.task, shown: null, about: "models" });
    for (const model of this.offer.models) this.names[model.id] = model.name;
    if (this.offer.any) this.search.placeholder = "Find a model, or paste an id: owner/name";
    this.draw();
    this.place();
  }

  /** Under the chip where there is room; a phone's sheet comes from the bottom, by CSS. */
  place() {
    const chip = this.chip.getBoundingClientRect();
    const width = Math.min(440, innerWidth - 24);
    const { top, bottom } = kinora.seen();
    const below = bottom - chip.bottom - 20, above = chip.top - top - 20;
    const up = below < 320 && above > below;
    const style = this.panel.style;
    style.setProperty("--x", `${Math.max(12, Math.min(chip.left, innerWidth - width - 12))}px`);
    style.setProperty("--room", `${Math.max(up ? above : below, 200)}px`);
    style.setProperty("--top", up ? "auto" : `${chip.bottom + 8}px`);
    style.setProperty("--bottom", up ? `${innerHeight - chip.top + 8}px` : "auto");
  }

  draw(all = false) {
    const words = this.search.value.trim().toLowerCase();
    const models = (this.offer?.models ?? []).filter((model) =>
      words.split(/\s+/).every((word) => `${model.name} ${model.id} ${model.about}`.toLowerCase().includes(word)));
    const near = models.filter((model) => model.level !== "no");
    const folded = !words && !all && near.length ? models.length - near.length : 0;
    const shown = folded ? near : models;
    const groups = GROUPS.map(([level, title]) => [title, shown.filter((model) => model.level === level)])
      .filter(([, members]) => members.length)
      .map(([title, members]) => el("div", { role: "group", "aria-label": title },
        el("div.k-picker-title", { "aria-hidden": "true" }, title), ...members.map((model) => this.option(model))));
    const pasted = this.offer?.any && HUB_ID.test(this.search.value.trim()) ? this.search.value.trim() : null;
    if (pasted && !models.some((model) => model.id === pasted)) {
      groups.push(el("div", { role: "group", "aria-label": "From the Hub" }, this.option({
        id: pasted, name: pasted, about: "Look this one up on the Hugging Face Hub.", verdict: "Nothing is downloaded yet.",
      })));
    }
    if (!groups.length) groups.push(el("p.k-picker-none", {}, this.offer ? "No model of that name." : "One moment…"));
    this.list.replaceChildren(...groups);
    this.more.hidden = !folded;
    this.more.textContent = folded === 1 ? "1 more needs a bigger machine" : `${folded} more need a bigger machine`;
    this.point(words || pasted ? 0 : this.options.findIndex((o) => o.dataset.id === this.io.props.value));
    if (all) this.search.focus();
  }

  option(model) {
    const chosen = model.id === this.io.props.value;
    const facts = [model.verdict, model.download_gb && `${gigabytes(model.download_gb)} to download.`, model.gated && "Its terms must be accepted on the Hub."];
    const node = el("div.k-picker-option", { role: "option", "aria-selected": String(chosen), onclick: () => this.choose(model) },
      el("span.k-picker-option-name", {}, model.name), el("span.k-picker-about", {}, model.about),
      el("span.k-picker-facts", {}, facts.filter(Boolean).join(" ")));
    node.dataset.id = model.id;
    return node;
  }

  get options() {
    return [...this.list.querySelectorAll("[role=option]")];
  }

  point(index) {
    this.at = index;
    this.options.forEach((option, n) => {
      option.id = `${this.id}-${n}`;
      option.classList.toggle("k-at", n === index);
      if (n === index) option.scrollIntoView({ block: "nearest" });
    });
    if (index >= 0 && this.options.length) this.search.setAttribute("aria-activedescendant", `${this.id}-${index}`);
    else this.search.removeAttribute("aria-activedescendant");
  }

  key(event) {
    const count = this.options.length;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && count) this.point((this.at + step + count) % count);
    else if (event.key === "Enter") this.options[Math.max(this.at, 0)]?.click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  choose(model) {
    const before = this.io.props.value;
    this.panel.hidePopover();
    if (model.id === before) return;
    this.names[model.id] = model.name;
    this.io.props.value = model.id;
    this.show();
    kinora.tell("looking", { task: this.task, line: `Looking at ${model.name} …` });
    this.io.trigger("chosen", { before });
  }
}

kinora.parts.picker = (element, io, options) => new Picker(element, io, options);
