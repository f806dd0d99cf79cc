// @ts-check
/* What an edit would take and what its first seconds look like, as it is being changed: requested
   when the visitor pauses; a request whose edit has changed is cancelled. */
import { problemOf } from "../api.js";
import { useLayoutEffect, useRef, useState } from "../html.js";
import { estimateEdit, previewEdit } from "./edit_requests.js";

/** @import { Problem } from "../types.d.ts" */
/** @import { Edit, EditEstimate } from "./editing.d.ts" */

const PAUSE_MS = 450;

/**
 * @template T
 * @param {Edit | null} edit null: there is nothing to request
 * @param {(edit: Edit, signal: AbortSignal) => Promise<T>} read
 */
function useAnswer(edit, read) {
  const key = JSON.stringify(edit);
  const [answer, setAnswer] = useState(
    /** @type {{ key: string, found: T | null, problem: Problem | null }} */ ({
      key: "null",
      found: null,
      problem: null,
    }),
  );
  useLayoutEffect(() => {
    if (!edit) return;
    const control = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const found = await read(edit, control.signal);
        if (!control.signal.aborted) setAnswer({ key, found, problem: null });
      } catch (error) {
        if (!control.signal.aborted) setAnswer({ key, found: null, problem: problemOf(error) });
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [key]);
  const isFresh = edit !== null && answer.key === key;
  return {
    found: isFresh ? answer.found : null,
    problem: isFresh ? answer.problem : null,
    isWaiting: edit !== null && !isFresh,
  };
}

/** @param {Edit | null} edit */
export const useEstimate = (edit) =>
  useAnswer(
    edit,
    /** @type {(edit: Edit, signal: AbortSignal) => Promise<EditEstimate>} */ (estimateEdit),
  );

/** The address of a small MP4, the one before until there is a newer one. @param {Edit | null} edit */
export function usePreview(edit) {
  const { found, ...state } = useAnswer(edit, previewEdit);
  const [url, setUrl] = useState("");
  const held = useRef("");
  const hold = (/** @type {string} */ made) => {
    if (held.current) URL.revokeObjectURL(held.current);
    held.current = made;
    setUrl(made);
  };
  useLayoutEffect(() => {
    if (found?.size) hold(URL.createObjectURL(found));
  }, [found]);
  useLayoutEffect(() => () => URL.revokeObjectURL(held.current), []);
  return { ...state, url: edit === null || state.problem ? "" : url };
}
