// @ts-check
/* When a clip is done: the tab's title and icon show progress and end, and where the visitor has
   turned them on, a notification and a quiet sound say so. */
import { playDone } from "./drawing/done_sound.js";
import { drawIcon } from "./drawing/tab_icon.js";
import { notices } from "./notices.js";
import { isActive, store } from "./store.js";

/** @import { Job } from "./types.d.ts" */

const TEXTS = {
  ready: "Ready",
  failed: "Failed",
  done: { one: "Your clip is ready", many: "Your clips are ready" },
  notMade: "The clip could not be made",
};
const NAME = "Kinora";

/** What the last end was, until it was seen. @type {"" | "ready" | "failed"} */
let unseen = "";
/** The clips that are being made. @type {Set<string>} */
const unfinished = new Set();
/** Those that have ended while others went on. */
let ended = { ready: 0, failed: 0 };

/** @param {ReadonlyMap<string, Job>} clips */
function noteEnds(clips) {
  for (const [id, clip] of clips) {
    if (isActive(clip)) unfinished.add(id);
    else if (unfinished.delete(id)) ended[clip.state === "succeeded" ? "ready" : "failed"] += 1;
  }
  for (const id of unfinished) if (!clips.has(id)) unfinished.delete(id); // discarded
}

/** Of all that are being made, 0 to 1; those that wait would only hold it at 0. */
function progressOf(/** @type {ReadonlyMap<string, Job>} */ clips) {
  const active = [...clips.values()].filter(isActive);
  const running = active.filter(({ state }) => state === "running");
  return running.reduce((total, { ring }) => total + ring, 0) / (running.length || 1);
}

/** @param {ReadonlyMap<string, Job>} clips */
function drawTab(clips) {
  const progress = unfinished.size ? progressOf(clips) : null;
  const percent = `${Math.round(100 * (progress ?? 0))} %`;
  const mark = progress === null ? unseen && TEXTS[unseen] : percent;
  document.title = mark ? `${mark} · ${NAME}` : NAME;
  drawIcon(progress, unseen);
}

function sayThatItIsDone() {
  const { ready, failed } = ended;
  ended = { ready: 0, failed: 0 };
  if (!ready && !failed) return;
  if (document.hidden || !document.hasFocus()) unseen = ready ? "ready" : "failed";
  const { sound, notification } = notices.peek();
  if (sound && ready) playDone();
  if (!notification || !document.hidden) return;
  const body = ready > 1 ? TEXTS.done.many : ready ? TEXTS.done.one : TEXTS.notMade;
  try {
    const shown = new Notification(NAME, { body, tag: "kinora-done" });
    shown.onclick = () => {
      window.focus();
      shown.close();
    };
  } catch {
    // Chrome on Android has notifications of service workers only
  }
}

function onSeen() {
  if (!unseen || document.hidden) return;
  unseen = "";
  drawTab(store.clips.peek());
}

export function startAttention() {
  store.clips.subscribe((clips) => {
    noteEnds(clips);
    if (unfinished.size) unseen = "";
    else sayThatItIsDone();
    drawTab(clips);
  });
  document.addEventListener("visibilitychange", onSeen);
  window.addEventListener("focus", onSeen);
}
