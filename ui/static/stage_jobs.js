// @ts-check
/* The job on a tab's stage: put there, followed until it ends, taken away. Its states come as
   server-sent events; each is the whole state, so any of them may be missed. */
import { fileUrl, problemOf, requestJson } from "./api.js";
import { putClip } from "./clip_store.js";
import { clearProblem } from "./problems.js";
import { isActive, store } from "./store.js";

/**
 * @import { Job, PendingJob } from "./types.d.ts"
 * @import { TabState } from "./store.js"
 */

const RETRY_MS = 2000;

/**
 * Puts a job on its tab's stage and follows it until it ends.
 * @param {Job} job
 */
export function followJob(job) {
  const tab = store.tabs[job.task];
  emptyStage(tab);
  showJob(tab, job);
  if (isActive(job)) followUpdates(tab, job);
}

/**
 * @param {TabState} tab
 * @param {Job | PendingJob} job
 */
export function showJob(tab, job) {
  tab.job.value = job;
  // a state that was on its way when the stop was requested does not know of it
  const { stopping } = tab;
  tab.notice.value = stopping && stopping.id === job.id && isActive(job) ? stopping.line : null;
  if (job.id && job.width) tab.shape.value = { width: job.width, height: job.height };
  if (!isActive(job)) clearProblem(tab, "stop");
  if (job.id && job.state === "cancelled") leaveStage(tab);
}

/** @param {TabState} tab */
export function leaveStage(tab) {
  emptyStage(tab);
  tab.job.value = null;
  tab.notice.value = null;
  clearProblem(tab, "stop");
}

/** @param {TabState} tab */
function emptyStage(tab) {
  stopUpdates(tab);
  tab.clearPreview();
  tab.turn.value += 1;
}

/**
 * A press whose answer is on its way: the stage changes before the server has answered.
 * @param {TabState} tab
 */
export function startWaiting(tab) {
  const job = tab.job.peek();
  if (!job || job.id) tab.previous = job;
  emptyStage(tab);
  showJob(tab, { state: "queued", line: "Getting ready", ring: 0 });
}

/**
 * There will be no such job: back to what was on the stage before the press.
 * @param {TabState} tab
 */
export function stopWaiting(tab) {
  const job = tab.job.peek();
  if (!job || job.id) return;
  if (tab.previous) followJob(tab.previous);
  else leaveStage(tab);
}

// ---- updates

/** @param {TabState} tab @param {Job} job */
function followUpdates(tab, job) {
  if (!job.signed && store.visitor.peek().name) {
    recover(tab, job.id); // an EventSource sends no header: without a cookie its address is signed
    return;
  }
  const source = new EventSource(fileUrl(job, "live"));
  tab.source = source;
  source.onmessage = (message) => {
    if (tab.source !== source) return;
    /** @type {Job} */
    const fresh = JSON.parse(message.data);
    showJob(tab, fresh);
    putClip(fresh);
    if (!isActive(fresh)) stopUpdates(tab);
  };
  source.addEventListener("end", () => source.close());
  source.onerror = () => {
    if (tab.source !== source) return;
    tab.notice.value = "Connection lost; the clip continues. Reconnecting…";
    if (source.readyState === EventSource.CLOSED) recover(tab, job.id);
  };
}

/** @param {TabState} tab */
function stopUpdates(tab) {
  tab.source?.close();
  tab.source = null;
}

/** @param {TabState} tab @param {string} id */
async function recover(tab, id) {
  stopUpdates(tab);
  const isOnStage = () => tab.job.peek()?.id === id;
  try {
    const job = await requestJson(`/jobs/${id}`);
    if (isOnStage()) followJob(job);
  } catch (error) {
    if (!isOnStage()) return;
    if (problemOf(error).code === "not_found") leaveStage(tab);
    else setTimeout(() => isOnStage() && !tab.source && recover(tab, id), RETRY_MS);
  }
}
