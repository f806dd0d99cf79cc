// @ts-check
/* Where the panel and the timeline are drawn, and the style that both need. */
import { html, render } from "../html.js";
import { onLanguage } from "../language.js";
import { EditPanel } from "./edit_panel.js";
import { readOperations } from "./edit_requests.js";
import { Timeline } from "./timeline.js";
import { itemOfTile } from "./timeline_state.js";

/**
 * @import { Tile } from "../types.d.ts"
 * @import { EditedClip } from "./editing.d.ts"
 */

let root = /** @type {HTMLElement | null} */ (null);
let drawAgain = () => {};
let shown = 0; // how many were shown: one that was replaced cannot close the next one
onLanguage(() => drawAgain());

const style = new Promise((done, fail) => {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("./editing.css", import.meta.url).href;
  link.onload = done;
  link.onerror = () => fail(new Error("The style of the editor could not be loaded."));
  document.head.append(link);
});

/** @param {(onClose: () => void) => any} view */
function draw(view) {
  const opener = document.activeElement;
  const place = root ?? document.createElement("div");
  if (!root) document.querySelector(".gradio-container")?.append(place);
  root = place;
  shown += 1;
  const mine = shown;
  const close = () => {
    if (mine !== shown) return;
    shown += 1;
    drawAgain = () => {};
    render(null, place);
    document.documentElement.classList.remove("k-editing");
    const button = [opener, ...document.querySelectorAll(".k-edit-button")].find(
      (each) => each instanceof HTMLElement && each.isConnected && each.offsetParent,
    );
    if (button instanceof HTMLElement) button.focus({ preventScroll: true });
  };
  drawAgain = () => render(view(close), place);
  render(null, place); // whatever was open
  drawAgain();
}

/** @param {EditedClip} clip */
export async function showEditor(clip) {
  const [offer] = await Promise.all([readOperations(), style]);
  draw(
    (close) => html`<${EditPanel} key=${clip.id} clip=${clip} offer=${offer} onClose=${close} />`,
  );
}

/** @param {Tile[]} tiles */
export async function showTimeline(tiles) {
  const [offer] = await Promise.all([readOperations(), style]);
  const items = tiles.map(itemOfTile);
  draw((close) => html`<${Timeline} first=${items} offer=${offer} onClose=${close} />`);
}
