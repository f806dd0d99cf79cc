// @ts-check
/* Gradio's tabs: which there are, and how to open one. */

import { translate } from "./language.js";
import { prefersReducedMotion } from "./motion.js";

/** @import { Task } from "./types.d.ts" */

const LABELS = { t2v: "Text to video", i2v: "Image to video", v2v: "Video to video" };

/** @param {Task} task @returns {HTMLElement | undefined} */
function tabButton(task) {
  /** @type {NodeListOf<HTMLElement>} */
  const buttons = document.querySelectorAll("#k-tabs [role=tab]");
  return [...buttons].find((button) => isOf(button, task) && button.offsetParent);
}

/** @param {Task} task */
export const hasTab = (task) =>
  [...document.querySelectorAll("#k-tabs [role=tab]")].some(
    (button) => isOf(button, task), // also while the gallery covers them
  );

/** Where an edit is shown: that of an uploaded clip may belong to a tab that is not there. @param {Task} task @returns {Task} */
export const tabOf = (task) => (hasTab(task) ? task : "t2v");

/** Whether it is the tab's button, before or after its text is translated. @param {Element} button @param {Task} task */
function isOf(button, task) {
  const text = button.textContent?.trim() ?? "";
  return [LABELS[task], translate(LABELS[task])].includes(text);
}

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

/** For a press whose button is gone: keyboards and screen readers continue there. @param {Task} task */
export function focusStage(task) {
  /** @type {HTMLElement | null | undefined} */
  const stage = tabElement(task)?.querySelector(".k-box");
  if (!stage) return;
  stage.tabIndex = -1;
  stage.focus({ preventScroll: true });
}

/** What is in the tab. @param {Task} task */
export const tabElement = (task) => document.getElementById(`k-${task}`);
