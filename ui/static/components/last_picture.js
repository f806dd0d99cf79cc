// @ts-check
/* The picture a clip ends on, where the model can. */

import { problemOf, uploadFile } from "../api.js";
import { useGradioValue } from "../gradio.js";
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { PICTURE_TYPES } from "../picture_types.js";
import { clearProblem, setProblem } from "../problems.js";
import { store } from "../store.js";
import { showUpload } from "../visitor.js";
import { Icon } from "./icon.js";

/**
 * @import { Mounted } from "../types.d.ts"
 * @import { Ref } from "./stage.js"
 */

/** @param {Mounted<string | null> & { element: HTMLElement }} props */
export function LastPicture({ gradio, task, element }) {
  const tab = store.tabs[task];
  const [id, setId] = useGradioValue(gradio);
  const isPossible = Boolean(useSignal(tab.card)?.last_image);
  const [isUploading, setUploading] = useState(false);
  const newest = useRef(0); // the last upload counts, whenever it arrives
  const input = /** @type {Ref<HTMLInputElement>} */ (useRef(null));
  const thumbnail = /** @type {Ref<HTMLImageElement>} */ (useRef(null));

  useLayoutEffect(() => {
    element.hidden = !isPossible; // Gradio's own element around this one takes space otherwise
  }, [isPossible]);
  useLayoutEffect(() => {
    if (!thumbnail.current) return;
    if (id) showUpload(thumbnail.current, id).catch(() => {});
    else thumbnail.current.removeAttribute("src");
  }, [id]);

  const choose = (/** @type {string | null} */ chosen) => {
    newest.current += 1;
    setId(chosen);
    clearProblem(tab);
    gradio.trigger("picked");
  };
  const upload = async (/** @type {File} */ file) => {
    newest.current += 1;
    const number = newest.current;
    setUploading(true);
    try {
      const stored = await uploadFile("/pictures", file);
      if (number === newest.current) choose(stored.id);
    } catch (error) {
      if (number === newest.current) setProblem(tab, problemOf(error));
    } finally {
      setUploading(false);
    }
  };
  const onChange = (/** @type {Event} */ event) => {
    const { files } = /** @type {HTMLInputElement} */ (event.target);
    if (files?.[0]) upload(files[0]);
    if (input.current) input.current.value = "";
  };
  return html`
    <div class=${`k-ending-place${id ? " k-has-ending" : ""}`} hidden=${!isPossible}>
      <button
        class=${`k-ending${isUploading ? " k-taking" : ""}`}
        type="button"
        title="The picture the clip ends on"
        onClick=${() => input.current?.click()}
      >
        <${Icon} name="picture" />
        <img class="k-ending-picture" alt="" hidden=${!id} ref=${thumbnail} />
        <span>${id ? "Ends here" : "Last picture"}</span>
      </button>
      <button
        class="k-tool k-ending-remove"
        type="button"
        aria-label="Remove the last picture"
        title="Remove the last picture"
        hidden=${!id}
        onClick=${() => choose(null)}
      >
        <${Icon} name="cross" />
      </button>
      <input
        class="k-file"
        type="file"
        accept=${PICTURE_TYPES}
        aria-label="Last picture"
        tabIndex="-1"
        ref=${input}
        onChange=${onChange}
      />
    </div>
  `;
}
