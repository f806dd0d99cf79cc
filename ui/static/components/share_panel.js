// @ts-check
/* The panel with a clip's link: made by a press, changed at once, revoked by a press. */
import { problemOf } from "../api.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { dateFormat } from "../language.js";
import { NEW_LINK, putShare, readShare, revokeShare } from "../share_requests.js";
import { Panel } from "./panel.js";
import { ShareLink } from "./share_link.js";

/**
 * @import { Share, ShareAnswer } from "../types.d.ts"
 * @import { ShareOptions } from "../share_requests.js"
 */

const TEXTS = {
  heading: "Share",
  about: "Anyone who has the link can watch the clip. You can revoke it at any time.",
  title: "Title",
  titleHint: "the prompt, if it is shown",
  hidePrompt: "Hide the prompt",
  hideSettings: "Hide the settings",
  publish: "Show in the public gallery",
  expires: "Link expires",
  never: "Never",
  until: (/** @type {string} */ date) => `On ${date}`,
  make: "Make a link",
  made: "The link is ready.",
  saved: "Saved.",
  revoked: "Revoked. The old link leads nowhere now.",
  hasExpired: "The last link has expired. Make a new one.",
  days: { 1: "In a day", 7: "In a week", 30: "In 30 days" },
};
const DAY_S = 86_400;

/** @param {Share} share @returns {ShareOptions} */
const optionsOf = ({ title, hide_prompt, hide_settings, public: isPublic, expires_at }) => ({
  title,
  hide_prompt,
  hide_settings,
  public: isPublic,
  expires_at,
});

/**
 * @param {object} props
 * @param {Pick<import("../types.d.ts").Job, "id">} props.clip
 * @param {boolean} props.isOpen
 * @param {() => void} props.onClose
 */
export function SharePanel({ clip, isOpen, onClose }) {
  const [share, setShare] = useState(/** @type {Share | null} */ (null));
  const [options, setOptions] = useState(NEW_LINK);
  const [canPublish, setCanPublish] = useState(false);
  const [said, say] = useState("");
  const [isBusy, setBusy] = useState(false);

  const show = (/** @type {ShareAnswer} */ answer) => {
    const link = answer.share?.expired ? null : answer.share;
    setCanPublish(answer.can_publish);
    setShare(link);
    if (answer.share) setOptions({ ...optionsOf(answer.share), ...(link ? {} : EXPIRES_NEVER) });
    return answer;
  };
  /** @param {() => Promise<ShareAnswer>} send @param {string} after */
  const attempt = async (send, after) => {
    setBusy(true);
    try {
      const answer = show(await send());
      say(answer.share?.expired ? TEXTS.hasExpired : after);
    } catch (error) {
      const { message, remedy } = problemOf(error);
      say([message, remedy].filter(Boolean).join(" "));
    } finally {
      setBusy(false);
    }
  };
  useLayoutEffect(() => {
    if (isOpen) attempt(() => readShare(clip.id), "");
  }, [isOpen]);

  const change = (/** @type {Partial<ShareOptions>} */ changed) => {
    const fresh = { ...options, ...changed };
    setOptions(fresh);
    if (share) attempt(() => putShare(clip.id, fresh), TEXTS.saved);
  };
  const make = () => attempt(() => putShare(clip.id, options), TEXTS.made);
  const revoke = () => attempt(() => revokeShare(clip.id), TEXTS.revoked);
  return html`
    <${Panel} title=${TEXTS.heading} isOpen=${isOpen} onClose=${onClose}>
      <p class="k-note">${TEXTS.about}</p>
      ${share && html`<${ShareLink} share=${share} say=${say} onRevoke=${revoke} />`}
      <${Options}
        options=${options}
        setOptions=${setOptions}
        canPublish=${canPublish}
        onChange=${change}
      />
      <footer class="k-panel-foot">
        <p class="k-share-said" role="status">${said}</p>
        ${
          !share &&
          html`<button class="k-press" type="button" disabled=${isBusy} onClick=${make}>
            ${TEXTS.make}
          </button>`
        }
      </footer>
    <//>
  `;
}

const EXPIRES_NEVER = { expires_at: null };

/**
 * @param {object} props
 * @param {ShareOptions} props.options
 * @param {(options: ShareOptions) => void} props.setOptions without a request, as a title is typed
 * @param {boolean} props.canPublish
 * @param {(changed: Partial<ShareOptions>) => void} props.onChange
 */
function Options({ options, setOptions, canPublish, onChange }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const box = (/** @type {"hide_prompt" | "hide_settings" | "public"} */ name) => ({
    type: "checkbox",
    checked: options[name],
    onChange: () => onChange({ [name]: !options[name] }),
  });
  return html`
    <fieldset class="k-panel-part k-share-options">
      <label class="k-share-row">
        <span>${TEXTS.title}</span>
        <input
          class="k-field"
          type="text"
          autocomplete="off"
          placeholder=${TEXTS.titleHint}
          value=${options.title}
          ref=${input}
          onInput=${() => setOptions({ ...options, title: input.current?.value ?? "" })}
          onChange=${() => onChange({ title: input.current?.value ?? "" })}
        />
      </label>
      <${Expiry} expiresAt=${options.expires_at} onChange=${onChange} />
      <div class="k-panel-choices">
        <label class="k-panel-choice"><input ...${box("hide_prompt")} />${TEXTS.hidePrompt}</label>
        <label class="k-panel-choice">
          <input ...${box("hide_settings")} />${TEXTS.hideSettings}
        </label>
        ${
          canPublish &&
          html`<label class="k-panel-choice"><input ...${box("public")} />${TEXTS.publish}</label>`
        }
      </div>
    </fieldset>
  `;
}

/** @param {{ expiresAt: number | null, onChange: (changed: Partial<ShareOptions>) => void }} props */
function Expiry({ expiresAt, onChange }) {
  const onSelect = (/** @type {Event} */ event) => {
    const days = /** @type {HTMLSelectElement} */ (event.target).value;
    if (days === "same") return;
    onChange({ expires_at: days ? Date.now() / 1000 + Number(days) * DAY_S : null });
  };
  const date = dateFormat({ dateStyle: "medium", timeStyle: "short" });
  return html`
    <label class="k-share-row">
      <span>${TEXTS.expires}</span>
      <select class="k-field" onChange=${onSelect}>
        ${
          expiresAt !== null &&
          html`<option value="same" selected>
            ${TEXTS.until(date.format(expiresAt * 1000))}
          </option>`
        }
        <option value="" selected=${expiresAt === null}>${TEXTS.never}</option>
        ${Object.entries(TEXTS.days).map(
          ([days, label]) => html`<option value=${days} key=${days}>${label}</option>`,
        )}
      </select>
    </label>
  `;
}
