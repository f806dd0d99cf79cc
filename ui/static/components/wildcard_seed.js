// @ts-check
/* A small field for the wildcards' seed: with it, the same words are chosen again. Empty, they are
   new each time. */
import { html, useRef, useSignal, useState } from "../html.js";
import { keepWildcards, promptState } from "../prompt_state.js";

/**
 * @import { Task } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

const MOST = 2 ** 32 - 1;

/**
 * @param {{ task: Task, clipSeed: number | null }} props
 *   the clip's seed, which chooses the words where they have none of their own
 */
export function WildcardSeed({ task, clipSeed }) {
  const kept = useSignal(promptState(task).wildcardSeed);
  /** What is typed and is no seed; null where the field shows the seed. */
  const [refused, setRefused] = useState(/** @type {string | null} */ (null));
  const field = /** @type {Ref<HTMLInputElement>} */ (useRef(null));
  const onInput = () => {
    const text = field.current?.value.trim() ?? "";
    const isSeed = /^\d{1,10}$/.test(text) && Number(text) <= MOST;
    setRefused(isSeed || !text ? null : text);
    if (isSeed || !text) keepWildcards(task, text ? Number(text) : null);
  };
  const id = `k-wildcard-seed-${task}`;
  return html`
    <span class="k-wildcard-seed">
      <label for=${id}>Wildcard seed</label>
      <input
        id=${id}
        type="text"
        inputmode="numeric"
        autocomplete="off"
        placeholder=${clipSeed ?? "random"}
        title=${`A number up to ${MOST}. The same seed chooses the same words.`}
        aria-invalid=${String(refused !== null)}
        value=${refused ?? kept ?? ""}
        ref=${field}
        onFocus=${() => field.current?.select()}
        onInput=${onInput}
        onBlur=${() => setRefused(null)}
      />
    </span>
  `;
}
