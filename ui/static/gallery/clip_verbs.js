// @ts-check
/* What can be done with one clip. What the stage does, it does there: the gallery closes first. */
import { makeAgain, pressJobButton, renderDraft, setPicture } from "../actions.js";
import { problemOf, request, requestJson } from "../api.js";
import { openClip } from "../clips.js";
import { DownloadLink } from "../components/download_link.js";
import { Icon } from "../components/icon.js";
import { ShareButton } from "../components/share_button.js";
import { openEditor } from "../editing/open_editing.js";
import { html, useState } from "../html.js";
import { store } from "../store.js";
import { hasTab, openTab } from "../tabs.js";
import { goToAll, leaveGallery } from "./address.js";
import { deleteClips, gallery, starClips } from "./clips_shown.js";
import { Collecting } from "./selection_bar.js";

/** @import { WholeClip } from "../types.d.ts" */

const TEXTS = {
  label: "This clip",
  again: "Again",
  againHint: "Same settings, same seed: the same clip",
  another: "Another seed",
  anotherHint: "Same settings, another chance",
  onward: "Continue",
  onwardHint: "Start the next clip from this one's last frame",
  picture: "Use as picture",
  pictureHint: "Start a clip from the frame that is shown",
  edit: "Edit",
  editHint: "Trim, speed, crop, sound, titles and more: a new clip",
  render: "Render it fully",
  retry: "Try again",
  open: "Open on the stage",
  star: "Star",
  unstar: "Remove star",
  collect: "Add to collection",
  remove: "Delete",
  noPicture: {
    message: "This frame cannot be used.",
    remedy: "Open the clip on the stage and continue it from there.",
  },
};

/**
 * The picture that a frame of the clip becomes for the next one.
 * @param {WholeClip} clip
 * @param {HTMLVideoElement | null} video null where the clip has no frames to choose from: a GIF
 */
async function useFrame(clip, video) {
  const frame = video
    ? await drawFrame(video)
    : await (await request(`/jobs/${clip.id}/last`)).blob();
  const upload = await requestJson(`/gallery/clips/${clip.id}/frame`, {
    method: "POST",
    body: frame,
    headers: { "Content-Type": "application/octet-stream" },
  });
  leaveGallery();
  openTab("i2v");
  store.tabs.i2v.whenConnected(() => setPicture(store.tabs.i2v, upload));
}

/** @param {HTMLVideoElement} video @returns {Promise<Blob>} */
function drawFrame(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  return new Promise((done, fail) =>
    canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("no picture")))),
  );
}

/**
 * @param {object} props
 * @param {WholeClip} props.clip
 * @param {() => HTMLVideoElement | null} props.videoOf
 * @param {(change: Partial<WholeClip>) => void} props.onChange
 */
export function ClipVerbs({ clip, videoOf, onChange }) {
  const [isCollecting, setCollecting] = useState(false);
  const tab = store.tabs[clip.task];
  const onStage = (/** @type {() => void} */ then) => () => {
    leaveGallery();
    openClip(clip, then);
  };
  const press = (/** @type {"again" | "another" | "onward"} */ event) =>
    onStage(() => pressJobButton(tab, event, clip));
  const usePicture = () =>
    useFrame(clip, videoOf()).catch((error) => {
      gallery.problem.value = problemOf(error, TEXTS.noPicture);
    });
  const star = () => {
    starClips([clip.id], !clip.starred);
    onChange({ starred: !clip.starred });
  };
  const remove = async () => {
    await deleteClips([clip.id]);
    goToAll();
  };
  const isReady = clip.state === "succeeded";
  const canVary = isReady && !clip.is_draft && !clip.is_edit;
  const canContinue = isReady && hasTab("i2v");
  const verb = (
    /** @type {string} */ icon,
    /** @type {string} */ text,
    /** @type {() => unknown} */ onClick,
    /** @type {string} */ hint = "",
  ) => html`<button class="k-verb" type="button" key=${text} title=${hint || undefined} onClick=${onClick}>
    <${Icon} name=${icon} />${text}
  </button>`;
  return html`
    <div class="k-clip-verbs" role="group" aria-label=${TEXTS.label}>
      ${
        clip.is_draft &&
        verb(
          "again",
          TEXTS.render,
          onStage(() => renderDraft(tab, clip)),
        )
      }
      ${isReady && html`<${DownloadLink} tab=${tab} clip=${clip} />`}
      ${canVary && verb("again", TEXTS.again, press("again"), TEXTS.againHint)}
      ${canVary && verb("dice", TEXTS.another, press("another"), TEXTS.anotherHint)}
      ${canContinue && verb("onward", TEXTS.onward, press("onward"), TEXTS.onwardHint)}
      ${canContinue && verb("picture", TEXTS.picture, usePicture, TEXTS.pictureHint)}
      ${
        isReady &&
        verb(
          "scissors",
          TEXTS.edit,
          onStage(() => openEditor(clip)),
          TEXTS.editHint,
        )
      }
      ${
        ["failed", "gone"].includes(clip.state) &&
        verb(
          "again",
          TEXTS.retry,
          onStage(() => makeAgain(tab, clipInGrid(clip))),
        )
      }
      ${verb("star", clip.starred ? TEXTS.unstar : TEXTS.star, star)}
      ${verb("folder", TEXTS.collect, () => setCollecting(!isCollecting))}
      ${isReady && html`<${ShareButton} clip=${clip} />`}
      ${verb(
        "film",
        TEXTS.open,
        onStage(() => {}),
      )}
      ${verb("bin", TEXTS.remove, remove)}
    </div>
    ${isCollecting && html`<${Collecting} ids=${[clip.id]} onDone=${() => setCollecting(false)} />`}
  `;
}

/** @param {WholeClip} clip @returns {import("../types.d.ts").CellJob} */
const clipInGrid = (clip) => ({ ...clip, seed: Number(clip.used.seed ?? 0) });
