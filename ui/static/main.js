/* Loads every part of the page, then mounts what Gradio has asked for. */
import { kinora } from "./core.js";
import "./visitor.js";
import "./frame.js";
import "./aura.js";
import "./strip.js";
import "./picture.js";
import "./picker.js";
import "./extras.js";
import "./bar.js";
import "./stage.js";
import "./reel.js";
import "./page.js";

const ACTIONS = {
  start: (task) => kinora.wake(task),
  "no answer": (task) => kinora.lost(task),
  finish: (task) => kinora.stop(task, "finish"),
  discard: (task) => kinora.stop(task, "discard"),
};
document.addEventListener("kinora:action", ({ detail }) => ACTIONS[detail.action](detail.task));

const push = (component) => kinora.mount(...component);
const waiting = window.kinora ?? [];
window.kinora = Object.assign(kinora, { push });
waiting.forEach(push);
