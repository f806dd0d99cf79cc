// @ts-check
/* What the chosen model takes: into the store, and onto the page where it takes no words. */
import { useGradioValue } from "../gradio.js";
import { html, useLayoutEffect } from "../html.js";
import { store } from "../store.js";
import { tabElement } from "../tabs.js";

/** @import { Card, Mounted } from "../types.d.ts" */

/** @param {Mounted<Card | null>} props */
export function CardFacts({ gradio, task }) {
  const [card] = useGradioValue(gradio);
  useLayoutEffect(() => {
    if (!card) return;
    tabElement(task)?.classList.toggle("k-no-words", !card.prompt);
    store.tabs[task].card.value = card;
  }, [card]);
  return html`<p class="k-wordless" hidden=${card?.prompt}>It needs no words.</p>`;
}
