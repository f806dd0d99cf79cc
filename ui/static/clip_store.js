// @ts-check
/* This visitor's clips in the store: added, changed, taken away. */
import { store } from "./store.js";

/** @import { Job } from "./types.d.ts" */

const DRIVE_AGAIN_MS = 4000;

/** When each waiting clip was last given a web request of ours. @type {Map<string, number>} */
const driven = new Map();

/** @param {Job} job */
export function putClip(job) {
  if (job.state === "cancelled") {
    dropClip(job.id);
    return;
  }
  if (job.drive) driveClip(job.id);
  store.clips.value = new Map(store.clips.peek()).set(job.id, job);
}

/** @param {string} id */
export function dropClip(id) {
  const clips = new Map(store.clips.peek());
  clips.delete(id);
  store.clips.value = clips;
}

/**
 * On ZeroGPU a clip is made with the quota of a web request, which ends with its page and whose
 * token expires: then the server sets `drive`, and a queued Gradio event brings a new one.
 * @param {string} id
 */
export function driveClip(id) {
  const now = Date.now();
  if (now - (driven.get(id) ?? 0) < DRIVE_AGAIN_MS) return;
  driven.set(id, now);
  store.tabs.t2v.trigger("drive", { job: id, set: {} });
}
