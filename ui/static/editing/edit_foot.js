// @ts-check
/* At the end of the panel and of the timeline: what the edit takes, why it cannot be made, and the
   button that makes it. */
import { problemOf } from "../api.js";
import { putClip } from "../clip_store.js";
import { openClip } from "../clips.js";
import { html, useState } from "../html.js";
import { numberFormat } from "../language.js";
import { focusStage, scrollToStage, tabOf } from "../tabs.js";
import { useEstimate } from "./edit_plan.js";
import { makeEdit } from "./edit_requests.js";

/** @import { Problem } from "../types.d.ts" */
/** @import { Edit } from "./editing.d.ts" */

const TEXTS = {
  make: "Make",
  wait: "One moment…",
  comesOut: (/** @type {string} */ length, /** @type {string} */ size) => `${length} s, ${size}`,
};
const SECONDS = numberFormat({ maximumFractionDigits: 2 });

/** @param {Problem} problem */
const sentenceOf = ({ message, remedy }) => [message, remedy].filter(Boolean).join(" ");

/**
 * @param {object} props
 * @param {Edit | null} props.edit
 * @param {string} props.hint what is said while there is nothing to make
 * @param {() => void} [props.onSend] with the press, before there is an answer
 * @param {() => void} [props.onRefused]
 * @param {() => void} props.onMade
 */
export function EditFoot({ edit, hint, onSend, onRefused, onMade }) {
  const { found, problem, isWaiting } = useEstimate(edit);
  const [refusal, setRefusal] = useState(/** @type {Problem | null} */ (null));
  const [isSending, setSending] = useState(false);
  const make = async () => {
    if (!edit || isSending) return;
    setSending(true);
    setRefusal(null);
    onSend?.();
    try {
      const job = await makeEdit(edit);
      job.task = tabOf(job.task);
      onMade();
      putClip(job);
      openClip(job, () => {
        scrollToStage(job.task);
        if (document.activeElement === document.body) focusStage(job.task);
      });
    } catch (error) {
      setRefusal(problemOf(error));
      setSending(false);
      onRefused?.();
    }
  };
  const wrong = problem ?? refusal;
  const size = found && `${found.width} × ${found.height}`;
  return html`
    <div class="k-edit-foot">
      <div class="k-panel-plan" role="status">
        ${wrong && html`<p class="k-panel-refusal">${sentenceOf(wrong)}</p>`}
        ${!wrong && html`<p>${found ? found.line : isWaiting ? TEXTS.wait : hint}</p>`}
        ${found && html`<p class="k-note">${TEXTS.comesOut(SECONDS.format(found.duration_s), String(size))}</p>`}
        ${found?.notes.map((text) => html`<p class="k-note" key=${text}>${text}</p>`)}
      </div>
      <button class="k-press k-edit-make" type="button" disabled=${!edit || Boolean(problem) || isSending} onClick=${make}>
        ${TEXTS.make}
      </button>
    </div>
  `;
}
