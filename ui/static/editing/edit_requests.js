// @ts-check
/* Requests about edits. */
import { request, requestJson } from "../api.js";

/** @import { Job } from "../types.d.ts" */
/** @import { Edit, EditEstimate, Offer } from "./editing.d.ts" */

const JSON_BODY = { "Content-Type": "application/json" };

/** @param {string} path @param {Edit} edit @param {AbortSignal} [signal] */
const send = (path, edit, signal) =>
  request(`/operations${path}`, {
    method: "POST",
    body: JSON.stringify(edit),
    headers: JSON_BODY,
    signal,
  });

let offer = /** @type {Promise<Offer> | null} */ (null);

/** @returns {Promise<Offer>} */
export function readOperations() {
  offer ??= requestJson("/operations").catch((error) => {
    offer = null;
    throw error;
  });
  return /** @type {Promise<Offer>} */ (offer);
}

/** @param {Edit} edit @param {AbortSignal} [signal] @returns {Promise<EditEstimate>} */
export const estimateEdit = async (edit, signal) => (await send("/estimate", edit, signal)).json();

/** @param {Edit} edit @param {AbortSignal} [signal] @returns {Promise<Blob>} */
export const previewEdit = async (edit, signal) => (await send("/preview", edit, signal)).blob();

/** @param {Edit} edit @returns {Promise<Job>} */
export const makeEdit = async (edit) => (await send("", edit)).json();

/**
 * @param {File} file
 * @param {"sound" | ""} kind what it is to be, where it could be something else too
 * @returns {Promise<{ id: string, kind: string }>}
 */
export const sendFile = (file, kind = "") =>
  requestJson(`/operations/files${kind && `?kind=${kind}`}`, {
    method: "POST",
    body: file,
    headers: { "Content-Type": "application/octet-stream" },
  });
