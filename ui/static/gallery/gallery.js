// @ts-check
/* All of this visitor's clips, in the place of the page: a view of its own with its own address. */
import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { goToAll, leaveGallery, place, startAddress } from "./address.js";
import { ClipView } from "./clip_view.js";
import {
  gallery,
  loadAbout,
  showClips,
  startUpdates,
  stopUpdates,
  undoDeletion,
} from "./clips_shown.js";
import { CompareView } from "./compare_view.js";
import { GalleryGrid } from "./gallery_grid.js";
import { GalleryHead } from "./gallery_head.js";
import { clearSelection, selection } from "./selection.js";
import { SelectionBar, UndoBar } from "./selection_bar.js";

const TEXTS = {
  label: "All clips",
  nothing: "There are no clips yet. What you make appears here.",
  noneFound: "No clip fits. Change the search or the filters.",
};
const SIZE = "kinora-gallery-size";

/** @returns {"small" | "large"} */
function readSize() {
  try {
    return localStorage.getItem(SIZE) === "large" ? "large" : "small";
  } catch {
    return "small"; // a browser may block all of a site's data
  }
}

/** @param {"small" | "large"} size */
function keepSize(size) {
  try {
    localStorage.setItem(SIZE, size);
  } catch {
    // then it is as it was at the next visit
  }
}

export function Gallery() {
  const here = useSignal(place);
  const scrolled = useRef(0);
  useLayoutEffect(startAddress, []);
  const isOpen = here !== null;
  useLayoutEffect(() => {
    const { classList } = document.documentElement;
    if (isOpen) scrolled.current = scrollY;
    classList.toggle("k-in-gallery", isOpen);
    scrollTo({ top: isOpen ? 0 : scrolled.current, behavior: "instant" });
    if (!isOpen) return;
    startUpdates();
    return stopUpdates;
  }, [isOpen]);
  return here && html`<${GalleryView} here=${here} />`;
}

/** @param {{ here: import("./address.js").Place }} props */
function GalleryView({ here }) {
  const tiles = useSignal(gallery.tiles);
  const total = useSignal(gallery.total);
  const problem = useSignal(gallery.problem);
  const [size, setSize] = useState(readSize());
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const { clip, compared, filters } = here;
  const isGrid = !clip && !compared.length;
  const key = new URLSearchParams(filters).toString();

  useLayoutEffect(() => {
    clearSelection();
    selection.current.value = 0;
    showClips(filters);
  }, [key]);
  useLayoutEffect(() => {
    loadAbout();
  }, []);
  useLayoutEffect(() => {
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      const target = event.target instanceof Element ? event.target : null;
      const isTyping = target?.closest("input:not([type=range]), textarea, select");
      const chord = event.ctrlKey || event.metaKey;
      if (chord && event.key.toLowerCase() === "z" && !isTyping && gallery.deletion.peek()) {
        undoDeletion();
      } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
        if (isTyping instanceof HTMLElement) isTyping.blur();
        else if (selection.ids.peek().size && isGrid) clearSelection();
        else if (isGrid) leaveGallery();
        else goToAll();
      } else if (event.key === "/" && !isTyping && isGrid) {
        /** @type {HTMLElement | null | undefined} */
        const search = root.current?.querySelector(".k-search input");
        search?.focus();
      } else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [isGrid]);

  const onSize = (/** @type {"small" | "large"} */ chosen) => {
    setSize(chosen);
    keepSize(chosen);
  };
  const isEmpty = total === 0 && !tiles.length;
  return html`
    <section class="k-gallery" aria-label=${TEXTS.label} ref=${root}>
      <div class="k-gallery-all" hidden=${!isGrid}>
        <${GalleryHead} filters=${filters} size=${size} onSize=${onSize} />
        ${isEmpty && html`<p class="k-gallery-empty">${key ? TEXTS.noneFound : TEXTS.nothing}</p>`}
        <${GalleryGrid} size=${size} isShown=${isGrid} />
        <${SelectionBar} />
      </div>
      ${clip && html`<${ClipView} id=${clip} />`}
      ${compared.length > 0 && html`<${CompareView} key=${compared.join()} ids=${compared} />`}
      ${problem && html`<p class="k-gallery-problem" role="alert">${problem.message} ${problem.remedy}</p>`}
      <${UndoBar} />
    </section>
  `;
}
