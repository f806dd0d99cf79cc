// @ts-check
/* A clip without settings: put on the stage of video to video. */
import { setPicture } from "./actions.js";
import { problemOf, uploadFile } from "./api.js";
import { setProblem } from "./problems.js";
import { restored } from "./restore_state.js";
import { store } from "./store.js";
import { openTab } from "./tabs.js";

const TEXTS = { failed: "The clip could not be sent.", remedy: "Try again." };

/** @param {File} file */
export async function useAsInput(file) {
  const tab = store.tabs.v2v;
  restored.value = null;
  openTab("v2v");
  tab.upload += 1;
  const { upload } = tab;
  try {
    const stored = await uploadFile("/videos", file);
    if (upload === tab.upload) tab.whenConnected(() => setPicture(tab, stored));
  } catch (error) {
    setProblem(tab, problemOf(error, { message: TEXTS.failed, remedy: TEXTS.remedy }));
  }
}
