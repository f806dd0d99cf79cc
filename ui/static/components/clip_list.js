// @ts-check
/* This visitor's clips, newest first; the unfinished ones move, too. */
import { loadClips, loadOlderClips } from "../clips.js";
import { goTo } from "../gallery/address.js";
import { html, useLayoutEffect, useSignal } from "../html.js";
import { store } from "../store.js";
import { BatchTile } from "./batch_tile.js";
import { ClipTile } from "./clip_tile.js";

/** @import { Job } from "../types.d.ts" */

/**
 * One entry for each clip that was made alone, and one for all clips of a batch.
 * @param {Job[]} clips newest first
 */
function groupByBatch(clips) {
  const groups = /** @type {Map<string, Job[]>} */ (new Map());
  for (const clip of clips) {
    const key = clip.batch || clip.id;
    groups.set(key, [...(groups.get(key) ?? []), clip]);
  }
  return [...groups];
}

export function ClipList() {
  const clips = useSignal(store.clips);
  const oldest = useSignal(store.oldest);
  useLayoutEffect(() => {
    loadClips();
  }, []);
  const newestFirst = [...clips.values()].sort((a, b) => b.created_at - a.created_at);
  return html`
    <section class="k-reel-part" aria-labelledby="k-reel-title" hidden=${!clips.size}>
      <div class="k-reel-head">
        <h2 class="k-title" id="k-reel-title">My clips</h2>
        <button class="k-verb" type="button" onClick=${() => goTo({ filters: {} })}>All clips</button>
      </div>
      <ul class="k-reel" aria-label="My clips">
        ${groupByBatch(newestFirst).map(([id, group]) =>
          group[0].batch
            ? html`<${BatchTile} id=${id} clips=${group} key=${id} />`
            : html`<${ClipTile} clip=${group[0]} key=${id} />`,
        )}
      </ul>
      <button class="k-verb" type="button" hidden=${!oldest} onClick=${() => loadOlderClips()}>
        Older clips
      </button>
    </section>
  `;
}
