// @ts-check
/* Opens the editing room. It is a script of its own, which is loaded when it is first needed. */
import { problemOf } from "../api.js";
import { setProblem } from "../problems.js";
import { store } from "../store.js";

/** @import { Job, Problem, Tile } from "../types.d.ts" */

/** @type {Problem} */
const NOT_LOADED = {
  message: "The editor could not be loaded.",
  remedy: "Check the connection and try again.",
};

/**
 * The panel beside the stage, with one clip.
 * @param {Pick<Job, "id" | "task" | "prompt" | "width" | "height" | "format" | "signed">} clip
 */
export async function openEditor(clip) {
  const { classList } = document.documentElement;
  classList.add("k-editing"); // with the press: what moves later would be a surprise
  try {
    const room = await import("./editing_room.js");
    await room.showEditor(clip);
  } catch (error) {
    classList.remove("k-editing");
    setProblem(store.tabs[clip.task], problemOf(error, NOT_LOADED), "clips");
  }
}

/**
 * The timeline, with several clips of the gallery in this order.
 * @param {Tile[]} tiles
 * @param {(problem: Problem) => void} onProblem
 */
export async function openTimeline(tiles, onProblem) {
  try {
    const room = await import("./editing_room.js");
    await room.showTimeline(tiles);
  } catch (error) {
    onProblem(problemOf(error, NOT_LOADED));
  }
}
