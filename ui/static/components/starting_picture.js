// @ts-check
/* The picture a clip starts from, or the clip it is made over: chosen, pasted or dropped. */
import { setPicture } from "../actions.js";
import { problemOf, uploadFile } from "../api.js";
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { prefersReducedMotion } from "../motion.js";
import { PICTURE_TYPES, USE_A_PICTURE } from "../picture_types.js";
import { setProblem } from "../problems.js";
import { showUpload } from "../visitor.js";
import { Icon } from "./icon.js";
import { PictureCrop } from "./picture_crop.js";

/**
 * @import { TabState } from "../store.js"
 * @import { Ref } from "./stage.js"
 */

const KINDS = {
  image: {
    type: "image",
    other: "video",
    word: "picture",
    route: /** @type {const} */ ("/pictures"),
    accept: PICTURE_TYPES,
    label: "Picture to animate",
    icon: "picture",
    remedy: USE_A_PICTURE,
  },
  video: {
    type: "video",
    other: "image",
    word: "clip",
    route: /** @type {const} */ ("/videos"),
    accept: "video/mp4,video/webm,video/quicktime",
    label: "Clip to work over",
    icon: "film",
    remedy: "Use an MP4 or WebM.",
  },
};
/** @typedef {typeof KINDS["image"] | typeof KINDS["video"]} Kind */

const UNTYPED = ["", "application/octet-stream"]; // as for .heic on Linux

/**
 * @param {object} props
 * @param {TabState} props.tab
 * @param {Ref<HTMLElement>} props.box
 * @param {Ref<HTMLImageElement | HTMLVideoElement>} props.media
 * @param {{ current: ((file: File) => void) | null }} props.drop set to what takes a dropped file
 */
export function StartingPicture({ tab, box, media, drop }) {
  if (tab.task === "t2v") return html`<div class="k-layer k-picture-layer"></div>`;
  const kind = tab.task === "v2v" ? KINDS.video : KINDS.image;
  return html`<${PictureChooser} tab=${tab} kind=${kind} box=${box} media=${media} drop=${drop} />`;
}

/** @param {Parameters<typeof StartingPicture>[0] & { kind: Kind }} props */
function PictureChooser({ tab, kind, box, media, drop }) {
  const picture = useSignal(tab.picture);
  const [uploading, setUploading] = useState(0); // the number of the upload that is under way
  const fileInput = /** @type {Ref<HTMLInputElement>} */ (useRef(null));

  const take = async (/** @type {File} */ file) => {
    if ([kind.other, "audio", "text", "font"].includes(file.type.split("/")[0])) {
      setProblem(tab, { message: `That is not a ${kind.word}.`, remedy: kind.remedy });
      return;
    }
    tab.upload += 1; // the last one counts, whenever it arrives
    const { upload } = tab;
    setUploading(upload);
    try {
      const stored = await uploadFile(kind.route, file);
      if (upload === tab.upload) setPicture(tab, stored);
    } catch (error) {
      const message = `The ${kind.word} could not be sent.`;
      const problem = problemOf(error, { message, remedy: "Try again." });
      if (upload === tab.upload) setProblem(tab, problem);
    } finally {
      if (upload === tab.upload) setUploading(0);
    }
  };
  drop.current = take;

  useLayoutEffect(() => {
    const onPaste = (/** @type {ClipboardEvent} */ event) => {
      const file = [...(event.clipboardData?.files ?? [])].find(
        ({ type }) => type.startsWith(`${kind.type}/`) || UNTYPED.includes(type),
      );
      if (!file || !box.current?.offsetParent) return;
      event.preventDefault();
      drop.current?.(file);
    };
    document.addEventListener("paste", onPaste);
    return () => document.removeEventListener("paste", onPaste);
  }, []);

  useLayoutEffect(() => {
    const element = media.current;
    if (!element) return;
    if (picture) showUpload(element, picture.id).then(playIfVideo, () => {});
    else {
      delete element.dataset.upload;
      element.removeAttribute("src");
      playIfVideo();
    }
  }, [picture?.id]);

  const playIfVideo = () => {
    const element = media.current;
    if (!(element instanceof HTMLVideoElement)) return;
    element.load();
    if (tab.picture.peek() && !prefersReducedMotion()) element.play().catch(() => {});
  };

  const onChange = (/** @type {Event} */ event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    const file = input.files?.[0];
    if (file) take(file);
    input.value = "";
  };
  const choose = () => fileInput.current?.click();
  const isUploading = uploading > 0 && uploading === tab.upload; // another picture ends it
  return html`
    <div class=${`k-layer k-picture-layer${isUploading ? " k-taking" : ""}`}>
      <${PictureCrop} tab=${tab} kind=${kind} picture=${picture} media=${media} />
      <button class="k-invite" type="button" onClick=${choose}>
        <${Icon} name=${kind.icon} />
        <span class="k-invite-title">Choose a ${kind.word}</span>
        <span class="k-invite-more">or drop or paste one here</span>
      </button>
      <input
        class="k-file"
        type="file"
        accept=${kind.accept}
        aria-label=${kind.label}
        tabIndex="-1"
        ref=${fileInput}
        onChange=${onChange}
      />
    </div>
    <div class="k-tools">
      <button
        class="k-tool"
        type="button"
        title=${`Another ${kind.word}`}
        aria-label=${`Another ${kind.word}`}
        onClick=${choose}
      >
        <${Icon} name="swap" />
      </button>
      <button
        class="k-tool"
        type="button"
        title=${`Remove the ${kind.word}`}
        aria-label=${`Remove the ${kind.word}`}
        onClick=${() => setPicture(tab, null)}
      >
        <${Icon} name="cross" />
      </button>
    </div>
  `;
}
