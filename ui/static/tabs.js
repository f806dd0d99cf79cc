// @ts-check
/* Gradio's tabs: which there are, and how to open one. */

import { prefersReducedMotion } from "./motion.js";

/** @import { Task } from "./types.d.ts" */

const LABELS = { t2v: "Text to video", i2v: "Image to video", v2v: "Video to video" };

/** @param {Task} task @returns {HTMLElement | undefined} */
function tabButton(task) {
  /** @type {NodeListOf<HTMLElement>} */
  const buttons = document.querySelectorAll("#k-tabs [role=tab]");
  return [...buttons].find(
    (button) => button.textContent?.trim() === LABELS[task] && button.offsetParent,
  );
}

/** @param {Task} task */
export const hasTab = (task) =>
  [...document.querySelectorAll("#k-tabs [role=tab]")].some(
    (button) => button.textContent?.trim() === LABELS[task], // also while the gallery covers them
  );

/** @param {Task} task */
export function openTab(task) {
  const button = tabButton(task);
  if (button && button.getAttribute("aria-selected") !== "true") button.click();
}

/** @param {Task} task */
export function scrollToStage(task) {
  const stage = tabElement(task)?.querySelector(".k-box");
  const behavior = prefersReducedMotion() ? "auto" : "smooth";
  stage?.scrollIntoView({ block: "nearest", behavior });
}

/** What is in the tab. @param {Task} task */
export const tabElement = (task) => document.getElementById(`k-${task}`);
