// @ts-check
/* The language of the page. The code has its texts in English. Where one becomes part of the page
   (`html.js`, `gradio_texts.js`), it is looked up in the catalogue of the chosen language. What a
   template says around its values finds its entry: “Step 3 of 20” that of “Step {n} of {m}”. A text
   without an entry stays English. What users write is in elements with translate="no". */

/** @import { Catalogue, Language } from "./globals.d.ts" */

const STORED = "kinora-language";
const YEAR_S = 365 * 24 * 3600;
const MOST_CACHED = 5000;
const LONGEST_WAIT_MS = 4000; // then the page is drawn in English
const SENTENCE_END = /(?<=[.?!…]["”»」]?)\s+(?=\S)/;
const PLACEHOLDER = /\{([a-z]+)\}/g;
/** Words that stand for a text of ours, or for a value where they have no entry. */
const TEXTS_THEMSELVES = ["time", "label", "reason", "field"];
const MAY_BE_SENTENCES = ["prompt", "quote", "title"];
/** Of a text in several sentences, an entry takes only its own. */
const WITHIN_A_SENTENCE = '((?:(?![.?!…]["”»」]?\\s).)+?)';
/** How a name does not begin: “{name} cannot be read.” is not about “The sound”. */
const NO_NAME = "(?!(?:The|This|That|These|Those|There|Your|Its|It|An?|No|Each|Shot \\d+:) )";
const HAS_SENTENCES = /[.?!·] |: \{reason\}$/;
const PLAIN_NUMBER = /^-?\d+(?:\.\d+)?$/;

/** The other languages, and where their catalogues are: `ui/language_files.py` puts them here. */
const OTHERS = /** @type {Language[]} */ (window.kinoraLanguages ?? []);
/** @type {Language} */
const ENGLISH = { tag: "en", name: "English", dir: "ltr", address: "" };
export const LANGUAGES = [ENGLISH, ...OTHERS];

/** @typedef {{ regex: RegExp, names: string[], entry: Catalogue[string] }} Pattern */

const current = {
  language: ENGLISH,
  /** @type {Catalogue | null} */
  texts: null,
  /** The entries with values, those that say most first. @type {Pattern[]} */
  patterns: [],
  /** @type {Map<string, string>} */
  cache: new Map(),
};
const listeners = /** @type {(() => void)[]} */ ([]);

/** For Intl. Digits are those of the rest of the page, which has numbers in fields as well. */
export const locale = () => (current.language.tag === "ar" ? "ar-u-nu-latn" : current.language.tag);
export const languageTag = () => current.language.tag;
export const isTranslated = () => current.texts !== null;

/** @param {() => void} listener called after each change of the language */
export const onLanguage = (listener) => listeners.push(listener);

/** @returns {Language} the one that was chosen here, else the browser's first that we have */
function preferred() {
  const wanted = [stored(), ...navigator.languages];
  for (const tag of wanted) {
    const primary = tag?.toLowerCase().split("-")[0];
    const found = LANGUAGES.find((each) => each.tag.split("-")[0] === primary);
    if (found) return found;
  }
  return ENGLISH;
}

function stored() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null; // the browser blocks all of a site's data
  }
}

/** Loads the catalogue of the preferred language, if it is not English. */
export const startLanguage = () => setLanguage(preferred());

/** @param {string} tag the visitor's choice, which is remembered for our pages without a script too */
export function chooseLanguage(tag) {
  const secure = location.protocol === "https:" ? "; SameSite=None; Secure" : "; SameSite=Lax";
  // biome-ignore lint/suspicious/noDocumentCookie: the other way is not in every browser
  document.cookie = `${STORED}=${tag}; Path=/; Max-Age=${YEAR_S}${secure}`;
  try {
    localStorage.setItem(STORED, tag);
  } catch {
    // the cookie has it
  }
  return setLanguage(LANGUAGES.find((each) => each.tag === tag) ?? ENGLISH);
}

/** @param {Language} language */
async function setLanguage(language) {
  /** @type {Catalogue | null} */
  let texts = null;
  if (language.address) {
    try {
      const root = window.gradio_config?.root || ".";
      const response = await fetch(`${root.replace(/\/$/, "")}/${language.address}`, {
        signal: AbortSignal.timeout(LONGEST_WAIT_MS),
      });
      if (!response.ok) throw new Error(`status ${response.status}`);
      texts = await response.json();
    } catch {
      return; // the page stays in the language that it has
    }
  }
  Object.assign(current, { language, texts, patterns: patternsOf(texts ?? {}) });
  current.cache.clear();
  document.documentElement.lang = language.tag;
  document.documentElement.dir = language.dir;
  for (const listener of listeners) listener();
}

/** @param {Catalogue} texts @returns {Pattern[]} */
function patternsOf(texts) {
  return Object.entries(texts)
    .filter(([text]) => text.search(PLACEHOLDER) >= 0)
    .sort(([a], [b]) => saidIn(b) - saidIn(a))
    .map(([text, entry]) => {
      const names = [...text.matchAll(PLACEHOLDER)].map(([, name]) => name);
      const parts = text
        .split(PLACEHOLDER)
        .map((part, at) => (at % 2 ? group(part, text) : quote(part)));
      if (!parts.at(-1) && parts.at(-2) === WITHIN_A_SENTENCE) parts.push("(?<![.?!…])");
      if (!parts[0] && names[0] === "name") parts[0] = NO_NAME;
      return { regex: new RegExp(`^${parts.join("")}$`, "s"), names, entry };
    });
}

/** How many letters a text has besides its values. @param {string} text */
const saidIn = (text) => text.replace(PLACEHOLDER, "").length;
/** One letter stands for a number, a word for anything. @param {string} name @param {string} key */
function group(name, key) {
  if (name.length === 1) return "(-?\\d+(?:\\.\\d+)?)";
  const isText = TEXTS_THEMSELVES.includes(name) && HAS_SENTENCES.test(key);
  return MAY_BE_SENTENCES.includes(name) || isText ? "(.+?)" : WITHIN_A_SENTENCE;
}
/** @param {string} text */
const quote = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/**
 * The text in the language of the page; as it is where that is English or has no entry for it.
 * @param {string} text
 * @returns {string}
 */
export function translate(text) {
  if (!current.texts || !/[a-z]/i.test(text)) return text;
  const known = current.cache.get(text);
  if (known !== undefined) return known;
  const [, before, said, after] = /** @type {RegExpMatchArray} */ (
    text.match(/^(\s*)(.*?)(\s*)$/s)
  );
  const translated = `${before}${whole(said) ?? bySentence(said)}${after}`;
  if (current.cache.size >= MOST_CACHED) current.cache.clear();
  current.cache.set(text, translated);
  return translated;
}

/** The first sentence, then the rest. @param {string} text @returns {string} */
function bySentence(text) {
  const end = text.match(SENTENCE_END);
  if (!end?.index) return text;
  const first = text.slice(0, end.index);
  const space = /^(zh|ja)/.test(current.language.tag) ? "" : " ";
  return `${whole(first) ?? first}${space}${translate(text.slice(end.index + end[0].length))}`;
}

/** @param {string} text @returns {string | null} */
function whole(text) {
  const entry = /** @type {Catalogue} */ (current.texts)[text];
  if (typeof entry === "string" && entry) return entry;
  for (const { regex, names, entry } of current.patterns) {
    const found = entry && text.match(regex);
    if (found) return fill(entry, names, found.slice(1));
  }
  return null;
}

/** @param {Catalogue[string]} entry @param {string[]} names @param {string[]} values */
function fill(entry, names, values) {
  const number = names.findIndex((name) => name.length === 1);
  let form = typeof entry === "string" ? entry : entry.other;
  if (typeof entry !== "string" && number >= 0) {
    form = entry[new Intl.PluralRules(locale()).select(Number(values[number]))] ?? form;
  }
  return form.replace(PLACEHOLDER, (whole, name) => {
    const at = names.indexOf(name);
    return at < 0 ? whole : valueIn(name, values[at]);
  });
}

/** @param {string} name @param {string} value */
function valueIn(name, value) {
  if (TEXTS_THEMSELVES.includes(name)) {
    const own = translate(value);
    if (own !== value) return own;
  }
  if (name.length > 1) return current.language.dir === "rtl" ? `\u2068${value}\u2069` : value;
  if (!PLAIN_NUMBER.test(value)) return value;
  const digits = value.split(".")[1]?.length ?? 0;
  const options = {
    useGrouping: false,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  };
  return new Intl.NumberFormat(locale(), options).format(Number(value));
}

/**
 * As `Intl.NumberFormat`, in the language of the page whenever it is used.
 * @param {Intl.NumberFormatOptions} [options]
 */
export const numberFormat = (options) => ({
  format: (/** @type {number} */ value) => new Intl.NumberFormat(locale(), options).format(value),
});

/** As `Intl.DateTimeFormat`, likewise. @param {Intl.DateTimeFormatOptions} options */
export const dateFormat = (options) => ({
  format: (/** @type {number | Date} */ value) =>
    new Intl.DateTimeFormat(locale(), options).format(value),
});
