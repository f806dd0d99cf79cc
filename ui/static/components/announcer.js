// @ts-check
/* For screen readers: the turning points, not every step. */
import { html, useRef, useSignal } from "../html.js";

/** @type {Record<string, string>} */
const SENTENCES = {
  queued: "Waiting to be made.",
  waiting_for_gpu: "Waiting for a GPU.",
  loading: "Loading the model.",
  denoise: "Your clip is taking shape.",
  decoding: "Decoding frames.",
  succeeded: "Your clip is ready and playing.",
  failed: "This clip could not be made.",
  gone: "This clip is gone.",
  cancelled: "Discarded.",
};

/** @param {{ tab: import("../store.js").TabState }} props */
export function Announcer({ tab }) {
  const job = useSignal(tab.job);
  const batch = useSignal(tab.batch);
  const last = useRef("");
  const sentence = job?.id ? SENTENCES[job.phase] : !job && batch ? `${batch.said}.` : "";
  last.current = sentence || last.current;
  return html`<p class="k-spoken" aria-live="polite" role="status">${last.current}</p>`;
}
