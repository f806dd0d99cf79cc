/* What holds the page together: answers from the server to the right stage, the estimate line,
   trouble where the eye is, keys, and the phone's keyboard. */
import { kinora } from "./core.js";

const { el, fill } = kinora;
const studio = (task) => document.getElementById(`k-${task}`);

/** The server's answer to a press: a job to follow, a refusal to show, a picture to lay down. */
kinora.parts.post = (element, io, { task }) => {
  io.watch("value", () => {
    const news = io.props.value;
    if (!news) return;
    const stage = kinora.stages[task];
    trouble(task, null);
    if (news.job) {
      kinora.tell("job", news.job);
      if (news.job.task === task) stage.follow(news.job);
    }
    if (news.error) {
      stage.sleep();
      trouble(task, news.error, "press");
    }
    if (news.picture) {
      kinora.turnTo("i2v");
      kinora.withStage("i2v", (image) => {
        image.leave();
        image.picture.set(news.picture);
        studio("i2v").querySelector(".k-prompt textarea")?.focus({ preventScroll: true });
      });
    }
  });
};

/** Before anyone presses: how long it will take here, and what will be changed and why. */
kinora.parts.outlook = (element, io, { task }) => {
  const line = el("p.k-outlook-line");
  const notes = el("div");
  const sorry = el("div.k-trouble", { role: "alert" });
  element.append(sorry, kinora.cookieNotice(), line, notes);
  const draw = () => {
    const outlook = io.props.value;
    if (!outlook) return;
    kinora.withStage(task, (stage) => show(outlook, stage));
  };
  const show = (outlook, stage) => {
    line.textContent = outlook.line ?? "";
    notes.replaceChildren(
      ...(outlook.before ?? []).map((s) => el("p.k-note.k-before", {}, s)),
      ...(outlook.adjustments ?? []).map((s) => el("p.k-note", {}, s)));
    if ("rest" in outlook) stage.atRest(outlook.rest);
    if (outlook.width && !stage.job) stage.shape(outlook.width, outlook.height);
    trouble(task, outlook.error ?? null, "outlook");
  };
  io.watch("value", draw);
  kinora.on("looking", (news) => {
    if (news.task === task) line.textContent = news.line;
  });
  draw();
};

kinora.parts.examples = (element, io) => {
  const list = el("ul.k-examples", { "aria-label": "Examples" });
  element.append(list);
  const draw = () => list.replaceChildren(...(io.props.value ?? []).map((prompt, index) =>
    el("li", {}, el("button.k-example", { type: "button", onclick: () => io.trigger("chosen", { index }) }, prompt))));
  io.watch("value", draw);
  draw();
};

/** What the model knows, and how to write for it. */
kinora.parts.knows = (element, io, { task }) => {
  const place = el("div.k-knows");
  element.append(place);
  const draw = () => {
    const card = io.props.value;
    if (!card) return;
    const words = Object.entries(card.knows);
    const rows = words.map(([label, list]) => el("div.k-row", {}, el("dt", {}, label), el("dd", {}, list.join(", "))));
    fill(place,
      el("p", {}, el("strong", {}, card.name), ` (${card.license}). `, card.about),
      words.length > 0 && el("dl.k-settings.k-words", {}, ...rows),
      el("h3.k-subtitle", {}, "A prompt that works"),
      ...advice(task).map(([mark, text, why]) => el("p.k-advice", {},
        el("span.k-mark", { "aria-hidden": "true" }, mark),
        el("span", {}, el("q", {}, text), " ", el("span.k-why", {}, why)))),
    );
  };
  io.watch("value", draw);
  draw();
};

const advice = (task) => task === "v2v"
  ? [
    ["✓", "an oil painting of a street in the rain", "Says what the clip should look like. Its movement stays."],
    ["✓", "the same dance, by a robot", "One change, plainly named. More strength changes more."],
    ["✗", "make it better", "Nothing to see in it."],
  ]
  : task === "i2v"
  ? [
    ["✓", "it runs to the right", "Says what moves and where to. The picture says the rest."],
    ["✓", "it spins on the spot", "One movement, plainly named."],
    ["✗", "a red car on a road", "Tells what is in the picture, not what happens."],
    ["✗", "make it cool", "Nothing to see in it."],
  ]
  : [
    ["✓", "a dog running to the right in the snow", "Who, what they do, which way, where."],
    ["✓", "a rocket flying up in a starry night sky", "One subject, one movement, one place."],
    ["✗", "cool video", "Nothing to see in it."],
    ["✗", "a dog, then a cat, then the city at night", "One clip is one moment; make three."],
  ];

/** Shows a refusal in the one place for it. With `about`, taking it away takes away only what was
    said about that; without, whatever is there. */
const trouble = (task, shown, about = "") => {
  const place = studio(task)?.querySelector(".k-trouble");
  if (!place || (!shown && about && place.dataset.about !== about)) return;
  place.dataset.about = shown ? about : "";
  if (!shown) {
    place.replaceChildren();
    return;
  }
  const repair = shown.action && el("button.k-press", {
    type: "button",
    onclick: () => kinora.stages[task].io.trigger("repair", { job: "", set: shown.action.set }),
  }, shown.action.label);
  fill(place, el("span", {}, [shown.message, shown.remedy].filter(Boolean).join(" ")), repair);
};
kinora.on("trouble", ({ task, shown, about }) => trouble(task, shown, about));

// What a press was refused for may be mended by what is typed or chosen now.
const mended = (event) => {
  const task = event.target.closest?.(".k-studio")?.id.replace("k-", "");
  if (task) trouble(task, null, "press");
};
for (const kind of ["input", "change"]) document.addEventListener(kind, mended);
document.addEventListener("mousedown", (event) => event.target.closest?.("[role=option]") && mended(event));

const TABS = { t2v: "Text to video", i2v: "Image to video", v2v: "Video to video" };
const tabOf = (task) => [...document.querySelectorAll("#k-tabs [role=tab]")]
  .find((tab) => tab.textContent.trim() === TABS[task] && tab.offsetParent);
kinora.hasTab = (task) => Boolean(tabOf(task));
kinora.turnTo = (task) => {
  const tab = tabOf(task);
  if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
};

kinora.wake = (task) => {
  trouble(task, null);
  kinora.stages[task]?.wake();
};
/** No answer came: the server is down or overrun. */
kinora.lost = (task) => {
  kinora.stages[task]?.sleep();
  trouble(task, { message: "Kinora did not answer.", remedy: "Wait a moment and press again." });
};
kinora.stop = (task, how) => kinora.stages[task]?.stop(how);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing) return;
  const inPrompt = event.target.closest?.(".k-prompt textarea, .k-prompt input");
  const chord = event.ctrlKey || event.metaKey;
  const touch = matchMedia("(pointer: coarse)").matches;
  if (!chord && (!inPrompt || event.shiftKey || touch)) return;
  const here = [...document.querySelectorAll(".k-studio")].find((s) => s.offsetParent);
  const button = here?.querySelector(".k-generate");
  if (!button || here.classList.contains("k-busy")) return;
  event.preventDefault();
  event.stopPropagation();
  button.click();
}, true);

// the whole pill opens, not just its words
document.addEventListener("pointerdown", (event) => {
  const chip = event.target.closest?.(".k-chip");
  const input = chip?.querySelector("input");
  if (!input || event.target === input || event.target.closest(".options")) return;
  event.preventDefault();
  if (document.activeElement === input) input.blur();
  else input.focus();
});

// iOS lays its keyboard over fixed elements; lift the dock by as much as it covers.
const viewport = window.visualViewport;
const lift = () => {
  const covered = Math.max(0, window.innerHeight - viewport.height - viewport.offsetTop);
  document.documentElement.style.setProperty("--k-lift", `${covered}px`);
};
viewport?.addEventListener("resize", lift);
viewport?.addEventListener("scroll", lift);
