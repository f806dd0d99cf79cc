// @ts-check
/* Keys and presses that concern Gradio's own controls. */

import { showGrid } from "./batches.js";
import { isTouch } from "./motion.js";
import { clearProblem } from "./problems.js";
import { store } from "./store.js";
import { tabElement } from "./tabs.js";

/** @import { Task } from "./types.d.ts" */

/** @param {Event} event @returns {Element | null} */
const targetOf = (event) => (event.target instanceof Element ? event.target : null);

/** What a press was refused for may be repaired by what is typed or chosen now. @param {Event} event */
function clearRefusal(event) {
  const task = targetOf(event)?.closest(".k-studio")?.id.replace("k-", "");
  if (task) clearProblem(store.tabs[/** @type {Task} */ (task)], "press");
}

/** Enter in the prompt, or Ctrl+Enter anywhere, presses Generate. @param {KeyboardEvent} event */
function generateOnEnter(event) {
  if (event.key !== "Enter" || event.isComposing || document.querySelector("dialog[open]")) return;
  const inPrompt = targetOf(event)?.closest(".k-prompt textarea, .k-prompt input");
  const chord = event.ctrlKey || event.metaKey;
  if (!chord && (!inPrompt || event.shiftKey || isTouch())) return;
  /** @type {NodeListOf<HTMLElement>} */
  const tabs = document.querySelectorAll(".k-studio");
  const open = [...tabs].find((tab) => tab.offsetParent);
  /** @type {HTMLElement | null | undefined} */
  const button = open?.querySelector(".k-generate");
  if (!button || open?.classList.contains("k-busy")) return;
  event.preventDefault();
  event.stopPropagation();
  button.click();
}

/** Escape leads back from a clip to the grid that it is in. @param {KeyboardEvent} event */
function backOnEscape(event) {
  if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
  if (document.querySelector("dialog[open], :popover-open")) return;
  const tab = Object.values(store.tabs).find(
    ({ task, batch, job }) => batch.peek() && job.peek()?.id && tabElement(task)?.offsetParent,
  );
  if (tab) showGrid(tab);
}

/** The whole pill opens its list, not just the words in it. @param {PointerEvent} event */
function openWholeChip(event) {
  const target = targetOf(event);
  const input = target?.closest(".k-chip")?.querySelector("input");
  if (!input || target === input || target?.closest(".options")) return;
  event.preventDefault();
  if (document.activeElement === input) input.blur();
  else input.focus();
}

export function startShortcuts() {
  document.addEventListener("input", clearRefusal);
  document.addEventListener("change", clearRefusal);
  document.addEventListener("mousedown", (event) => {
    if (targetOf(event)?.closest("[role=option]")) clearRefusal(event);
  });
  document.addEventListener("keydown", generateOnEnter, true);
  document.addEventListener("keydown", backOnEscape, true);
  document.addEventListener("pointerdown", openWholeChip);
}
