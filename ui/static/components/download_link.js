// @ts-check
/* Saves the clip. In another site's frame, a browser leaves that frame's cookies out of a download,
   ours and those by which the Hub's proxy knows who may see a private Space. So what fits into
   memory is fetched as everything else on the page is; the rest the browser fetches by itself, from
   an address that needs no cookie here. */

import { fileUrl, problemOf, request } from "../api.js";
import { suffixOf } from "../clip_kinds.js";
import { html, useState } from "../html.js";
import { setProblem } from "../problems.js";
import { Icon } from "./icon.js";

/** @import { Job } from "../types.d.ts" */

const MOST_FETCHED = 100e6; // bytes; browsers put a Blob of that size on the disk, not all in memory
const KEEP_MS = 60000;

/** @param {Job} clip */
async function saveFetched(clip) {
  const blob = await (await request(`/jobs/${clip.id}/clip?download`)).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `kinora-${clip.id.slice(0, 8)}.${suffixOf(clip.format)}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEEP_MS);
}

/** @param {{ tab: import("../store.js").TabState, clip: Job }} props */
export function DownloadLink({ tab, clip }) {
  const [isFetching, setFetching] = useState(false);
  const onClick = async (/** @type {Event} */ event) => {
    if (window.self === window.top || (clip.size_bytes ?? 0) > MOST_FETCHED) return;
    event.preventDefault();
    setFetching(true);
    try {
      await saveFetched(clip);
    } catch (error) {
      const message = "The clip could not be downloaded.";
      setProblem(tab, problemOf(error, { message, remedy: "Try again." }));
    } finally {
      setFetching(false);
    }
  };
  return html`
    <a
      class="k-verb"
      href=${fileUrl(clip, "clip", "download")}
      download=""
      title="Save the file"
      onClick=${onClick}
    >
      <${Icon} name="down" /><span>${isFetching ? "Downloading…" : "Download"}</span>
    </a>
  `;
}
