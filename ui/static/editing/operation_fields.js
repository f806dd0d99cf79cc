// @ts-check
/* From the schema of an operation to the controls of its fields. */

/** @import { Field, FieldKind, Operation, Schema, Step } from "./editing.d.ts" */

export const FIRST_OPERATIONS = [
  "trim",
  "speed",
  "loop",
  "crop",
  "upscale",
  "interpolate",
  "sound",
  "title",
  "subtitles",
  "colour",
];
/** Those that need several clips have their place on the timeline. */
const FOR_SEVERAL = ["join"];

/** The fields that are shown at once; of other operations, those of the short form. @type {Record<string, string[]>} */
const FIRST_FIELDS = {
  crop: ["shape"],
  pad: ["shape", "background"],
  colour: ["exposure", "contrast", "saturation", "warmth"],
  sound: ["file", "volume", "own_volume"],
  subtitles: ["file", "show", "size"],
  title: ["text", "place", "duration_s"],
};
/** What is chosen when the operation is added, besides its own defaults. @type {Record<string, Record<string, unknown>>} */
const BEGINNING = {
  speed: { factor: 0.5 },
  split: { at_s: 1 },
  crop: { shape: "1:1" },
  pad: { shape: "16:9" },
};
/** @type {Record<string, string>} */
const LABELS = {
  start_s: "Start (s)",
  end_s: "End (s)",
  at_s: "At (s)",
  hold_s: "Hold (s)",
  fade_s: "Fade (s)",
  fade_in_s: "Fade in (s)",
  fade_out_s: "Fade out (s)",
  duration_s: "Length (s)",
  keep: "Keep",
  factor: "Speed",
  keep_pitch: "Keep the pitch",
  style: "Style",
  times: "Times",
  fps: "Frames per second",
  width: "Width",
  height: "Height",
  x: "From the left",
  y: "From the top",
  shape: "Shape",
  colour: "Colour",
  background: "Background",
  degrees: "Degrees",
  mirror: "Mirror",
  frames: "Frames",
  strength: "Strength",
  exposure: "Exposure",
  contrast: "Contrast",
  saturation: "Saturation",
  warmth: "Warmth",
  tint: "Tint",
  file: "File",
  coloured: "Coloured",
  volume: "Music",
  own_volume: "The clip's own sound",
  loop: "Repeat to the end",
  loudness: "Even loudness",
  text: "Text",
  show: "Show",
  size: "Size",
  place: "Place",
  box: "Dark box",
  sharpness: "Sharpness",
  transition: "Transition",
  method: "Method",
};
/** @type {Record<string, string>} */
const CHOICES = {
  before: "The part before",
  after: "The part after",
  boomerang: "Boomerang",
  crossfade: "Cross-fade",
  repeat: "As it is",
  colour: "One colour",
  blur: "The clip, blurred",
  none: "None",
  horizontal: "Left and right",
  vertical: "Top and bottom",
  burned: "In the picture",
  track: "As a track",
  small: "Small",
  medium: "Medium",
  large: "Large",
  bottom: "Bottom",
  top: "Top",
  start: "Before the clip",
  end: "After the clip",
  over: "Over the clip",
  cut: "Cut",
  fade_black: "Through black",
  fade_white: "Through white",
  wipe: "Wipe",
  auto: "Automatic",
  "built-in": "Built-in",
};
export const SHAPES = ["16:9", "9:16", "1:1", "4:3", "3:4", "21:9"];
/** @type {Record<string, string>} */
const ACCEPTED = { lut: ".cube", sound: "audio/*,video/mp4,video/webm", subtitles: ".srt,.vtt" };
const FILE_PATTERN = "{64}";
const COLOUR_PATTERN = "{6}";
const LONGEST_TEXT = 2000; // a whole file of subtitles is sent as a file
const WIDEST_RANGE = 20; // of a slider whose values one can still choose exactly

/** @param {string | number} choice */
export const nameOfChoice = (choice) =>
  CHOICES[choice] ??
  String(choice)
    .replaceAll("_", " ")
    .replace(/^[a-z]/, (a) => a.toUpperCase());

/** What a file field takes. @param {string} op */
export const acceptedFiles = (op) => ACCEPTED[op] ?? "";

/** @param {Operation[]} operations */
export function sortedOperations(operations) {
  const place = (/** @type {Operation} */ { op }) =>
    (FIRST_OPERATIONS.indexOf(op) + FIRST_OPERATIONS.length + 1) % (FIRST_OPERATIONS.length + 1);
  const first = operations
    .filter(({ op }) => FIRST_OPERATIONS.includes(op))
    .sort((a, b) => place(a) - place(b));
  const others = operations.filter(
    ({ op }) => !FIRST_OPERATIONS.includes(op) && !FOR_SEVERAL.includes(op),
  );
  return { first, others };
}

/** @param {Operation} operation @returns {{ first: Field[], others: Field[] }} */
export function fieldsOf(operation) {
  const { properties = {}, required = [] } = operation.schema;
  const fields = Object.entries(properties)
    .filter(([name]) => name !== "op")
    .map(([name, schema]) => fieldOf(name, schema, required.includes(name)))
    .filter((field) => field !== null);
  const named = FIRST_FIELDS[operation.op] ?? operation.by_position;
  const isFirst = (/** @type {Field} */ { name, isRequired }) => isRequired || named.includes(name);
  const order = (/** @type {Field} */ { name }) => named.indexOf(name);
  return {
    first: fields.filter(isFirst).sort((a, b) => order(a) - order(b)),
    others: fields.filter((field) => !isFirst(field)),
  };
}

/** @param {string} name @param {Schema} whole @param {boolean} isRequired @returns {Field | null} */
function fieldOf(name, whole, isRequired) {
  const schema = whole.anyOf?.find(({ type }) => type !== "null") ?? whole;
  const min = schema.minimum ?? schema.ge ?? schema.exclusiveMinimum ?? schema.gt;
  const max = schema.maximum ?? schema.le;
  const kind = kindOf(name, schema, min, max, Boolean(whole.anyOf));
  if (!kind) return null;
  return {
    name,
    kind,
    label: LABELS[name] ?? whole.title ?? name,
    description: kind === "file" ? "" : (whole.description ?? ""), // an id is for programs
    isRequired,
    isInteger: schema.type === "integer",
    value: whole.default ?? null,
    min,
    max,
    choices: kind === "shape" ? SHAPES : (schema.enum ?? []),
  };
}

/**
 * @param {string} name @param {Schema} schema @param {number | undefined} min
 * @param {number | undefined} max @param {boolean} isOptional
 * @returns {FieldKind | null} null: for programs only
 */
function kindOf(name, { type, enum: choices, pattern = "", maxLength = 0 }, min, max, isOptional) {
  if (choices) return "choice";
  if (type === "boolean") return "switch";
  if (type === "number" || type === "integer") {
    const isShort = min !== undefined && max !== undefined && max - min <= WIDEST_RANGE;
    return isShort && !isOptional ? "range" : "number";
  }
  if (type !== "string" || maxLength > LONGEST_TEXT) return null;
  if (name === "shape") return "shape";
  if (pattern.includes(FILE_PATTERN)) return "file";
  return pattern.includes(COLOUR_PATTERN) ? "colour" : "text";
}

let lastKey = 0;

/** @param {Operation} operation @returns {Step} */
export function newStep(operation) {
  const values = /** @type {Record<string, unknown>} */ ({ ...BEGINNING[operation.op] });
  const { first, others } = fieldsOf(operation);
  for (const field of [...first, ...others]) {
    if (field.isRequired && !(field.name in values)) {
      if (field.kind === "number" || field.kind === "range") values[field.name] = field.min ?? 1;
      if (field.kind === "choice") values[field.name] = field.choices[0];
    }
  }
  lastKey += 1;
  return { key: lastKey, op: operation.op, values, fileNames: {} };
}

/** The first field that still needs a value. @param {Step} step @param {Operation} operation */
export function missingField(step, operation) {
  const fields = fieldsOf(operation).first;
  const needsFile = step.op === "subtitles";
  return fields.find(
    ({ name, kind, isRequired }) =>
      (isRequired || (needsFile && kind === "file")) &&
      [undefined, null, ""].includes(/** @type {any} */ (step.values[name])),
  );
}

/** As the server reads it: without what was left empty. @param {Step} step */
export function operationOf({ op, values }) {
  const chosen = Object.entries(values).filter(([, value]) => value !== null && value !== "");
  return { op, ...Object.fromEntries(chosen) };
}
