/* Controls that only some models have: the picture a clip ends on, LoRAs, and the sentence that
   stands for the words where a model takes none. */
import { kinora } from "./core.js";

const { el, icon, ask } = kinora;
const studio = (task) => document.getElementById(`k-${task}`);

/** What the chosen model takes, told to everything that is drawn here. */
kinora.parts.facts = (element, io, { task }) => {
  const silent = el("p.k-wordless", {}, "It needs no words.");
  element.append(silent);
  const draw = () => {
    const card = io.props.value;
    if (!card) return;
    studio(task)?.classList.toggle("k-no-words", !card.prompt);
    silent.hidden = card.prompt;
    kinora.cards[task] = card;
    kinora.tell("card", { task, ...card });
  };
  io.watch("value", draw);
  queueMicrotask(draw);
};
kinora.cards = {};

/** Hears the card of this tab, now or when it is known. */
const withCard = (task, hear) => {
  if (kinora.cards[task]) hear(kinora.cards[task]);
  kinora.on("card", (card) => card.task === task && hear(card));
};

kinora.parts.ending = (element, io, { task }) => {
  const file = el("input.k-file", {
    type: "file", accept: kinora.pictures, tabindex: "-1", "aria-label": "Last picture",
    onchange: () => {
      if (file.files[0]) take(file.files[0]);
      file.value = "";
    },
  });
  let turn = 0; // the last one counts, whenever it arrives
  const set = (id) => {
    turn += 1;
    io.props.value = id;
    draw();
    kinora.tell("trouble", { task, shown: null });
    io.trigger("picked");
  };
  const take = async (picture) => {
    const mine = (turn += 1);
    choose.classList.add("k-taking");
    try {
      const stored = await ask("/pictures", { method: "POST", body: picture, headers: { "Content-Type": "application/octet-stream" } });
      if (mine === turn) set(stored.id);
    } catch (error) {
      if (mine === turn) kinora.tell("trouble", { task, shown: error.shown });
    } finally {
      choose.classList.remove("k-taking");
    }
  };
  const thumb = el("img.k-ending-picture", { alt: "" });
  const text = el("span", {}, "Last picture");
  const choose = el("button.k-ending", { type: "button", title: "The picture the clip ends on", onclick: () => file.click() }, icon("picture"), thumb, text);
  const remove = el("button.k-tool.k-ending-remove", { type: "button", "aria-label": "Remove the last picture", title: "Remove the last picture", onclick: () => set(null) }, icon("cross"));
  const place = el("div.k-ending-place", { hidden: true }, choose, remove, file);
  element.append(place);
  const draw = () => {
    const id = io.props.value;
    place.classList.toggle("k-has-ending", Boolean(id));
    text.textContent = id ? "Ends here" : "Last picture";
    remove.hidden = thumb.hidden = !id;
    if (id) kinora.showGiven(thumb, id).catch(() => {});
    else thumb.removeAttribute("src");
  };
  withCard(task, (card) => (place.hidden = element.hidden = !card.last_image));
  io.watch("value", draw);
  draw();
};

kinora.parts.loras = (element, io, { task }) => {
  const rows = el("div.k-loras");
  const names = el("datalist", { id: `k-loras-${task}` });
  const add = el("button.k-press", { type: "button", onclick: () => { save([...now(), { source: "", weight: 1 }]); draw(); rows.lastElementChild?.querySelector("input")?.focus(); } }, "Add a LoRA");
  const hint = el("p.k-note");
  const place = el("section.k-lora-part", { hidden: true, "aria-label": "LoRAs" },
    el("span.k-lora-title", {}, "LoRA"), el("p.k-note", {}, "A small file that teaches the model a style or a subject."), rows, add, names, hint);
  element.append(place);
  const now = () => io.props.value ?? [];
  let mine = "";
  const save = (list) => {
    mine = JSON.stringify(list);
    io.props.value = list;
    kinora.tell("trouble", { task, shown: null, about: "press" });
  };
  const draw = () => {
    mine = JSON.stringify(now());
    rows.replaceChildren(...now().map((lora, n) => {
      const change = (what) => save(now().map((each, m) => (m === n ? { ...each, ...what } : each)));
      return el("div.k-lora", { role: "group", "aria-label": `LoRA ${n + 1}` },
        el("input", { type: "text", list: names.id, value: lora.source, placeholder: "name, or owner/name", "aria-label": `LoRA ${n + 1}`, spellcheck: "false", autocomplete: "off", oninput: (e) => change({ source: e.target.value }) }),
        el("input", { type: "number", step: "0.05", min: "-4", max: "4", value: String(lora.weight), "aria-label": `Weight of LoRA ${n + 1}`, oninput: (e) => change({ weight: e.target.value }) }),
        el("button.k-verb", { type: "button", "aria-label": `Remove LoRA ${n + 1}`, title: "Remove", onclick: () => { save(now().filter((_, m) => m !== n)); draw(); add.focus(); } }, icon("cross")));
    }));
    add.hidden = now().length >= 8;
  };
  withCard(task, (card) => {
    place.hidden = element.hidden = !card.lora;
    names.replaceChildren(...card.loras.map((name) => el("option", { value: name })));
    hint.textContent = card.loras.length
      ? `Here: ${card.loras.slice(0, 12).join(", ")}${card.loras.length > 12 ? " …" : ""}`
      : card.lora_hub ? "Any id of the Hub, such as owner/name." : "The LoRA folder is empty.";
  });
  io.watch("value", () => JSON.stringify(now()) !== mine && draw());
  draw();
};
