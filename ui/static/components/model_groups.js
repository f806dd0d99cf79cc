// @ts-check
/* Which models the picker lists, and under which titles. */

/** @import { ModelList, ModelRow } from "../types.d.ts" */

/** @typedef {{ title: string, isTitled: boolean, models: ModelRow[] }} Group */

const LEVELS = /** @type {const} */ ([
  ["runs", "Run here"],
  ["slow", "Run here, slowly"],
  ["no", "Need a bigger machine"],
]);
const HUB_ID = /^[A-Za-z0-9][\w.-]*\/[\w.-]+(@[\w./-]+)?$/;

/** @param {ModelRow} model @param {string[]} words */
function matches({ name, id, about }, words) {
  const text = `${name} ${id} ${about}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/**
 * @param {ModelList | null} offer null while it is loading
 * @param {string} search
 * @param {boolean} isUnfolded also those that this machine is too small for
 * @returns {{ groups: Group[], folded: number, isNarrowed: boolean }} `folded`: how many more there are
 */
export function groupModels(offer, search, isUnfolded) {
  const typed = search.trim();
  const words = typed.toLowerCase().split(/\s+/);
  const found = (offer?.models ?? []).filter((model) => matches(model, words));
  const near = found.filter((model) => model.level !== "no");
  const folded = !typed && !isUnfolded && near.length ? found.length - near.length : 0;
  const listed = folded ? near : found;
  /** @type {Group[]} */
  const groups = LEVELS.map(([level, title]) => {
    return { title, isTitled: true, models: listed.filter((model) => model.level === level) };
  }).filter((group) => group.models.length);
  const pasted = offer?.any && HUB_ID.test(typed) ? typed : null;
  if (pasted && !found.some((model) => model.id === pasted)) {
    const about = "Look this one up on the Hugging Face Hub.";
    const model = { id: pasted, name: pasted, about, verdict: "Nothing is downloaded yet." };
    groups.push({ title: "From the Hub", isTitled: false, models: [model] });
  }
  return { groups, folded, isNarrowed: typed !== "" };
}
