// @ts-check
/* A link that was made: to copy, to send, to photograph, to revoke. */
import { copyText } from "../files.js";
import { html, useLayoutEffect, useRef } from "../html.js";
import { Icon } from "./icon.js";

const TEXTS = {
  link: "Link to the clip",
  copy: "Copy",
  copied: "Copied.",
  copyByHand: "Copy it from the field: this browser does not allow it otherwise.",
  send: "Send",
  open: "Open",
  revoke: "Revoke",
  code: "QR code of the link",
};

/**
 * @param {object} props
 * @param {import("../types.d.ts").Share} props.share
 * @param {(sentence: string) => void} props.say
 * @param {() => void} props.onRevoke
 */
export function ShareLink({ share, say, onRevoke }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const copyButton = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => copyButton.current?.focus({ preventScroll: true }), [share.id]);
  const copy = async () => {
    if (await copyText(share.url)) say(TEXTS.copied);
    else {
      field.current?.select();
      say(TEXTS.copyByHand);
    }
  };
  const send = () => navigator.share({ url: share.url, title: share.title }).catch(() => {});
  const canSend = "share" in navigator;
  return html`
    <div class="k-share-link">
      <img src=${share.qr} alt=${TEXTS.code} width="116" height="116" />
      <div class="k-share-made">
        <input
          class="k-field"
          type="text"
          readOnly
          aria-label=${TEXTS.link}
          value=${share.url}
          ref=${field}
          onFocus=${() => field.current?.select()}
        />
        <div class="k-share-verbs">
          <button class="k-press k-press-first" type="button" ref=${copyButton} onClick=${copy}>
            <${Icon} name="copy" />${TEXTS.copy}
          </button>
          ${
            canSend &&
            html`<button class="k-press" type="button" onClick=${send}>
              <${Icon} name="share" />${TEXTS.send}
            </button>`
          }
          <a class="k-press" href=${share.url} target="_blank" rel="noopener">${TEXTS.open}</a>
          <button class="k-press" type="button" onClick=${onRevoke}>${TEXTS.revoke}</button>
        </div>
      </div>
    </div>
  `;
}
