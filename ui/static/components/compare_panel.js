// @ts-check
/* Chooses one or two settings and their values: a grid of clips that differ in nothing else. */
import { problemOf, requestJson } from "../api.js";
import { html, useLayoutEffect, useSignal, useState } from "../html.js";
import { Panel } from "./panel.js";
import { PlanFoot } from "./plan_foot.js";

/** @import { Comparable } from "../types.d.ts" */

/** One axis as it is written down. @typedef {{ field: string, text: string, before: string, chosen: string[] }} Axis */

const NO_AXIS = { field: "", text: "", before: "", chosen: [] };
const SIDES = ["Side by side", "One below the other"];

/** @param {Comparable | undefined} setting @returns {Axis} */
function axisOf(setting) {
  if (!setting) return NO_AXIS;
  const values = setting.values.map(String);
  const text = setting.kind === "numbers" ? values.join(", ") : "";
  return { field: setting.field, text, before: "", chosen: values };
}

/** @param {string} text */
const listed = (text) => text.split(",").map((each) => each.trim());

/**
 * @param {Axis} axis
 * @param {Comparable | undefined} setting
 * @returns {(string | number)[]}
 */
function valuesOf(axis, setting) {
  if (!setting) return [];
  if (setting.kind === "choices") return axis.chosen;
  if (setting.kind === "numbers") return listed(axis.text).filter(Boolean);
  const before = axis.before.trim();
  if (!before || !axis.text.trim()) return [];
  return [before, ...listed(axis.text)].map((after) => `${before}=>${after}`);
}

/** @param {{ tab: import("../store.js").TabState, isOpen: boolean, onClose: () => void }} props */
export function ComparePanel({ tab, isOpen, onClose }) {
  const card = useSignal(tab.card);
  const [settings, setSettings] = useState(/** @type {Comparable[]} */ ([]));
  const [problem, setProblem] = useState("");
  const [axes, setAxes] = useState(/** @type {Axis[]} */ ([NO_AXIS, NO_AXIS]));

  useLayoutEffect(() => {
    if (!isOpen || !card) return;
    const model = encodeURIComponent(card.id);
    requestJson(`/comparable?task=${tab.task}&model=${model}`).then(
      ({ settings: found }) => {
        const known = (/** @type {Axis} */ { field }) =>
          found.some((/** @type {Comparable} */ each) => each.field === field);
        setSettings(found);
        setProblem("");
        setAxes((before) => [
          known(before[0]) ? before[0] : axisOf(found[0]),
          known(before[1]) ? before[1] : NO_AXIS,
        ]);
      },
      (error) => setProblem(problemOf(error).message),
    );
  }, [isOpen, card?.id]);

  const settingOf = (/** @type {string} */ field) => settings.find((each) => each.field === field);
  const change = (/** @type {number} */ n, /** @type {Axis} */ axis) =>
    setAxes(axes.map((before, index) => (index === n ? axis : before)));
  const compare = axes
    .map((axis) => ({ field: axis.field, values: valuesOf(axis, settingOf(axis.field)) }))
    .filter(({ values }) => values.length);
  const spec = compare.some(({ values }) => values.length > 1) ? { compare } : null;
  return html`
    <${Panel} title="Compare" isOpen=${isOpen} onClose=${onClose}>
      <p class="k-note">The same clip with one or two settings changed, and the same seed.</p>
      ${problem && html`<p class="k-panel-refusal" role="alert">${problem}</p>`}
      ${axes.map(
        (axis, n) => html`
          <${AxisFields}
            key=${n}
            title=${SIDES[n]}
            axis=${axis}
            settings=${settings.filter(({ field }) => field === axis.field || field !== axes[1 - n].field)}
            isOptional=${n === 1}
            onChange=${(/** @type {Axis} */ fresh) => change(n, fresh)}
          />
        `,
      )}
      <${PlanFoot}
        tab=${tab}
        spec=${spec}
        verb="Compare"
        hint="Give at least two values."
        isOpen=${isOpen}
        onStart=${onClose}
      />
    <//>
  `;
}

/**
 * @param {object} props
 * @param {string} props.title
 * @param {Axis} props.axis
 * @param {Comparable[]} props.settings
 * @param {boolean} props.isOptional
 * @param {(axis: Axis) => void} props.onChange
 */
function AxisFields({ title, axis, settings, isOptional, onChange }) {
  const setting = settings.find(({ field }) => field === axis.field);
  const typed = (/** @type {Event} */ event) =>
    /** @type {HTMLInputElement} */ (event.target).value;
  const onSetting = (/** @type {Event} */ event) =>
    onChange(axisOf(settings.find(({ field }) => field === typed(event))));
  return html`
    <fieldset class="k-panel-part">
      <legend>${title}</legend>
      <select class="k-field" aria-label=${`${title}: setting`} value=${axis.field} onChange=${onSetting}>
        ${isOptional && html`<option value="">Nothing more</option>`}
        ${settings.map(
          ({ field, label }) =>
            html`<option value=${field} selected=${field === axis.field}>${label}</option>`,
        )}
      </select>
      ${
        setting?.kind === "numbers" &&
        html`<input
          class="k-field"
          type="text"
          inputmode="decimal"
          aria-label=${`${setting.label}: values`}
          value=${axis.text}
          onInput=${(/** @type {Event} */ event) => onChange({ ...axis, text: typed(event) })}
        />`
      }
      ${
        setting?.kind === "words" &&
        html`<input
            class="k-field"
            type="text"
            placeholder="a word of the prompt: dog"
            aria-label="Words to replace"
            value=${axis.before}
            onInput=${(/** @type {Event} */ event) => onChange({ ...axis, before: typed(event) })}
          />
          <input
            class="k-field"
            type="text"
            placeholder="what else: cat, bird"
            aria-label="Replace them with"
            value=${axis.text}
            onInput=${(/** @type {Event} */ event) => onChange({ ...axis, text: typed(event) })}
          />`
      }
      ${setting?.kind === "choices" && html`<${Choices} axis=${axis} setting=${setting} onChange=${onChange} />`}
      ${setting && html`<p class="k-note">${mostValues(setting)}</p>`}
    </fieldset>
  `;
}

/** @param {{ axis: Axis, setting: Comparable, onChange: (axis: Axis) => void }} props */
function Choices({ axis, setting, onChange }) {
  const toggle = (/** @type {string} */ value) => {
    const has = axis.chosen.includes(value);
    const chosen = has ? axis.chosen.filter((each) => each !== value) : [...axis.chosen, value];
    onChange({ ...axis, chosen });
  };
  const isFull = axis.chosen.length >= setting.most;
  return html`
    <div class="k-panel-choices" role="group" aria-label=${`${setting.label}: values`}>
      ${setting.choices?.map(([value, label]) => {
        const isChosen = axis.chosen.includes(value);
        return html`
          <label class="k-panel-choice" key=${value}>
            <input
              type="checkbox"
              checked=${isChosen}
              disabled=${isFull && !isChosen}
              onChange=${() => toggle(value)}
            />
            ${label}
          </label>
        `;
      })}
    </div>
  `;
}

/** @param {Comparable} setting */
function mostValues({ kind, most }) {
  if (kind === "choices") return `Up to ${most} values.`;
  return `Up to ${kind === "words" ? most - 1 : most} values, with commas between.`;
}
