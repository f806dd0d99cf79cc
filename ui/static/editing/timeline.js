// @ts-check
/* Clips in a row on one track with a sound track under it; one button makes one clip of them. */
import { problemOf } from "../api.js";
import { Icon } from "../components/icon.js";
import { leaveGallery } from "../gallery/address.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { EditFoot } from "./edit_foot.js";
import { estimateEdit, sendFile } from "./edit_requests.js";
import { OutputFields, outputOf, PLAIN_OUTPUT } from "./output_fields.js";
import { SoundBar, SoundControls } from "./sound_track.js";
import { TimelineClip } from "./timeline_clip.js";
import { ClipInspector, JointInspector } from "./timeline_inspector.js";
import { TimelinePlayer } from "./timeline_player.js";
import { editOf, itemOfUpload, moved, planOf } from "./timeline_state.js";

/** @import { Item, Music, Offer } from "./editing.d.ts" */

const TEXTS = {
  heading: "Timeline",
  close: "Close",
  track: "Clips, in order",
  add: "Add a clip",
  sending: (/** @type {string} */ name) => `Sending ${name} …`,
  place: (/** @type {number} */ n, /** @type {number} */ of) => `Clip ${n} of ${of}`,
  nothing: "Add a clip, trim one, or add music.",
};
const MOST_CLIPS = 20;
const LEAST_PX = 72; // of a clip: wide enough for its handles
const WIDEST_PX = 260; // of a second

/** @param {{ first: Item[], offer: Offer, onClose: () => void }} props */
export function Timeline({ first, offer, onClose }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [items, setItems] = useState(first);
  const [selected, setSelected] = useState({
    key: first[0].key,
    what: /** @type {"clip" | "joint"} */ ("clip"),
  });
  const [music, setMusic] = useState(/** @type {Music | null} */ (null));
  const [ownVolume, setOwnVolume] = useState(1);
  const [output, setOutput] = useState(PLAIN_OUTPUT);
  const [shown, setShown] = useState(/** @type {{ key: number, time_s: number } | null} */ (null));
  const [said, say] = useState("");
  const [problem, setProblem] = useState("");
  const [width, setWidth] = useState(0);
  const [refocus, setRefocus] = useState(/** @type {number | null} */ (null));

  useLayoutEffect(() => {
    dialog.current?.showModal();
    const track = dialog.current?.querySelector(".k-tl-scroller");
    if (!track) return;
    const observer = new ResizeObserver(() => setWidth(track.clientWidth));
    observer.observe(track);
    return () => observer.disconnect();
  }, []);
  const focusClip = (/** @type {number} */ key) => {
    /** @type {HTMLElement | null | undefined} */
    const clip = dialog.current?.querySelector(`[data-clip="${key}"]`);
    clip?.focus();
  };
  useLayoutEffect(() => {
    if (refocus !== null) focusClip(refocus); // a browser drops the focus of what is moved
    setRefocus(null);
  }, [refocus]);

  const plan = planOf(items);
  // the whole lengths: while an end is dragged, a second stays as wide as it was
  const whole = items.reduce((sum, { duration_s }) => sum + duration_s, 0);
  const shortest = Math.min(...items.map(({ duration_s }) => duration_s));
  const room = Math.max(200, width - 12);
  const pixelsPerSecond = Math.min(WIDEST_PX, Math.max(room / whole, LEAST_PX / shortest));

  const change = (/** @type {number} */ key, /** @type {Partial<Item>} */ part) =>
    setItems((before) => before.map((item) => (item.key === key ? { ...item, ...part } : item)));
  const move = (/** @type {number} */ from, /** @type {number} */ to) => {
    if (to < 0 || to >= items.length) return;
    setItems(moved(items, from, to));
    say(TEXTS.place(to + 1, items.length));
  };
  const select = (/** @type {number} */ at) => {
    if (!items[at]) return;
    setSelected({ key: items[at].key, what: "clip" });
    focusClip(items[at].key);
  };
  const remove = (/** @type {number} */ index) => {
    if (items.length === 1) return;
    const next = items.filter((_, at) => at !== index);
    const beside = next[Math.min(index, next.length - 1)];
    setItems(next);
    setSelected({ key: beside.key, what: "clip" });
    setRefocus(beside.key);
  };
  const trim =
    (/** @type {Item} */ item) =>
    (/** @type {Partial<Item>} */ part, /** @type {number} */ time_s) => {
      change(item.key, part);
      setSelected({ key: item.key, what: "clip" });
      setShown({ key: item.key, time_s });
    };
  /** @param {File} file @param {() => Promise<void>} send */
  const attempt = async (file, send) => {
    setProblem("");
    say(TEXTS.sending(file.name));
    try {
      await send();
    } catch (error) {
      const { message, remedy } = problemOf(error);
      setProblem([message, remedy].filter(Boolean).join(" "));
    } finally {
      say("");
    }
  };
  const addMusic = (/** @type {File} */ file) =>
    attempt(file, async () => {
      const { id } = await sendFile(file, "sound");
      const src = URL.createObjectURL(file);
      setMusic({ id, name: file.name, src, volume: 1, own_volume: 1, at_s: 0, fade_out_s: 1 });
    });
  const addClips = async (/** @type {File[]} */ files) => {
    for (const file of files) {
      await attempt(file, async () => {
        const { id } = await sendFile(file);
        const facts = await estimateEdit({ clips: [id], operations: [] });
        setItems((before) => [...before, itemOfUpload(id, file.name, facts)].slice(0, MOST_CLIPS));
      });
    }
  };
  const onChoose = () => {
    addClips([...(input.current?.files ?? [])]);
    if (input.current) input.current.value = "";
  };
  const onMade = () => {
    onClose();
    leaveGallery();
  };

  const index = Math.max(
    0,
    items.findIndex(({ key }) => key === selected.key),
  );
  const item = items[index];
  const isJoint = selected.what === "joint" && index > 0;
  const join = offer.operations.find(({ op }) => op === "join");
  const transitions = join?.schema.properties?.transition.enum ?? ["cut"];
  const edit = editOf(items, music, ownVolume);
  const out = outputOf(output);
  return html`
    <dialog
      class="k-timeline"
      aria-label=${TEXTS.heading}
      ref=${dialog}
      onCancel=${(/** @type {Event} */ event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header class="k-panel-head">
        <h2 class="k-title">${TEXTS.heading}</h2>
        <button class="k-verb" type="button" aria-label=${TEXTS.close} title="Escape" onClick=${onClose}>
          <${Icon} name="cross" />
        </button>
      </header>
      <div class="k-tl-all">
        <${TimelinePlayer} items=${items} plan=${plan} music=${music} ownVolume=${ownVolume} shown=${shown} onPlay=${() => setShown(null)} />
        <div class="k-tl-scroller" dir="ltr">
          <ol class="k-tl-track" aria-label=${TEXTS.track}>
            ${items.map(
              (each, at) => html`<${TimelineClip}
                key=${each.key}
                item=${each}
                index=${at}
                count=${items.length}
                selected=${each.key === selected.key ? selected.what : ""}
                pixelsPerSecond=${pixelsPerSecond}
                onSelect=${(/** @type {"clip" | "joint"} */ what) => setSelected({ key: each.key, what })}
                onMove=${(/** @type {number} */ to) => {
                  move(at, to);
                  setRefocus(each.key);
                }}
onFocusOther=${select}
                onRemove=${() => remove(at)}
                onTrim=${trim(each)}
              />`,
            )}
          </ol>
          <${SoundBar} music=${music} total=${plan.total} pixelsPerSecond=${pixelsPerSecond} onFile=${addMusic} />
        </div>
        ${
          isJoint
            ? html`<${JointInspector}
                item=${item}
                transitions=${transitions}
                onChange=${(/** @type {Partial<Item["joint"]>} */ joint) => change(item.key, { joint: { ...item.joint, ...joint } })}
              />`
            : html`<${ClipInspector}
                item=${item}
                index=${index}
                count=${items.length}
                onMove=${(/** @type {number} */ to) => move(index, to)}
                onRemove=${() => remove(index)}
                onTrim=${trim(item)}
              />`
        }
        <${SoundControls}
          music=${music}
          ownVolume=${ownVolume}
          total=${plan.total}
          onChange=${(/** @type {Partial<Music> | null} */ part) => setMusic(part && music ? { ...music, ...part } : null)}
          onOwnVolume=${setOwnVolume}
        />
        <div class="k-tl-more">
          <button class="k-press" type="button" disabled=${items.length >= MOST_CLIPS} onClick=${() => input.current?.click()}>
            <${Icon} name="film" />${TEXTS.add}
          </button>
          <input class="k-file" type="file" multiple accept="video/*" aria-label=${TEXTS.add} tabIndex="-1" ref=${input} onChange=${onChoose} />
          <span role="status">${said}</span>
        </div>
        ${problem && html`<p class="k-panel-refusal" role="alert">${problem}</p>`}
        <${OutputFields} offer=${offer} output=${output} onChange=${setOutput} />
      </div>
      <${EditFoot} edit=${edit && { ...edit, ...out }} hint=${TEXTS.nothing} onMade=${onMade} />
    </dialog>
  `;
}
