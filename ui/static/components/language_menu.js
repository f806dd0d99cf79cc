// @ts-check
/* Chooses the language of the page. Each language is named in itself. */
import { html } from "../html.js";
import { chooseLanguage, LANGUAGES, languageTag } from "../language.js";

export function LanguageMenu() {
  const choose = (/** @type {Event} */ event) =>
    chooseLanguage(/** @type {HTMLSelectElement} */ (event.currentTarget).value);
  return html`
    <label class="k-language">
      <span>Language</span>
      <select value=${languageTag()} onChange=${choose}>
        ${LANGUAGES.map(
          ({ tag, name, dir }) =>
            html`<option key=${tag} value=${tag} lang=${tag} dir=${dir} translate="no">${name}</option>`,
        )}
      </select>
    </label>
  `;
}
