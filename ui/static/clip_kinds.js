// @ts-check
/* What a browser can do with a clip's file, by its format. */

const PICTURES = ["gif", "apng", "webp"];
const FILMS = ["mp4", "webm", "webm-av1"];
/** @type {Record<string, string>} */
const SUFFIXES = { "webm-av1": "webm", apng: "png", "png-zip": "zip", prores: "mov" };

/** Whether it moves in an <img>. @param {string} format */
export const isMovingPicture = (format) => PICTURES.includes(format);

/** Whether it plays in a <video>. @param {string} format */
export const isFilm = (format) => FILMS.includes(format);

/** @param {string} format */
export const suffixOf = (format) => SUFFIXES[format] ?? format;
