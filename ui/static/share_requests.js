// @ts-check
/* The link of a clip: read, made, changed and revoked. */
import { requestJson } from "./api.js";

/** @import { ShareAnswer } from "./types.d.ts" */

/** What the maker decides. @typedef {{ title: string, hide_prompt: boolean, hide_settings: boolean, public: boolean, expires_at: number | null }} ShareOptions */

/** @type {ShareOptions} */
export const NEW_LINK = {
  title: "",
  hide_prompt: false,
  hide_settings: false,
  public: false,
  expires_at: null,
};

/** @param {string} id @returns {Promise<ShareAnswer>} */
export const readShare = (id) => requestJson(`/jobs/${id}/share`);

/** @param {string} id @param {ShareOptions} options @returns {Promise<ShareAnswer>} */
export const putShare = (id, options) =>
  requestJson(`/jobs/${id}/share`, { method: "PUT", body: JSON.stringify(options) });

/** @param {string} id @returns {Promise<ShareAnswer>} */
export const revokeShare = (id) => requestJson(`/jobs/${id}/share`, { method: "DELETE" });
