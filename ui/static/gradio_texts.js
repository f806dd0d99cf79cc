// @ts-check
/* The texts of what Gradio draws, in the language of the page: they are replaced as they appear.
   What our own components draw is translated by `html.js`, before it is there. */
import { isTranslated, onLanguage, translate } from "./language.js";

const OURS = ".k-part, script, style, textarea, [translate=no]";
const ATTRIBUTES = ["aria-label", "placeholder", "title"];
/** What Gradio shows of the choice in a field: a text of ours, though in an input. */
const CHOSEN =
  ".k-chip input[role=listbox], .k-chip input[aria-haspopup], .k-chip .wrap-inner input";

/** The English text, and what stands there for it. @type {WeakMap<Node, Map<string, [string, string]>>} */
const originals = new WeakMap();

/**
 * @param {Node} node
 * @param {string} what
 * @param {string} shown what is there now: ours from before, or a new text of Gradio's
 * @param {(text: string) => void} replace
 */
function update(node, what, shown, replace) {
  const kept = originals.get(node) ?? new Map();
  const before = kept.get(what);
  if (!before && !isTranslated()) return;
  const english = before && before[1] === shown ? before[0] : shown;
  const wanted = translate(english);
  kept.set(what, [english, wanted]);
  originals.set(node, kept);
  if (wanted !== shown) replace(wanted);
}

/** @param {Node} node */
function translateBelow(node) {
  const element = node instanceof Element ? node : node.parentElement;
  if (!element || element.closest(OURS)) return;
  const walker = document.createTreeWalker(
    node,
    NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT,
    (each) =>
      each instanceof Element && each.matches(OURS) && !each.matches("textarea")
        ? NodeFilter.FILTER_REJECT
        : NodeFilter.FILTER_ACCEPT,
  );
  for (let each = /** @type {Node | null} */ (node); each; each = walker.nextNode()) {
    if (each instanceof Text) {
      const text = each;
      if (!text.parentElement?.matches("textarea")) {
        update(text, "", text.data, (wanted) => {
          text.data = wanted;
        });
      }
    } else if (each instanceof Element) translateAttributes(each);
  }
}

/** @param {Element} element */
function translateAttributes(element) {
  for (const name of ATTRIBUTES) {
    const shown = element.getAttribute(name);
    if (shown) update(element, name, shown, (wanted) => element.setAttribute(name, wanted));
  }
  if (element instanceof HTMLInputElement && element.matches(CHOSEN)) translateChoice(element);
}

/** @param {HTMLInputElement} input */
function translateChoice(input) {
  if (document.activeElement === input || !input.value) return; // it may be typed in
  update(input, "value", input.value, (wanted) => {
    input.value = wanted;
  });
}

function translateChoices() {
  requestAnimationFrame(() => {
    for (const input of document.querySelectorAll(CHOSEN)) {
      translateChoice(/** @type {HTMLInputElement} */ (input));
    }
  });
}

/** @param {MutationRecord[]} records */
function onChange(records) {
  for (const { type, target, addedNodes } of records) {
    if (type === "characterData") translateBelow(target);
    else if (type === "attributes") translateOwnAttributes(/** @type {Element} */ (target));
    else for (const node of addedNodes) translateBelow(node);
  }
  if (isTranslated()) translateChoices();
}

/** @param {Element} element */
function translateOwnAttributes(element) {
  if (element.matches("textarea") || !element.closest(OURS)) translateAttributes(element);
}

export function startGradioTexts() {
  const observer = new MutationObserver(onChange);
  const options = { subtree: true, childList: true, characterData: true };
  observer.observe(document.body, { ...options, attributes: true, attributeFilter: ATTRIBUTES });
  for (const event of ["focusout", "change", "click"]) {
    document.addEventListener(event, () => isTranslated() && translateChoices());
  }
  onLanguage(() => translateBelow(document.body));
}
