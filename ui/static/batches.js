// @ts-check
/* The batch on a tab's stage: its grid is put there, followed until it ends, taken away. One of its
   clips may be before it, as any clip is on the stage. */
import { batchUrl, problemOf, requestJson } from "./api.js";
import { dropClip, mergeClipStates } from "./clip_store.js";
import { clearProblem, setProblem } from "./problems.js";
import { followJob, leaveStage } from "./stage_jobs.js";
import { isActive, store } from "./store.js";

/**
 * @import { Batch, CellJob, Task } from "./types.d.ts"
 * @import { TabState } from "./store.js"
 */

const RETRY_MS = 2000;

/**
 * Puts the grid of a batch on its tab's stage and follows it until it ends.
 * @param {Task} task
 * @param {string} id
 */
export async function openBatch(task, id) {
  const tab = store.tabs[task];
  try {
    /** @type {Batch} */
    const batch = await requestJson(`/batches/${id}`);
    stopFollowing(tab);
    leaveStage(tab);
    showBatch(tab, batch);
    if (!batch.ended) followUpdates(tab, batch);
  } catch (error) {
    if (problemOf(error).code === "not_found") closeBatch(tab);
    else setProblem(tab, problemOf(error), "batch");
    if (!tab.job.peek()?.id) leaveStage(tab);
  }
}

/** @param {TabState} tab */
export function closeBatch(tab) {
  stopFollowing(tab);
  tab.batch.value = null;
  clearProblem(tab, "batch");
}

/**
 * Back from one clip to the grid.
 * @param {TabState} tab
 * @param {string | null} [batch] the one that the clip is in, where its grid is not behind it
 */
export function showGrid(tab, batch = null) {
  const behind = tab.batch.peek();
  if (behind) leaveStage(tab);
  else if (batch) openBatch(tab.task, batch);
}

/**
 * Opens a clip of the grid on the stage. Meanwhile the grid is not followed: a browser opens only so
 * many connections.
 * @param {TabState} tab
 * @param {CellJob} cell
 */
export async function openCell(tab, cell) {
  try {
    const job = await requestJson(`/jobs/${cell.id}`);
    stopFollowing(tab);
    followJob(job);
  } catch (error) {
    setProblem(tab, problemOf(error), "batch");
  }
}

/**
 * Discards a clip of the grid; a finished one is deleted.
 * @param {TabState} tab
 * @param {CellJob} job
 */
export async function discardCell(tab, job) {
  try {
    if (isActive(job)) await requestJson(`/jobs/${job.id}/discard`, { method: "POST" });
    else {
      await requestJson(`/jobs/${job.id}`, { method: "DELETE" });
      dropClip(job.id);
    }
    await refreshBatch(tab);
  } catch (error) {
    setProblem(tab, problemOf(error), "batch");
  }
}

/** Reads the batch again, if nothing else brings its states. @param {TabState} tab */
export async function refreshBatch(tab) {
  const id = tab.batch.peek()?.id;
  if (id && !tab.batchSource) await refresh(tab, id);
}

/** @param {TabState} tab @param {Batch} batch */
export async function discardAll(tab, batch) {
  try {
    await requestJson(`/batches/${batch.id}/discard`, { method: "POST" });
  } catch (error) {
    setProblem(tab, problemOf(error), "batch");
  }
}

// ---- updates

/** @param {TabState} tab @param {Batch} batch */
function showBatch(tab, batch) {
  tab.batch.value = batch;
  if (!tab.job.peek()) tab.shape.value = { width: batch.width, height: batch.height };
  mergeClipStates(batch.cells.flatMap(({ job }) => job ?? []));
}

/** The state as it is by now, then as it changes. @param {TabState} tab @param {string} id */
async function refresh(tab, id) {
  const isThere = () => tab.batch.peek()?.id === id && !tab.batchSource;
  try {
    const batch = await requestJson(`/batches/${id}`);
    if (!isThere()) return;
    showBatch(tab, batch);
    if (!batch.ended) followUpdates(tab, batch);
  } catch (error) {
    if (!isThere()) return;
    if (problemOf(error).code === "not_found") closeBatch(tab);
    else setTimeout(() => isThere() && !tab.job.peek() && refresh(tab, id), RETRY_MS);
  }
}

/** @param {TabState} tab @param {Batch} batch */
function followUpdates(tab, batch) {
  stopFollowing(tab);
  const source = new EventSource(batchUrl(batch, "live"));
  tab.batchSource = source;
  source.onmessage = (message) => {
    if (tab.batchSource !== source) return;
    /** @type {Batch} */
    const fresh = JSON.parse(message.data);
    showBatch(tab, fresh);
    tab.notice.value = null;
    if (fresh.ended) stopFollowing(tab);
  };
  source.addEventListener("end", () => source.close());
  source.onerror = () => {
    if (tab.batchSource !== source) return;
    tab.notice.value = "Connection lost; the clips continue. Reconnecting…";
    if (source.readyState !== EventSource.CLOSED) return;
    stopFollowing(tab);
    setTimeout(() => refresh(tab, batch.id), RETRY_MS);
  };
}

/** @param {TabState} tab */
function stopFollowing(tab) {
  tab.batchSource?.close();
  tab.batchSource = null;
}
