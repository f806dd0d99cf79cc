// @ts-check
/* Our own routes below /kinora: requests, the sentences of refusals, and the addresses of files. */

/** @import { Job, Problem } from "./types.d.ts" */

const TIMEOUT_MS = 20000;

/** @type {Problem} */
const UNREACHABLE = {
  code: "unavailable",
  message: "Kinora cannot be reached right now.",
  remedy: "Clips in progress continue; try again in a moment.",
};

/** @type {Problem} */
const INTERNAL = {
  code: "internal",
  message: "Something went wrong on our side.",
  remedy: "Try again.",
};

/** Carries what to show. */
export class RequestFailed extends Error {
  /** @param {Problem} shown */
  constructor(shown) {
    super(shown.message);
    this.shown = shown;
  }
}

/**
 * What to show of anything that was caught.
 * @param {unknown} error
 * @param {Problem} [otherwise]
 */
export const problemOf = (error, otherwise = INTERNAL) =>
  error instanceof RequestFailed ? error.shown : otherwise;

/** With the path that a proxy serves the app below. */
export function baseUrl() {
  const root = window.gradio_config?.root ?? "/";
  return `${location.origin + new URL(root, location.href).pathname.replace(/\/$/, "")}/kinora`;
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 * @throws {RequestFailed} with a sentence to show
 */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(baseUrl() + path, {
      credentials: "same-origin",
      ...options,
      headers: { "X-Kinora": "1", ...options.headers },
    });
  } catch {
    throw new RequestFailed(UNREACHABLE);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new RequestFailed(body.shown ?? INTERNAL);
}

/**
 * A read is aborted after a while: a connection that died while the phone slept never reports it.
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 * @throws {RequestFailed} with a sentence to show
 */
export async function requestJson(path, options = {}) {
  const timeout = new AbortController();
  const timer = options.method ? 0 : setTimeout(() => timeout.abort(), TIMEOUT_MS);
  try {
    const response = await request(path, { signal: timeout.signal, ...options });
    return response.status === 204 ? null : await response.json();
  } catch (error) {
    throw error instanceof RequestFailed ? error : new RequestFailed(UNREACHABLE);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param {"/pictures" | "/videos"} path
 * @param {File} file
 * @returns {Promise<import("./types.d.ts").Upload>}
 */
export const uploadFile = (path, file) =>
  requestJson(path, {
    method: "POST",
    body: file,
    headers: { "Content-Type": "application/octet-stream" },
  });

/**
 * The address of one of a job's files: signed, because browsers leave the cookie out of some requests.
 * @param {Pick<Job, "id" | "signed">} job
 * @param {"clip" | "poster" | "preview" | "live"} file
 * @param {string} [query]
 */
export const fileUrl = (job, file, query = "") =>
  `${baseUrl()}/jobs/${job.id}/${file}?${[job.signed, query].filter(Boolean).join("&")}`;

/** Of a film's states. @param {Pick<import("./types.d.ts").Film, "id" | "signed">} film */
export const filmUrl = (film) => `${baseUrl()}/films/${film.id}/live?${film.signed}`;

/**
 * @param {Pick<import("./types.d.ts").Batch, "id" | "signed">} batch
 * @param {"live" | "sheet.png" | "grid.mp4" | "clips.zip"} file
 * @param {string} [query]
 */
export const batchUrl = (batch, file, query = "") =>
  `${baseUrl()}/batches/${batch.id}/${file}?${[batch.signed, query].filter(Boolean).join("&")}`;
