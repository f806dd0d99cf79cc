// @ts-check
/* Before anyone presses: how long it will take here, and what will be changed and why. */
import { receiveEstimate } from "../actions.js";
import { useGradioValue } from "../gradio.js";
import { html, useLayoutEffect, useSignal } from "../html.js";
import { store } from "../store.js";
import { CookieNotice } from "./cookie_notice.js";
import { ProblemNote } from "./problem_note.js";

/** @import { EstimateValue, Mounted } from "../types.d.ts" */

/** @param {Mounted<EstimateValue | null>} props */
export function Estimate({ gradio, task }) {
  const tab = store.tabs[task];
  const [estimate] = useGradioValue(gradio);
  const lookup = useSignal(tab.lookup);
  useLayoutEffect(() => {
    if (estimate) tab.whenConnected(() => receiveEstimate(tab, estimate));
  }, [estimate]);
  return html`
    <${ProblemNote} tab=${tab} />
    <${CookieNotice} />
    <p class="k-outlook-line">${lookup ? `Looking at ${lookup} …` : (estimate?.line ?? "")}</p>
    <div>
      ${estimate?.before?.map((text) => html`<p class="k-note k-before">${text}</p>`)}
      ${estimate?.adjustments?.map((text) => html`<p class="k-note">${text}</p>`)}
    </div>
  `;
}
