// @ts-check
/* The panel beside the stage: a chain of operations on one clip, how the first seconds of what
   comes out look, and the button that makes it. Escape leads back. */
import { fileUrl } from "../api.js";
import { Icon } from "../components/icon.js";
import { filmPlace } from "../film/film_address.js";
import { place } from "../gallery/address.js";
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { startWaiting, stopWaiting } from "../stage_jobs.js";
import { store } from "../store.js";
import { focusStage, openTab, tabOf } from "../tabs.js";
import { AddOperation } from "./add_operation.js";
import { EditFoot } from "./edit_foot.js";
import { EditMonitor } from "./edit_monitor.js";
import { usePreview } from "./edit_plan.js";
import { estimateEdit } from "./edit_requests.js";
import { missingField, newStep, operationOf } from "./operation_fields.js";
import { OutputFields, outputOf, PLAIN_OUTPUT } from "./output_fields.js";
import { StepCard } from "./step_card.js";
import { TrimField } from "./trim_field.js";

/** @import { Edit, EditedClip, EditEstimate, Offer, Step } from "./editing.d.ts" */

const TEXTS = {
  heading: "Edit",
  close: "Close",
  chain: "What is done, in this order",
  nothing: "Choose what to change.",
  missing: (/** @type {string} */ field) => `Fill in “${field}” first.`,
};
const FIELDS =
  ":is(.k-op-field, .k-op-switch, .k-trim) :is(input:not(.k-file), select, textarea, button, [role=slider])";
const NARROW = "(max-width: 1099px)";

/** A trim of the whole clip does nothing. @param {Step} step */
const doesSomething = ({ op, values }) =>
  op !== "trim" || values.end_s != null || Boolean(values.start_s);

/** @param {{ clip: EditedClip, offer: Offer, onClose: () => void }} props */
export function EditPanel({ clip, offer, onClose }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const [src] = useState(fileUrl({ id: clip.id, signed: clip.signed }, "clip"));
  const [facts, setFacts] = useState(/** @type {EditEstimate | null} */ (null));
  const [steps, setSteps] = useState(() =>
    offer.operations.filter(({ op }) => op === "trim").map(newStep),
  );
  const [output, setOutput] = useState(PLAIN_OUTPUT);
  const [shown, setShown] = useState(/** @type {number | null} */ (null));
  const [added, setAdded] = useState(/** @type {number | null} */ (null));

  const inGallery = useSignal(place) !== null;
  const inFilm = useSignal(filmPlace) !== null;
  useLayoutEffect(() => {
    if (inGallery || inFilm) onClose();
  }, [inGallery, inFilm]);
  const show = () => {
    const panel = dialog.current;
    document.documentElement.classList.add("k-editing");
    if (matchMedia(NARROW).matches) panel?.showModal();
    else panel?.show();
    panel?.focus();
  };
  useLayoutEffect(() => {
    show();
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
      if (!dialog.current?.open) return;
      event.preventDefault();
      onClose();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  useLayoutEffect(() => {
    estimateEdit({ clips: [clip.id], operations: [] }).then(setFacts, () => {});
  }, []);
  useLayoutEffect(() => {
    if (added === null) return;
    const card = dialog.current?.querySelector(`[data-step="${added}"]`);
    card?.scrollIntoView({ block: "nearest" });
    /** @type {HTMLElement | null | undefined} */
    const field = card?.querySelector(FIELDS) ?? card?.querySelector("button:enabled");
    field?.focus({ preventScroll: true });
  }, [added]);

  const operationOfStep = (/** @type {Step} */ { op }) =>
    /** @type {import("./editing.d.ts").Operation} */ (
      offer.operations.find((each) => each.op === op)
    );
  const change = (/** @type {Step[]} */ next) => {
    setSteps(next);
    setShown(null);
  };
  const add = (/** @type {import("./editing.d.ts").Operation} */ operation) => {
    const step = newStep(operation);
    change([...steps, step]);
    setAdded(step.key);
  };
  const move = (/** @type {number} */ index, /** @type {number} */ by) => {
    const next = [...steps];
    next.splice(index + by, 0, ...next.splice(index, 1));
    change(next);
  };
  /** @type {(key: number, values: Record<string, unknown>, names?: Record<string, string>) => void} */
  const setValues = (key, values, names = {}) =>
    setSteps((before) =>
      before.map((step) =>
        step.key === key
          ? {
              ...step,
              values: { ...step.values, ...values },
              fileNames: { ...step.fileNames, ...names },
            }
          : step,
      ),
    );

  const used = steps.filter(doesSomething);
  const incomplete = used.find((step) => missingField(step, operationOfStep(step)));
  const out = outputOf(output);
  const hasAny = used.length > 0 || Object.keys(out).length > 0;
  const operations = used.map(operationOf);
  const edit = /** @type {Edit | null} */ (
    hasAny && !incomplete ? { clips: [clip.id], operations, ...out } : null
  );
  const preview = usePreview(
    operations.length && !incomplete ? { clips: [clip.id], operations } : null,
  );
  const hint = incomplete
    ? TEXTS.missing(missingField(incomplete, operationOfStep(incomplete))?.label ?? "")
    : TEXTS.nothing;
  useLayoutEffect(() => {
    if (preview.url) setShown(null);
  }, [preview.url]);

  const task = tabOf(clip.task);
  /** With the press, not with its answer: what moves later would be a surprise. */
  const onSend = () => {
    dialog.current?.close();
    document.documentElement.classList.remove("k-editing");
    openTab(task);
    startWaiting(store.tabs[task]);
    focusStage(task);
  };
  const onRefused = () => {
    stopWaiting(store.tabs[task]);
    show();
  };

  const poster = fileUrl({ id: clip.id, signed: clip.signed }, "poster");
  const trim = (/** @type {Step} */ step) =>
    facts
      ? html`<${TrimField}
          fps=${facts.fps}
          frames=${facts.num_frames}
          poster=${poster}
          values=${step.values}
          onChange=${(/** @type {Record<string, unknown>} */ values) => setValues(step.key, values)}
          onShow=${setShown}
        />`
      : html`<div class="k-trim k-trim-waiting"></div>`;
  return html`
    <dialog class="k-edit" aria-label=${TEXTS.heading} tabIndex="-1" ref=${dialog} onCancel=${(/** @type {Event} */ event) => event.preventDefault()}>
      <header class="k-panel-head">
        <h2 class="k-title">${TEXTS.heading}</h2>
        <button class="k-verb" type="button" aria-label=${TEXTS.close} title="Escape" onClick=${onClose}>
          <${Icon} name="cross" />
        </button>
      </header>
      <${EditMonitor} clip=${clip} src=${src} shown=${shown} preview=${preview} />
      <div class="k-edit-chain">
        <ol class="k-steps" aria-label=${TEXTS.chain}>
          ${steps.map(
            (step, index) => html`<${StepCard}
              key=${step.key}
              step=${step}
              operation=${operationOfStep(step)}
              special=${step.op === "trim" && index === 0 ? trim(step) : null}
              isFirst=${index === 0}
              isLast=${index === steps.length - 1}
              onChange=${(/** @type {Record<string, unknown>} */ values, /** @type {Record<string, string> | undefined} */ names) => setValues(step.key, values, names)}
              onMove=${(/** @type {number} */ by) => move(index, by)}
              onRemove=${() => change(steps.filter(({ key }) => key !== step.key))}
            />`,
          )}
        </ol>
        <${AddOperation} operations=${offer.operations} onAdd=${add} />
        <${OutputFields} offer=${offer} output=${output} onChange=${setOutput} />
      </div>
      <${EditFoot} edit=${edit} hint=${hint} onSend=${onSend} onRefused=${onRefused} onMade=${onClose} />
    </dialog>
  `;
}
