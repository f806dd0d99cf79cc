// @ts-check
/* The line under the stage: what is happening, then what can be done with the clip. */
import { pressJobButton, stopJob } from "../actions.js";
import { EditButton } from "../editing/edit_button.js";
import { html, useSignal, useState } from "../html.js";
import { hasTab } from "../tabs.js";
import { BatchFailures, BatchVerbs } from "./batch_verbs.js";
import { ClipSettings } from "./clip_settings.js";
import { DownloadLink } from "./download_link.js";
import { BackToGrid, FullClipNote, RenderButton } from "./draft_verbs.js";
import { Icon } from "./icon.js";
import { NoticeMenu } from "./notice_menu.js";
import { ShareButton } from "./share_button.js";

/**
 * @import { Job } from "../types.d.ts"
 * @import { TabState } from "../store.js"
 */

/** @param {{ tab: TabState }} props */
export function StatusBar({ tab }) {
  const job = useSignal(tab.job);
  const batch = useSignal(tab.batch);
  const notice = useSignal(tab.notice);
  const restLine = useSignal(tab.restLine);
  const draft = job?.id && job.is_draft ? job : null;
  const clip = job?.id && job.state === "succeeded" ? job : null;
  const surprises = job?.id ? job.surprises : [];
  const [openFor, setOpenFor] = useState(/** @type {string | null} */ (null));
  const isOpen = clip !== null && openFor === clip.id;
  return html`
    <div class="k-bar">
      <p class="k-line">${notice ?? job?.line ?? batch?.line ?? restLine}</p>
      <div class="k-verbs" role="group" aria-label=${job ? "This clip" : "All clips"}>
        <${NoticeMenu} tab=${tab} />
        ${!job && batch && html`<${BatchVerbs} tab=${tab} batch=${batch} />`}
        ${draft && html`<${RenderButton} key=${`render ${draft.id}`} tab=${tab} draft=${draft} />`}
        ${job?.id && job.parts && html`<${RedoPart} key=${`part ${job.id}`} tab=${tab} />`}
        ${job?.id && html`<${BackToGrid} key=${`back ${job.id}`} tab=${tab} job=${job} />`}
        ${
          clip &&
          html`<${ClipButtons}
            key=${clip.id}
            tab=${tab}
            clip=${clip}
            isOpen=${isOpen}
            onSettings=${() => setOpenFor(isOpen ? null : clip.id)}
          />`
        }
      </div>
    </div>
    <div class="k-surprises">${!job && batch && html`<${BatchFailures} batch=${batch} />`}${draft && html`<${FullClipNote} draft=${draft} />`}${surprises.map((text) => html`<p class="k-note">${text}</p>`)}</div>
    <div class="k-used" hidden=${!isOpen}>
      ${isOpen && html`<${ClipSettings} tab=${tab} clip=${clip} />`}
    </div>
  `;
}

/** Of a long clip that is being made. @param {{ tab: TabState }} props */
function RedoPart({ tab }) {
  return html`<button
    class="k-verb"
    type="button"
    title="Discard the present part and make it with another seed; the finished parts are kept"
    onClick=${() => stopJob(tab, "redo-part")}
  >
    <${Icon} name="again" />Redo this part
  </button>`;
}

/** @param {{ tab: TabState, clip: Job, isOpen: boolean, onSettings: () => void }} props */
function ClipButtons({ tab, clip, isOpen, onSettings }) {
  const press = (/** @type {"again" | "another" | "onward"} */ event) => () =>
    pressJobButton(tab, event, clip);
  return html`
    <${DownloadLink} tab=${tab} clip=${clip} />
    ${!clip.is_draft && html`<${VariationButtons} isEdit=${clip.is_edit} press=${press} />`}
    <${EditButton} clip=${clip} />
    <button
      class="k-verb"
      type="button"
      title="What made this clip"
      aria-expanded=${String(isOpen)}
      onClick=${onSettings}
    >
      <${Icon} name="list" />Settings
    </button>
    <${ShareButton} clip=${clip} />
  `;
}

/** @param {{ isEdit: boolean | undefined, press: (event: "again" | "another" | "onward") => () => void }} props */
function VariationButtons({ isEdit, press }) {
  return html`
    ${
      !isEdit &&
      html`<button
      class="k-verb"
      type="button"
      title="Same settings, same seed: the same clip"
      onClick=${press("again")}
    >
      <${Icon} name="again" />Again
    </button>
    <button
      class="k-verb"
      type="button"
      title="Same settings, another chance"
      onClick=${press("another")}
    >
      <${Icon} name="dice" />Another seed
    </button>`
    }
    ${
      hasTab("i2v") &&
      html`<button
        class="k-verb"
        type="button"
        title="Start the next clip from this one's last frame"
        onClick=${press("onward")}
      >
        <${Icon} name="onward" />Continue
      </button>`
    }
  `;
}
