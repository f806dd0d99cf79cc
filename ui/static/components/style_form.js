// @ts-check
/* A style of one's own: a name, and the words around a prompt. */
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { promptState } from "../prompt_state.js";

/**
 * @import { Style, Task } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

const PLACE = "{prompt}";

/** Never that of one of the app's styles. @param {string} name */
function idOf(name) {
  const plain = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const words = plain.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  const rest = words.slice(0, 36) || Math.random().toString(36).slice(2, 10);
  return `my-${rest}`;
}

/**
 * @param {object} props
 * @param {Task} props.task
 * @param {Style | null} props.style the one that is changed; a new one starts from what is chosen
 * @param {(style: Style) => void} props.onSave
 * @param {() => void} props.onCancel
 */
export function StyleForm({ task, style, onSave, onCancel }) {
  const state = promptState(task);
  const chosen = useSignal(state.style);
  const { prompt: typed } = useSignal(state.words);
  const from = style ?? state.styles.peek()?.find(({ id }) => id === chosen);
  const [name, setName] = useState(style?.name ?? "");
  const [words, setWords] = useState(from?.prompt ?? (typed.trim() ? `${PLACE}, ${typed}` : PLACE));
  const [negative, setNegative] = useState(from?.negative_prompt ?? "");
  const first = /** @type {Ref<HTMLInputElement>} */ (useRef(null));
  useLayoutEffect(() => first.current?.focus(), []);
  const isUsable =
    Boolean(name.trim()) && words.split(PLACE).length === 2 && words.trim() !== PLACE;

  const typedInto = (/** @type {(value: string) => void} */ set) => (/** @type {Event} */ event) =>
    set(/** @type {HTMLInputElement} */ (event.target).value.replace(/\s*\n\s*/g, " "));
  const onSubmit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!isUsable) return;
    onSave({
      id: style?.id ?? idOf(name),
      name: name.trim(),
      prompt: words.trim(),
      negative_prompt: negative.trim(),
      example: style?.example ?? "",
      own: true,
    });
  };
  const id = `k-style-form-${task}`;
  return html`
    <form class="k-style-form" aria-label="A style of your own" onSubmit=${onSubmit}>
      <label for=${`${id}-name`}>Name</label>
      <input
        id=${`${id}-name`}
        type="text"
        autocomplete="off"
        value=${name}
        ref=${first}
        onInput=${typedInto(setName)}
      />
      <label for=${`${id}-words`}>Words of the style</label>
      <textarea
        id=${`${id}-words`}
        rows="3"
        value=${words}
        aria-describedby=${`${id}-help`}
        onInput=${typedInto(setWords)}
      ></textarea>
      <p class="k-note" id=${`${id}-help`}>${`${PLACE} stands for what you write, once.`}</p>
      <label for=${`${id}-negative`}>Negative prompt</label>
      <input
        id=${`${id}-negative`}
        type="text"
        autocomplete="off"
        value=${negative}
        onInput=${typedInto(setNegative)}
      />
      <div class="k-style-form-verbs">
        <button class="k-press k-press-first" type="submit" disabled=${!isUsable}>Save</button>
        <button class="k-press" type="button" onClick=${onCancel}>Cancel</button>
      </div>
    </form>
  `;
}
