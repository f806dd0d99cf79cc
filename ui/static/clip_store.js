// @ts-check
/* This visitor's clips in the store: added, changed, taken away. */
import { requestJson } from "./api.js";
import { store } from "./store.js";

/** @import { CellJob, Job } from "./types.d.ts" */

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

/**
 * New states of clips that are in a grid: those that are in the list change there, too.
 * @param {CellJob[]} jobs
 */
export function mergeClipStates(jobs) {
  const clips = new Map(store.clips.peek());
  let hasChanged = false;
  for (const job of jobs) {
    if (job.drive) driveClip(job.id);
    const known = clips.get(job.id);
    const isSame =
      known?.state === job.state && known.ring === job.ring && known.drive === job.drive;
    if (!known || isSame) continue;
    if (job.state === "cancelled") clips.delete(job.id);
    else clips.set(job.id, { ...known, ...job });
    hasChanged = true;
  }
  if (hasChanged) store.clips.value = clips;
}

/** The newest clips, as many as a page of the list has: a batch may just have added hundreds. */
export async function loadNewestClips() {
  const { jobs, last } = await requestJson("/jobs");
  for (const job of [...jobs].reverse()) putClip(job);
  if (last || !store.oldest.peek()) store.oldest.value = last;
  return /** @type {Job[]} */ (jobs);
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
