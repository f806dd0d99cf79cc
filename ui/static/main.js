// @ts-check
/* The page's own script: starts what belongs to the whole page, then mounts each component into the
   element that Gradio has made for it. */
import { onGradioAction } from "./actions.js";
import { startAttention } from "./attention.js";
import { CardFacts } from "./components/card_facts.js";
import { ClipList } from "./components/clip_list.js";
import { Estimate } from "./components/estimate.js";
import { Examples } from "./components/examples.js";
import { ExploreMenu } from "./components/explore_menu.js";
import { ImproveButton } from "./components/improve_button.js";
import { LanguageMenu } from "./components/language_menu.js";
import { LastPicture } from "./components/last_picture.js";
import { LooksChip } from "./components/looks_chip.js";
import { LoraList } from "./components/lora_list.js";
import { ModelNotes } from "./components/model_notes.js";
import { ModelPicker } from "./components/model_picker.js";
import { NegativeChip } from "./components/negative_chip.js";
import { PromptMirror } from "./components/prompt_mirror.js";
import { PromptNotes } from "./components/prompt_notes.js";
import { ServerAnswers } from "./components/server_answers.js";
import { Stage } from "./components/stage.js";
import { StyleChip } from "./components/style_chip.js";
import { StyleStrip } from "./components/style_strip.js";
import { Gallery } from "./gallery/gallery.js";
import { startGradioTexts } from "./gradio_texts.js";
import { html, render } from "./html.js";
import { onLanguage, startLanguage } from "./language.js";
import { startRestoring } from "./restore_events.js";
import { startShortcuts } from "./shortcuts.js";
import { startMeasuring } from "./viewport.js";
import { startIdentification } from "./visitor.js";

/** For tests, which import this module. */
export { requestJson } from "./api.js";
export { leaveStage } from "./stage_jobs.js";
export { store } from "./store.js";

/** @import { MountRequest } from "./globals.d.ts" */

/** By the names that `js_component` in `ui/tab.py` gives them. @type {Record<string, any>} */
const COMPONENTS = {
  ending: LastPicture,
  examples: Examples,
  explore: ExploreMenu,
  facts: CardFacts,
  gallery: Gallery,
  improve: ImproveButton,
  knows: ModelNotes,
  language: LanguageMenu,
  looks: LooksChip,
  loras: LoraList,
  mirror: PromptMirror,
  negative: NegativeChip,
  outlook: Estimate,
  picker: ModelPicker,
  post: ServerAnswers,
  reel: ClipList,
  stage: Stage,
  strip: StyleStrip,
  style: StyleChip,
  words: PromptNotes,
};

const mounted = /** @type {MountRequest[]} */ ([]);

/** Without these there is a gap in the page that others would be moved by. */
const FIRST_SEEN = ["stage", "facts", "outlook", "reel", "language", "gallery"];

/** @param {MountRequest} request */
function mount(request) {
  mounted.push(request);
  draw(request);
  const names = new Set(mounted.map(([name]) => name));
  if (FIRST_SEEN.every((name) => names.has(name))) showPage();
}

/** `base.css` hides the page until then. */
function showPage() {
  requestAnimationFrame(() =>
    requestAnimationFrame(() => document.documentElement.classList.add("k-placed")),
  );
}

/** @param {MountRequest} request */
function draw([name, element, gradio, options]) {
  const component = COMPONENTS[name];
  render(html`<${component} element=${element} gradio=${gradio} ...${options} />`, element);
}

startIdentification();
startMeasuring();
startGradioTexts();
onLanguage(() => mounted.forEach(draw));
startShortcuts();
startAttention();
document.addEventListener("kinora:action", ({ detail }) =>
  onGradioAction(detail.task, detail.action),
);
startLanguage().then(() => {
  const waiting = /** @type {Iterable<MountRequest>} */ (window.kinora ?? []);
  window.kinora = { push: mount };
  for (const request of waiting) mount(request);
  startRestoring();
});
