// @ts-check
/* The operations that can be added: the usual ones as buttons, the others below. */
import { html } from "../html.js";
import { sortedOperations } from "./operation_fields.js";

/** @import { Operation } from "./editing.d.ts" */

const TEXTS = { add: "Add", more: "More operations" };

/** @param {{ operations: Operation[], onAdd: (operation: Operation) => void }} props */
export function AddOperation({ operations, onAdd }) {
  const { first, others } = sortedOperations(operations);
  const button = (/** @type {Operation} */ each) => html`<button
    class="k-press"
    type="button"
    key=${each.op}
    title=${each.description}
    onClick=${() => onAdd(each)}
  >
    ${each.title}
  </button>`;
  return html`
    <div class="k-add" role="group" aria-label=${TEXTS.add}>
      <div class="k-add-row">${first.map(button)}</div>
      <details class="k-step-more">
        <summary>${TEXTS.more}</summary>
        <div class="k-add-row">${others.map(button)}</div>
      </details>
    </div>
  `;
}
