// @ts-check
/* The page /verify, which has nothing of Gradio: one component. */
import { FileVerifier } from "./components/file_verifier.js";
import { startGradioTexts } from "./gradio_texts.js";
import { html, render } from "./html.js";
import { startLanguage } from "./language.js";

window.gradio_config ??= { root: "./" }; // our routes are beside this page, below any prefix
const place = document.getElementById("k-verify-page");
startGradioTexts(); // the words of the page itself
startLanguage().then(() => place && render(html`<${FileVerifier} />`, place));

export const ready = true;
