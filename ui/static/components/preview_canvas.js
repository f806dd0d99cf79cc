// @ts-check
/* A job's moving preview. The player draws on the canvas; a frame never renders a component. */
import { fileUrl } from "../api.js";
import { PreviewPlayer } from "../drawing/preview_player.js";
import { html, useLayoutEffect, useRef } from "../html.js";

/** @import { Job, PreviewInfo } from "../types.d.ts" */

/**
 * @param {object} props
 * @param {string} props.class
 * @param {Pick<Job, "id" | "signed" | "preview"> | null} props.job whose preview is loaded
 * @param {boolean} props.isShown false empties the player
 * @param {unknown} [props.turn] another one empties the player, too
 * @param {(info: PreviewInfo) => void} [props.onShow] called when a newer preview is shown
 * @param {import("./stage.js").Ref<HTMLCanvasElement>} [props.canvas]
 */
export function PreviewCanvas({ class: className, job, isShown, turn, onShow, canvas }) {
  const own = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const element = canvas ?? own;
  const player = useRef(/** @type {PreviewPlayer | null} */ (null));
  const show = useRef(onShow);
  show.current = onShow;
  useLayoutEffect(() => {
    if (element.current) {
      player.current = new PreviewPlayer(element.current, (info) => show.current?.(info));
    }
    return () => player.current?.clear();
  }, []);
  useLayoutEffect(() => {
    if (!isShown) player.current?.clear();
  }, [isShown, turn]);
  useLayoutEffect(() => {
    if (job?.preview) player.current?.load(fileUrl(job, "preview"), job.preview);
  }, [job?.id, job?.preview?.number, turn]);
  return html`<canvas class=${className} aria-hidden="true" ref=${element}></canvas>`;
}
