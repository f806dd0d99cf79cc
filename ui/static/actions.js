// @ts-check
/* Presses and answers: what they change in a tab. */
import { problemOf, requestJson } from "./api.js";
import { closeBatch, openBatch } from "./batches.js";
import { loadNewestClips, putClip } from "./clip_store.js";
import { beginBoard } from "./film/film_state.js";
import { clearProblem, setProblem } from "./problems.js";
import { followJob, leaveStage, startWaiting, stopWaiting } from "./stage_jobs.js";
import { store } from "./store.js";
import { openTab, scrollToStage, tabElement } from "./tabs.js";

/**
 * @import { Answer, EstimateValue, Focus, Job, PlanSpec, Task, Upload } from "./types.d.ts"
 * @import { TabState } from "./store.js"
 */

const CENTRE = { x: 0.5, y: 0.5 };

// ---- presses

/**
 * A press of a button on the stage or below it.
 * @param {TabState} tab
 * @param {"again" | "another" | "onward" | "restore" | "repair" | "develop"} event
 * @param {Job} job
 * @param {Record<string, unknown>} [set]
 */
export function pressJobButton(tab, event, job, set = {}) {
  if (event === "again" || event === "another" || event === "develop") startWaiting(tab);
  tab.trigger(event, { job: job.id, set });
}

/**
 * Renders a draft fully; its grid stays behind the clip.
 * @param {TabState} tab
 * @param {Job} draft
 */
export function renderDraft(tab, draft) {
  tab.keepsBatch = true;
  startWaiting(tab);
  tab.explore?.trigger("full", { job: draft.id });
}

/**
 * Requests what a comparison or a batch would be; the answer is the tab's `plan`.
 * @param {TabState} tab
 * @param {PlanSpec} spec
 */
export function requestPlan(tab, spec) {
  tab.planned += 1;
  tab.explore?.trigger("planned", { spec, number: tab.planned });
}

/** @param {TabState} tab @param {PlanSpec} spec */
export function startPlan(tab, spec) {
  clearProblem(tab);
  startWaiting(tab);
  scrollToStage(tab.task); // it may be out of view behind the panel
  tab.explore?.trigger("many", { spec });
}

/**
 * Makes a clip of the grid again that failed, was discarded or is gone.
 * @param {TabState} tab
 * @param {import("./types.d.ts").CellJob} job
 */
export function makeAgain(tab, job) {
  clearProblem(tab);
  tab.explore?.trigger("remake", { job: job.id });
}

const STOPPING = {
  finish: "Finishing with what is there",
  discard: "Discarding",
  "redo-part": "Discarding this part",
};

/**
 * Finishes or discards the job on the stage, or the present part of a long one: a request of its
 * own, past any queue.
 * @param {TabState} tab
 * @param {"finish" | "discard" | "redo-part"} how
 */
export async function stopJob(tab, how) {
  const id = tab.job.peek()?.id;
  if (!id) return;
  // a part that is discarded does not end the job: the next state says what is being made
  tab.stopping = how === "redo-part" ? null : { id, line: STOPPING[how] };
  tab.notice.value = STOPPING[how];
  try {
    await requestJson(`/jobs/${id}/${how}`, { method: "POST" });
  } catch (error) {
    tab.stopping = null;
    tab.notice.value = null;
    setProblem(tab, problemOf(error), "stop");
  }
}

/** Presses of Gradio's own buttons, by the names that `ui/tab.py` gives them. */
const GRADIO_ACTIONS = {
  start(/** @type {TabState} */ tab) {
    clearProblem(tab);
    startWaiting(tab);
  },
  "no answer"(/** @type {TabState} */ tab) {
    stopWaiting(tab);
    setProblem(tab, {
      message: "Kinora did not answer.",
      remedy: "Wait a moment and press again.",
    });
  },
  finish: (/** @type {TabState} */ tab) => stopJob(tab, "finish"),
  discard: (/** @type {TabState} */ tab) => stopJob(tab, "discard"),
};

/** @param {Task} task @param {string} action */
export function onGradioAction(task, action) {
  GRADIO_ACTIONS[/** @type {keyof typeof GRADIO_ACTIONS} */ (action)](store.tabs[task]);
}

// ---- answers

/**
 * The server's answer to a press: a job to follow, a refusal to show, or a picture to start from.
 * @param {TabState} tab
 * @param {Answer} answer
 */
export function receiveAnswer(tab, answer) {
  if (answer.plan) {
    if (answer.plan.number === tab.planned) tab.plan.value = answer.plan;
    return;
  }
  clearProblem(tab);
  if (answer.job) {
    putClip(answer.job);
    if (answer.job.task === tab.task) {
      if (!tab.keepsBatch) closeBatch(tab);
      followJob(answer.job);
    }
  }
  tab.keepsBatch = false;
  if (answer.batch) {
    openBatch(answer.batch.task, answer.batch.id);
    loadNewestClips().catch(() => {});
  }
  if (answer.error) {
    stopWaiting(tab);
    setProblem(tab, answer.error, "press");
  }
  if (answer.picture) startFromPicture(answer.picture);
  if (answer.board) beginBoard(answer.board);
}

/** @param {Upload} picture */
function startFromPicture(picture) {
  const tab = store.tabs.i2v;
  openTab("i2v");
  tab.whenConnected(() => {
    setPicture(tab, picture);
    /** @type {HTMLElement | null | undefined} */
    const prompt = tabElement("i2v")?.querySelector(".k-prompt textarea");
    prompt?.focus({ preventScroll: true });
  });
}

/** @param {TabState} tab @param {EstimateValue} estimate */
export function receiveEstimate(tab, estimate) {
  tab.lookup.value = null;
  if (estimate.rest !== undefined) tab.restLine.value = estimate.rest;
  if (estimate.width && estimate.height && !tab.job.peek()) {
    tab.shape.value = { width: estimate.width, height: estimate.height };
  }
  if (estimate.error) setProblem(tab, estimate.error, "estimate");
  else clearProblem(tab, "estimate");
}

// ---- the picture

/**
 * @param {TabState} tab
 * @param {Upload | null} picture
 */
export function setPicture(tab, picture) {
  tab.upload += 1;
  closeBatch(tab);
  leaveStage(tab);
  clearProblem(tab);
  tab.picture.value = picture && { ...picture, focus: CENTRE };
  tab.publishPicture();
  tab.trigger("picked");
}

/**
 * Moves the crop.
 * @param {TabState} tab
 * @param {Focus} focus
 */
export function setFocus(tab, focus) {
  const picture = tab.picture.peek();
  if (!picture) return;
  tab.picture.value = { ...picture, focus };
  tab.publishPicture();
}
