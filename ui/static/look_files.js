// @ts-check
/* A look as text: what is shared, saved as a file, and imported again. */

/** @import { Look } from "./types.d.ts" */

/** @typedef {Pick<Look, "name" | "settings">} SharedLook */

const MOST_BYTES = 64_000; // as many as the server accepts

/** @param {SharedLook} look */
export const lookText = ({ name, settings }) => JSON.stringify({ name, settings }, null, 2);

/** @param {string} name the letters of a file's name that every system accepts */
const plainName = (name) => name.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "") || "look";

/** @param {SharedLook} look */
export const fileName = ({ name }) => `${plainName(name)}.kinora-look.json`;

/**
 * @param {string} text
 * @returns {SharedLook | null}
 */
export function readLook(text) {
  try {
    const found = JSON.parse(text);
    const isLook = typeof found?.name === "string" && found.name.trim() && found.settings;
    return isLook ? { name: found.name.trim(), settings: found.settings } : null;
  } catch {
    return null;
  }
}

/**
 * @param {File} file
 * @returns {Promise<SharedLook | null>} null where it is no look
 */
export const readLookFile = async (file) =>
  file.size > MOST_BYTES ? null : readLook(await file.text());
