// @ts-check
/* The files of a batch: a CSV is read here, pictures and zips of them are sent to the server. */
import { RequestFailed, requestJson, uploadFile } from "./api.js";

/** @import { NamedPicture } from "./types.d.ts" */

/** @typedef {{ csv: { name: string, text: string } | null, pictures: NamedPicture[] }} BatchFiles */

/** @param {File} file @param {string} ending @param {string} type */
const isKind = (file, ending, type) =>
  file.name.toLowerCase().endsWith(ending) || file.type.includes(type);

/** @param {string} message @param {string} remedy */
const refusal = (message, remedy) => new RequestFailed({ message, remedy });

/**
 * Text in UTF-8, or in UTF-16 with a byte order mark.
 * @param {File} file
 */
async function readText(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const mark = (bytes[0] << 8) | bytes[1];
  const encoding = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw refusal(`“${file.name}” is not UTF-8 text.`, "Save it as “CSV UTF-8”.");
  }
}

/**
 * Adds what was chosen or dropped, one after the other.
 * @param {BatchFiles} before
 * @param {File[]} files
 * @param {boolean} takesPictures
 * @param {(done: number) => void} onProgress
 * @returns {Promise<BatchFiles>}
 * @throws {RequestFailed} with a sentence to show
 */
export async function addFiles(before, files, takesPictures, onProgress) {
  let { csv, pictures } = before;
  let done = 0;
  for (const file of files) {
    onProgress(done);
    if (isKind(file, ".csv", "csv")) csv = { name: file.name, text: await readText(file) };
    else if (!takesPictures) {
      throw refusal(`“${file.name}” is no CSV.`, "Pictures belong to Image to video.");
    } else if (isKind(file, ".zip", "zip")) {
      const body = { method: "POST", body: file };
      pictures = [...pictures, ...(await requestJson("/zips", body)).pictures];
    } else {
      try {
        const { id } = await uploadFile("/pictures", file);
        pictures = [...pictures, { id, name: file.name }];
      } catch (error) {
        if (!(error instanceof RequestFailed)) throw error;
        throw refusal(
          `“${file.name}” cannot be used. ${error.shown.message}`,
          error.shown.remedy ?? "",
        );
      }
    }
    done += 1;
  }
  return { csv, pictures };
}
