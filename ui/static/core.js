/* The page's own small toolbox: elements, our routes, and who hears what.
   Text from people and models only ever becomes a text node. */
const stages = {};
const awaited = {};
const hearers = {};

const base = () => {
  const root = window.gradio_config?.root ?? "/";
  return location.origin + new URL(root, location.href).pathname.replace(/\/$/, "") + "/kinora";
};

/** el("button.k-verb", {type: "button", onclick}, "Download", child) */
const el = (spec, attributes = {}, ...children) => {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else node.setAttribute(name, value);
  }
  node.append(...children.filter(isShown));
  return node;
};

/** What is not there is not shown: the DOM would write it as the word "null". */
const isShown = (child) => child !== null && child !== undefined && child !== false && child !== "";
const fill = (node, ...children) => node.replaceChildren(...children.filter(isShown));

const SVG = "http://www.w3.org/2000/svg";
const icons = {
  picture: "M4 5h16v14H4zM4 16l4.5-4.5L13 16l3-3 4 4M15.5 9.5h.01",
  cross: "M6 6l12 12M18 6L6 18",
  swap: "M4 8h13M13 4l4 4-4 4M20 16H7M11 12l-4 4 4 4",
  down: "M12 4v11M7 11l5 5 5-5M5 20h14",
  again: "M4 12a8 8 0 1 1 2.5 5.8M4 20v-5h5",
  dice: "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM8.5 8.5h.01M15.5 8.5h.01M12 12h.01M8.5 15.5h.01M15.5 15.5h.01",
  onward: "M4 12h14M13 6l6 6-6 6",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 9.7h4M4 14.3h4M16 9.7h4M16 14.3h4",
  list: "M5 7h14M5 12h14M5 17h9",
  copy: "M9 9h10v11H9zM5 15V4h10",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
};
const icon = (name) => {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "k-icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", icons[name]);
  svg.append(path);
  return svg;
};

class Refused extends Error {
  constructor(shown) {
    super(shown.message);
    this.shown = shown;
  }
}

const PATIENCE_MS = 20000;
const UNREACHABLE = {
  code: "unavailable",
  message: "Kinora cannot be reached right now.",
  remedy: "A clip that is being made goes on; try again in a moment.",
};

/** Send something to one of our routes; a refusal becomes a Refused with a sentence to show. */
const send = async (path, options = {}) => {
  let response;
  try {
    response = await fetch(base() + path, {
      credentials: "same-origin",
      ...options,
      headers: { "X-Kinora": "1", ...(options.headers ?? {}) },
    });
  } catch {
    throw new Refused(UNREACHABLE);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Refused(
    body.shown ?? { code: "internal", message: "Something went wrong on our side.", remedy: "Try again." },
  );
};

/** Ask, and wait for JSON. A question that changes nothing is given up after a while: a line that
    died in its sleep never says so. */
const ask = async (path, options = {}) => {
  const giveUp = new AbortController();
  const timer = options.method ? 0 : setTimeout(() => giveUp.abort(), PATIENCE_MS);
  try {
    const response = await send(path, { signal: giveUp.signal, ...options });
    return response.status === 204 ? null : await response.json();
  } catch (error) {
    throw error instanceof Refused ? error : new Refused(UNREACHABLE);
  } finally {
    clearTimeout(timer);
  }
};

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export const kinora = {
  el,
  fill,
  icon,
  send,
  ask,
  base,
  Refused,
  /** For file pickers: what the server reads. Browsers know few of these types by name, so endings
      are listed too; with HEIC named, iOS sends its photos as they are. */
  pictures: "image/png,image/jpeg,image/webp,image/avif,image/heic,image/heif,image/gif,image/bmp,"
    + "image/tiff,.png,.jpg,.jpeg,.jfif,.webp,.avif,.heic,.heif,.gif,.bmp,.tif,.tiff",
  pictureWords: "PNG, JPEG, WebP, AVIF, HEIC, GIF, BMP or TIFF",
  stages,
  /** A tab's stage exists from the tab's first opening on; `then` hears it, now or later. */
  withStage: (task, then) => (stages[task] ? then(stages[task]) : (awaited[task] ??= []).push(then)),
  addStage: (task, stage) => {
    stages[task] = stage;
    (awaited[task] ?? []).splice(0).forEach((then) => then(stage));
  },
  /** Of a job's files: signed, because browsers leave the cookie out of some requests. */
  url: (view, what, more = "") => `${base()}/jobs/${view.id}/${what}?${[view.signed, more].filter(Boolean).join("&")}`,
  isCalm: () => calm.matches,
  isDark: () => document.body.classList.contains("dark"),
  on: (name, hear) => (hearers[name] ??= []).push(hear),
  tell: (name, news) => (hearers[name] ?? []).forEach((hear) => hear(news)),
  parts: {},
  /** Called from a gr.HTML's js_on_load: `part` is stage, post, outlook, knows or reel. */
  mount: (part, element, io, options) => kinora.parts[part](element, io, options ?? {}),
  clock: (seconds) => `${seconds.toFixed(1)} s`,
};
