// @ts-check
/* One operation of the chain: its fields, its place in the order, and how it is taken out. */
import { Icon } from "../components/icon.js";
import { html } from "../html.js";
import { OperationField } from "./operation_field.js";
import { fieldsOf } from "./operation_fields.js";

/** @import { Operation, Step } from "./editing.d.ts" */

const TEXTS = {
  up: (/** @type {string} */ label) => `${label}: earlier`,
  down: (/** @type {string} */ label) => `${label}: later`,
  remove: (/** @type {string} */ label) => `${label}: remove`,
  more: "More settings",
};

/**
 * @param {object} props
 * @param {Step} props.step
 * @param {Operation} props.operation
 * @param {unknown} props.special a control of its own in place of the fields
 * @param {boolean} props.isFirst
 * @param {boolean} props.isLast
 * @param {(values: Record<string, unknown>, fileNames?: Record<string, string>) => void} props.onChange
 * @param {(by: number) => void} props.onMove
 * @param {() => void} props.onRemove
 */
export function StepCard(props) {
  const { step, operation, special, isFirst, isLast, onChange, onMove, onRemove } = props;
  const { first, others } = fieldsOf(operation);
  const field = (/** @type {import("./editing.d.ts").Field} */ each) => html`<${OperationField}
    key=${each.name}
    field=${each}
    step=${step}
    onChange=${(/** @type {unknown} */ value, /** @type {string | undefined} */ fileName) =>
      onChange(
        { [each.name]: value },
        fileName === undefined ? undefined : { [each.name]: fileName },
      )}
  />`;
  const verb = (
    /** @type {string} */ icon,
    /** @type {string} */ text,
    /** @type {boolean} */ isOff,
    /** @type {() => void} */ onClick,
  ) => html`<button class="k-verb" type="button" aria-label=${text} title=${text} disabled=${isOff} onClick=${onClick}>
    <${Icon} name=${icon} />
  </button>`;
  return html`
    <li class="k-step" data-step=${step.key} aria-label=${operation.title}>
      <div class="k-step-head">
        <h3 class="k-subtitle" title=${operation.description}>${operation.title}</h3>
        ${verb("up", TEXTS.up(operation.title), isFirst, () => onMove(-1))}
        ${verb("downward", TEXTS.down(operation.title), isLast, () => onMove(1))}
        ${verb("cross", TEXTS.remove(operation.title), false, onRemove)}
      </div>
      ${special}
      ${!special && first.map(field)}
      ${!special && first.length === 0 && html`<p class="k-note">${operation.description}</p>`}
      ${
        !special &&
        others.length > 0 &&
        html`<details class="k-step-more">
          <summary>${TEXTS.more}</summary>
          <div class="k-step-others">${others.map(field)}</div>
        </details>`
      }
    </li>
  `;
}
