// @ts-check
/* A file that an operation reads: chosen, sent, and named by its id from then on. */
import { problemOf } from "../api.js";
import { Icon } from "../components/icon.js";
import { html, useRef, useState } from "../html.js";
import { sendFile } from "./edit_requests.js";

const TEXTS = {
  choose: "Choose a file",
  change: "Choose another file",
  sending: "Sending …",
  remove: (/** @type {string} */ name) => `Remove ${name}`,
};

/**
 * @param {object} props
 * @param {string} props.id
 * @param {string} props.accept
 * @param {"sound" | ""} props.kind
 * @param {string} props.name of the file that was sent
 * @param {(id: string | null, name: string) => void} props.onFile
 */
export function FileField({ id, accept, kind, name, onFile }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [isSending, setSending] = useState(false);
  const [problem, setProblem] = useState("");
  const send = async () => {
    const file = input.current?.files?.[0];
    if (!file) return;
    setSending(true);
    setProblem("");
    try {
      const stored = await sendFile(file, kind);
      onFile(stored.id, file.name);
    } catch (error) {
      const { message, remedy } = problemOf(error);
      setProblem([message, remedy].filter(Boolean).join(" "));
    } finally {
      setSending(false);
      if (input.current) input.current.value = "";
    }
  };
  return html`
    <div class="k-op-file">
      <button class="k-press" type="button" id=${id} disabled=${isSending} onClick=${() => input.current?.click()}>
        <${Icon} name="folder" />${name ? TEXTS.change : TEXTS.choose}
      </button>
      ${
        name &&
        html`<span class="k-panel-file">
          <span translate="no">${name}</span>
          <button class="k-verb" type="button" aria-label=${TEXTS.remove(name)} onClick=${() => onFile(null, "")}>
            <${Icon} name="cross" />
          </button>
        </span>`
      }
      <span role="status">${isSending && TEXTS.sending}</span>
      <input
        class="k-file"
        type="file"
        accept=${accept || undefined}
        aria-label=${TEXTS.choose}
        tabIndex="-1"
        ref=${input}
        onChange=${send}
      />
    </div>
    ${problem && html`<p class="k-panel-refusal" role="alert">${problem}</p>`}
  `;
}
