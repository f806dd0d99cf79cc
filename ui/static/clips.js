// @ts-check
/* This visitor's clips: read from the server once, then kept up to date. */
import { problemOf, requestJson } from "./api.js";
import { closeBatch, openBatch, refreshBatch } from "./batches.js";
import { driveClip, dropClip, loadNewestClips, putClip } from "./clip_store.js";
import { isFollowedByFilm } from "./film/film_updates.js";
import { clearProblem, setProblem } from "./problems.js";
import { followJob, leaveStage } from "./stage_jobs.js";
import { isActive, store } from "./store.js";
import { openTab, scrollToStage } from "./tabs.js";

/** @import { Job, Task } from "./types.d.ts" */

const POLL_MS = 1500;
const RETRY_MS = 3000;
const RECENT_S = 3600;
const MOST_POLLED = 4; // more clips than these are updated by one request for the list

/** @param {string} id */
function removeClip(id) {
  dropClip(id);
  for (const tab of Object.values(store.tabs)) if (tab.job.peek()?.id === id) leaveStage(tab);
}

/** Reads the list, again until there is an answer, and then keeps it up to date. */
export async function loadClips() {
  try {
    resumeJobs(await loadNewestClips());
  } catch {
    setTimeout(loadClips, RETRY_MS);
    return;
  }
  setInterval(updateClips, POLL_MS);
}

/**
 * After a reload the newest unfinished clip of each tab is back on its stage, or the grid that it is
 * in. A grid comes back when it is finished, too, if nothing was made since.
 * @param {Job[]} jobs newest first
 */
function resumeJobs(jobs) {
  const active = jobs.filter(isActive);
  const [last] = jobs;
  if (last?.batch && !active.some((job) => job.task === last.task)) resumeBatch(last, last.batch);
  for (const task of /** @type {Task[]} */ (Object.keys(store.tabs))) {
    const newest = active.find((job) => job.task === task);
    if (newest?.batch) resumeBatch(newest, newest.batch);
    else if (newest) store.tabs[task].whenConnected(() => resumeJob(task, newest.id));
  }
  const newest = active[0] ?? (last?.batch ? last : null);
  if (newest && Date.now() / 1000 - newest.created_at < RECENT_S) openTab(newest.task);
}

/** @param {Job} job @param {string} batch */
function resumeBatch({ id, task }, batch) {
  const tab = store.tabs[task];
  tab.whenConnected(() => {
    if (tab.job.peek() || tab.batch.peek()) return;
    openBatch(task, batch);
    tab.trigger("restore", { job: id, set: { as: "asked" } });
  });
}

/** @param {Task} task @param {string} id */
function resumeJob(task, id) {
  const tab = store.tabs[task];
  const job = store.clips.peek().get(id); // as it is by now
  if (tab.job.peek() || !job) return;
  followJob(job);
  tab.trigger("restore", { job: id, set: { as: "asked" } });
}

/** What is followed brings its own states. */
function followedIds() {
  const ids = Object.values(store.tabs).flatMap(({ source, job, batchSource, batch }) => [
    source && job.peek()?.id,
    batchSource && batch.peek()?.id,
  ]);
  return new Set(ids.filter((id) => id)); // a clip of no batch has null there, too
}

/** Unfinished clips that no stage follows. */
async function updateClips() {
  const followed = followedIds();
  const waiting = [];
  for (const job of store.clips.peek().values()) {
    if (job.drive) driveClip(job.id); // again, where the last time had no effect
    if (!isActive(job) || followed.has(job.id) || followed.has(job.batch)) continue;
    if (isFollowedByFilm(job.id)) continue;
    if (document.hidden && !("drive" in job)) continue; // nobody looks, and it needs no request
    waiting.push(job);
  }
  if (waiting.length > MOST_POLLED) {
    await loadNewestClips().catch(() => {});
    return;
  }
  for (const job of waiting) {
    try {
      putClip(await requestJson(`/jobs/${job.id}`));
    } catch (error) {
      if (problemOf(error).code === "not_found") removeClip(job.id);
    }
  }
}

export async function loadOlderClips() {
  const { jobs, last } = await requestJson(`/jobs?before=${store.oldest.peek()}`);
  for (const job of jobs) putClip(job);
  store.oldest.value = last;
}

/** @param {Job} job */
export async function deleteClip(job) {
  const tab = store.tabs[job.task];
  try {
    await requestJson(`/jobs/${job.id}`, { method: "DELETE" });
    removeClip(job.id);
    clearProblem(tab, "clips");
    if (job.batch && job.batch === tab.batch.peek()?.id) await refreshBatch(tab);
  } catch (error) {
    setProblem(tab, problemOf(error), "clips");
  }
}

/**
 * Back onto its stage.
 * @param {Job} job
 * @param {() => void} shown called when its tab is there
 */
export function openClip(job, shown) {
  openTab(job.task);
  const tab = store.tabs[job.task];
  tab.whenConnected(() => {
    if (tab.batch.peek()?.id !== job.batch) closeBatch(tab);
    followJob(job);
    shown();
  });
}

/**
 * Puts the grid of a batch of the list back on its stage.
 * @param {Task} task
 * @param {string} id
 */
export function showBatchOfList(task, id) {
  openTab(task);
  store.tabs[task].whenConnected(async () => {
    await openBatch(task, id);
    scrollToStage(task);
  });
}

/**
 * Deletes all clips of a batch.
 * @param {Task} task
 * @param {string} id
 */
export async function deleteBatch(task, id) {
  const tab = store.tabs[task];
  try {
    await requestJson(`/batches/${id}`, { method: "DELETE" });
    for (const clip of store.clips.peek().values()) if (clip.batch === id) removeClip(clip.id);
    if (tab.batch.peek()?.id === id) closeBatch(tab);
    clearProblem(tab, "clips");
  } catch (error) {
    setProblem(tab, problemOf(error), "clips");
  }
}
