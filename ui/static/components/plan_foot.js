// @ts-check
/* At the end of a panel: how many clips it would start and what they take, why it cannot, and the
   button. */
import { requestPlan, startPlan } from "../actions.js";
import { html, useLayoutEffect, useSignal, useState } from "../html.js";

/** @import { PlanSpec } from "../types.d.ts" */

const PAUSE_MS = 350; // of someone who types

/**
 * @param {object} props
 * @param {import("../store.js").TabState} props.tab
 * @param {PlanSpec | null} props.spec null where there is too little to start
 * @param {string} props.verb
 * @param {string} props.hint what is said while there is too little
 * @param {boolean} props.isOpen
 * @param {() => void} props.onStart
 */
export function PlanFoot({ tab, spec, verb, hint, isOpen, onStart }) {
  const answer = useSignal(tab.plan);
  const key = JSON.stringify(spec);
  const [planned, setPlanned] = useState("");
  useLayoutEffect(() => {
    if (!isOpen || !spec) return;
    const timer = setTimeout(() => {
      requestPlan(tab, spec);
      setPlanned(key);
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [isOpen, key]);
  const isFresh = planned === key && answer?.number === tab.planned;
  const plan = spec && isFresh ? answer : null;
  const canStart = Boolean(plan?.clips);
  const start = () => {
    if (!spec || !canStart) return;
    onStart();
    startPlan(tab, spec);
  };
  const sentence = plan?.error && [plan.error.message, plan.error.remedy].filter(Boolean).join(" ");
  const line = plan ? (plan.line ?? "") : spec ? "One moment…" : hint;
  return html`
    <div class="k-panel-foot">
      <div class="k-panel-plan" role="status">
        ${sentence ? html`<p class="k-panel-refusal">${sentence}</p>` : html`<p>${line}</p>`}
        ${plan?.problems?.map((text) => html`<p class="k-note" key=${text}>${text}</p>`)}
      </div>
      <button class="k-press k-verb-main" type="button" disabled=${!canStart} onClick=${start}>
        ${verb}
      </button>
    </div>
  `;
}
