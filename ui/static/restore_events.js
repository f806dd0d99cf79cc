// @ts-check
/* Clips and links to clips that are dropped or pasted anywhere on the page, and the link in the
   page's own address. What a part of the page takes itself does not come here. */
import { html, render, signal, useSignal } from "./html.js";
import { restoreFile, restoreLink } from "./restore_state.js";
import { tabElement } from "./tabs.js";

const TEXTS = { drop: "Drop the clip to bring its settings back" };
const LINK = /^https?:\/\/\S+\/(c\/[\w-]{22}|(jobs|result|videos)\/[0-9a-f]{32})\S*$/;
const PARAMETER = "like";
const isOver = signal(false);
let depth = 0; // a drag enters and leaves every element on its way

/** @param {Pick<File, "type" | "name">} file */
export const isClip = ({ type, name }) =>
  type.startsWith("video/") || (!type && /\.(mp4|webm|mov|mkv)$/i.test(name));

/** @param {DataTransfer | null} data */
const clipOf = (data) => [...(data?.files ?? [])].find(isClip);

/** A link to a clip of this server, and nothing else. @param {string | undefined} text */
function linkOf(text) {
  const link = text?.trim() ?? "";
  return LINK.test(link) && new URL(link).origin === location.origin ? link : null;
}

/** @param {DragEvent} event */
const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
const isDialogOpen = () => document.querySelector("dialog[open]") !== null;

/** @param {DragEvent} event */
function onDragOver(event) {
  if (event.defaultPrevented || isDialogOpen()) return;
  if (hasFiles(event) || event.dataTransfer?.types.includes("text/uri-list")) {
    event.preventDefault();
  }
}

/** @param {DragEvent} event */
function onDrop(event) {
  depth = 0;
  isOver.value = false;
  if (event.defaultPrevented || isDialogOpen()) return;
  const file = clipOf(event.dataTransfer);
  const link = linkOf(event.dataTransfer?.getData("text/uri-list").split("\n")[0]);
  // without this a browser leaves the page for a file that is dropped beside the stage
  if (file || link || hasFiles(event)) event.preventDefault();
  if (file) restoreFile(file);
  else if (link) restoreLink(link);
}

/** @param {number} change @param {DragEvent} event */
function countDrag(change, event) {
  if (!hasFiles(event)) return;
  depth = Math.max(0, depth + change);
  const items = [...(event.dataTransfer?.items ?? [])];
  isOver.value =
    depth > 0 && !isDialogOpen() && items.some(({ type }) => type.startsWith("video/"));
}

/** @param {ClipboardEvent} event */
function onPaste(event) {
  if (event.defaultPrevented || isDialogOpen()) return;
  const target = event.target instanceof Element ? event.target : null;
  const isField = target?.closest("input, textarea, [contenteditable]");
  const file = clipOf(event.clipboardData);
  const isPrompt = target?.closest(".k-prompt");
  const link = isField && !isPrompt ? null : linkOf(event.clipboardData?.getData("text/plain"));
  if (!file && !link) return;
  if (file && tabElement("v2v")?.offsetParent) return; // there it is the clip to work over
  event.preventDefault();
  event.stopPropagation();
  if (file) restoreFile(file);
  else if (link) restoreLink(link);
}

/** "Make one like it" on a shared clip leads here. */
function restoreFromAddress() {
  const address = new URL(location.href);
  const id = address.searchParams.get(PARAMETER);
  if (!id) return;
  address.searchParams.delete(PARAMETER);
  history.replaceState(history.state, "", address);
  restoreLink(`/c/${id}`);
}

function DropHint() {
  return useSignal(isOver) && html`<p class="k-drop-hint" aria-hidden="true">${TEXTS.drop}</p>`;
}

export function startRestoring() {
  document.addEventListener("dragenter", (event) => countDrag(1, event));
  document.addEventListener("dragleave", (event) => countDrag(-1, event));
  document.addEventListener("dragover", onDragOver);
  document.addEventListener("drop", onDrop);
  document.addEventListener("paste", onPaste, true); // before Gradio's fields take a file
  const hint = document.createElement("div");
  document.body.append(hint);
  render(html`<${DropHint} />`, hint);
  restoreFromAddress();
}
