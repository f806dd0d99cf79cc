// @ts-check
/* The control of one field of an operation, by its kind. */
import { html } from "../html.js";
import { numberFormat } from "../language.js";
import { FileField } from "./file_field.js";
import { acceptedFiles, nameOfChoice } from "./operation_fields.js";

/** @import { Field, Step } from "./editing.d.ts" */

const TEXTS = { asItIs: "As it is", default: "Automatic" };
const NUMBER = numberFormat({ maximumFractionDigits: 2 });

/** @param {Event} event */
const targetOf = (event) => /** @type {HTMLInputElement} */ (event.target);

/** @param {Field} field @param {string} text */
function readNumber({ isInteger, min = -Infinity, max = Infinity }, text) {
  const number = isInteger ? Math.round(Number(text)) : Number(text);
  return text.trim() === "" || Number.isNaN(number) ? null : Math.min(max, Math.max(min, number));
}

/**
 * @param {object} props
 * @param {Field} props.field
 * @param {Step} props.step
 * @param {(value: unknown, fileName?: string) => void} props.onChange
 */
export function OperationField({ field, step, onChange }) {
  const value = step.values[field.name] ?? field.value;
  const id = `k-op-${step.key}-${field.name}`;
  const note = field.description && `${id}-note`;
  if (field.kind === "switch") {
    return html`
      <label class="k-op-switch" title=${field.description}>
        <input
          type="checkbox"
          checked=${value === true}
          onChange=${(/** @type {Event} */ event) => onChange(targetOf(event).checked)}
        />
        <span>${field.label}</span>
      </label>
    `;
  }
  return html`
    <div class="k-op-field">
      <div class="k-op-label">
        <label for=${id}>${field.label}</label>
        ${field.kind === "range" && html`<output translate="no">${NUMBER.format(Number(value))}</output>`}
      </div>
      <${Control} field=${field} step=${step} id=${id} note=${note} value=${value} onChange=${onChange} />
      ${note && html`<p class="k-note" id=${note}>${field.description}</p>`}
    </div>
  `;
}

/**
 * @param {object} props
 * @param {Field} props.field
 * @param {Step} props.step
 * @param {string} props.id
 * @param {string} props.note
 * @param {unknown} props.value
 * @param {(value: unknown, fileName?: string) => void} props.onChange
 */
function Control({ field, step, id, note, value, onChange }) {
  const described = note || undefined;
  if (field.kind === "file") {
    return html`<${FileField}
      id=${id}
      accept=${acceptedFiles(step.op)}
      kind=${step.op === "sound" ? "sound" : ""}
      name=${step.fileNames[field.name] ?? ""}
      onFile=${(/** @type {string | null} */ file, /** @type {string} */ name) => onChange(file, name)}
    />`;
  }
  if (field.kind === "choice" || field.kind === "shape") {
    const isNumeric = typeof field.choices[0] === "number";
    const empty = field.kind === "shape" ? TEXTS.asItIs : TEXTS.default;
    const onSelect = (/** @type {Event} */ event) => {
      const chosen = targetOf(event).value;
      onChange(chosen === "" ? null : isNumeric ? Number(chosen) : chosen);
    };
    return html`
      <select class="k-field" id=${id} aria-describedby=${described} onChange=${onSelect}>
        ${!field.isRequired && field.value === null && html`<option value="" selected=${value === null}>${empty}</option>`}
        ${field.choices.map((each) => html`<option value=${each} key=${each} selected=${each === value}>${field.kind === "shape" ? each : nameOfChoice(each)}</option>`)}
      </select>
    `;
  }
  if (field.kind === "text") {
    return html`<textarea
      class="k-field k-op-text"
      rows="2"
      id=${id}
      dir="auto"
      aria-describedby=${described}
      value=${value ?? ""}
      onInput=${(/** @type {Event} */ event) => onChange(targetOf(event).value)}
    ></textarea>`;
  }
  if (field.kind === "colour") {
    return html`<input
      class="k-op-colour"
      type="color"
      id=${id}
      aria-describedby=${described}
      value=${value ?? "#000000"}
      onInput=${(/** @type {Event} */ event) => onChange(targetOf(event).value)}
    />`;
  }
  const span = (field.max ?? 0) - (field.min ?? 0);
  const step_ = field.isInteger ? 1 : span <= 4 ? 0.05 : 0.1;
  const onInput = (/** @type {Event} */ event) =>
    onChange(readNumber(field, targetOf(event).value));
  return html`<input
    class=${field.kind === "range" ? "k-op-range" : "k-field"}
    type=${field.kind}
    id=${id}
    inputmode=${field.isInteger ? "numeric" : "decimal"}
    min=${field.min}
    max=${field.max}
    step=${field.kind === "range" ? step_ : "any"}
    placeholder=${TEXTS.default}
    aria-describedby=${described}
    value=${value ?? ""}
    onInput=${field.kind === "range" ? onInput : undefined}
    onChange=${field.kind === "range" ? undefined : onInput}
  />`;
}
