// @ts-check
/* What was found in a clip that was dropped, pasted or linked, and how the form is filled with it. */
import { setFocus, setPicture } from "./actions.js";
import { problemOf, requestJson } from "./api.js";
import { signal } from "./html.js";
import { store } from "./store.js";
import { hasTab, openTab, tabElement } from "./tabs.js";

/** @import { Focus, RestoredSettings, Task } from "./types.d.ts" */

const TEXTS = {
  reading: "Reading the settings of {name}",
  link: "the shared clip",
  none: "{name} has no settings that can be read.",
  done: "The settings of {name} are back.",
  partly: "Settings of {name} are back, with a difference:",
  failed: "{name} could not be read.",
};

/**
 * @typedef {object} Restored
 * @property {Task} task the tab that shows it
 * @property {string} sentence
 * @property {string[]} notes
 * @property {File | null} file a clip without settings, to be used as input
 */

/** What is said at the foot of the stage. */
export const restored = signal(/** @type {Restored | null} */ (null));

/** The newest clip counts, whichever answer comes first. */
let newest = 0;

const NOTES_OF = { notes: /** @type {string[]} */ ([]), file: null };

/** @param {string} text @param {string} name */
const fill = (text, name) => text.replace("{name}", () => name);

/** @returns {Task} the tab that is open */
const openTask = () =>
  /** @type {Task[]} */ (Object.keys(store.tabs)).find((task) => tabElement(task)?.offsetParent) ??
  "t2v";

/** @param {File} file */
export function restoreFile(file) {
  const options = { body: file, headers: { "Content-Type": "application/octet-stream" } };
  return read(file.name, options, file);
}

/** @param {string} link to a clip of this server */
export function restoreLink(link) {
  const headers = { "Content-Type": "application/json" };
  return read(TEXTS.link, { body: JSON.stringify({ link }), headers }, null);
}

/** @param {string} name @param {RequestInit} options @param {File | null} file */
async function read(name, options, file) {
  newest += 1;
  const turn = newest;
  const task = openTask();
  restored.value = { ...NOTES_OF, task, sentence: fill(TEXTS.reading, name) };
  try {
    const found = await requestJson("/settings/read", { ...options, method: "POST" });
    if (turn === newest) show(name, found, file, task);
  } catch (error) {
    if (turn !== newest) return;
    const { message, remedy } = problemOf(error, { message: fill(TEXTS.failed, name) });
    const sentence = [message, remedy].filter(Boolean).join(" ");
    restored.value = { ...NOTES_OF, task, sentence };
  }
}

/** @param {string} name @param {RestoredSettings} found @param {File | null} file @param {Task} open */
function show(name, found, file, open) {
  if (!found.found) {
    restored.value = { task: open, sentence: fill(TEXTS.none, name), notes: [], file };
    return;
  }
  // a program that does not say its task leaves the tab as it is, unless that needs a clip
  const wanted = found.task ?? (open === "v2v" ? "t2v" : open);
  const task = hasTab(wanted) ? wanted : open;
  const sentence = fill(found.notes.length ? TEXTS.partly : TEXTS.done, name);
  restored.value = { task, sentence, notes: found.notes, file: null };
  openTab(task);
  const tab = store.tabs[task];
  tab.whenConnected(() => {
    if (found.input) {
      setPicture(tab, found.input);
      const { focus } = found.settings;
      if (focus) setFocus(tab, /** @type {Focus} */ (focus));
    }
    tab.trigger("refill", { settings: found.settings });
  });
}
