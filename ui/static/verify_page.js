// @ts-check
/* The page /verify, which has nothing of Gradio. The server has drawn its head in the same words. */
import { VerifyPage } from "./components/verify_page_body.js";
import { html, render } from "./html.js";
import { onLanguage, startLanguage, translate } from "./language.js";

window.gradio_config ??= { root: "./" }; // our routes are beside this page, below any prefix
const place = document.getElementById("k-verify-page");

function draw() {
  document.title = `${translate("Verify a clip")} - Kinora`;
  if (place) render(html`<${VerifyPage} links=${window.kinoraLinks ?? []} />`, place);
}

startLanguage().then(() => {
  onLanguage(draw);
  draw();
});

export const ready = true;
