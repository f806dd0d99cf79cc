// @ts-check
/* This visitor's clips: read from the server once, then kept up to date. */
import { problemOf, requestJson } from "./api.js";
import { driveClip, dropClip, putClip } from "./clip_store.js";
import { clearProblem, setProblem } from "./problems.js";
import { followJob, leaveStage } from "./stage_jobs.js";
import { isActive, store } from "./store.js";
import { openTab } from "./tabs.js";

/** @import { Job, Task } from "./types.d.ts" */

const POLL_MS = 1500;
const RETRY_MS = 3000;
const RECENT_S = 3600;

/** @param {string} id */
function removeClip(id) {
  dropClip(id);
  for (const tab of Object.values(store.tabs)) if (tab.job.peek()?.id === id) leaveStage(tab);
}

/** Reads the list, again until there is an answer, and then keeps it up to date. */
export async function loadClips() {
  try {
    const { jobs, last } = await requestJson("/jobs");
    for (const job of [...jobs].reverse()) putClip(job);
    store.oldest.value = last;
    resumeJobs(jobs);
  } catch {
    setTimeout(loadClips, RETRY_MS);
    return;
  }
  setInterval(updateClips, POLL_MS);
}

/**
 * After a reload the newest unfinished clip of each tab is back on its stage.
 * @param {Job[]} jobs newest first
 */
function resumeJobs(jobs) {
  const active = jobs.filter(isActive);
  for (const task of /** @type {Task[]} */ (Object.keys(store.tabs))) {
    const newest = active.find((job) => job.task === task);
    if (newest) store.tabs[task].whenConnected(() => resumeJob(task, newest.id));
  }
  const [newest] = active;
  if (newest && Date.now() / 1000 - newest.created_at < RECENT_S) openTab(newest.task);
}

/** @param {Task} task @param {string} id */
function resumeJob(task, id) {
  const tab = store.tabs[task];
  const job = store.clips.peek().get(id); // as it is by now
  if (tab.job.peek() || !job) return;
  followJob(job);
  tab.trigger("restore", { job: id, set: { as: "asked" } });
}

/** Unfinished clips that no stage follows. */
async function updateClips() {
  const followed = new Set(
    Object.values(store.tabs).map((tab) => tab.source && tab.job.peek()?.id),
  );
  for (const job of store.clips.peek().values()) {
    if (job.drive) driveClip(job.id); // again, where the last time had no effect
    if (!isActive(job) || followed.has(job.id)) continue;
    if (document.hidden && !("drive" in job)) continue; // nobody looks, and it needs no request
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
  store.tabs[job.task].whenConnected(() => {
    followJob(job);
    shown();
  });
}
