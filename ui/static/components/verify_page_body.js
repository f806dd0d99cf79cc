// @ts-check
/* All of the page /verify: what it is for, the place for a file, the end of the page. */
import { html } from "../html.js";
import { FileVerifier } from "./file_verifier.js";
import { LanguageMenu } from "./language_menu.js";

/** @param {{ links: [string, string][] }} props each with its label and address */
export function VerifyPage({ links }) {
  return html`
    <a class="k-back" href="./"><span class="k-arrow" aria-hidden="true">←</span> Kinora</a>
    <h1>Verify a clip</h1>
    <p class="k-soft">
      Who signed it, whether it was changed since, which model made it and from what. The file is
      sent to this server, read there and not kept. Files of other programs with Content Credentials
      (C2PA) can be verified too.
    </p>
    <${FileVerifier} />
    <footer class="k-end">
      ${links.map(
        ([label, address]) =>
          html`<a key=${address} href=${address} target="_blank" rel="noopener noreferrer">${label}</a>`,
      )}
      <${LanguageMenu} />
    </footer>
  `;
}
