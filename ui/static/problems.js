// @ts-check
/* What went wrong in a tab: one thing at a time, shown in one place. */

/**
 * @import { Problem } from "./types.d.ts"
 * @import { TabState } from "./store.js"
 */

/**
 * Shows a refusal in the one place for it.
 * @param {TabState} tab
 * @param {Problem} shown
 * @param {string} [about] what it is about, so that it can be taken away with that
 */
export function setProblem(tab, shown, about = "") {
  tab.problem.value = { shown, about };
}

/**
 * @param {TabState} tab
 * @param {string} [about] only what was shown about that; without it, whatever is there
 */
export function clearProblem(tab, about = "") {
  if (!about || tab.problem.peek()?.about === about) tab.problem.value = null;
}
