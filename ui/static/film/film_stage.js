// @ts-check
/* The film above its shots. While the first one is made, the shot that is being made is there: what
   is below stays in its place. */
import { fileUrl } from "../api.js";
import { PreviewCanvas } from "../components/preview_canvas.js";
import { html, useRef, useSignal, useState } from "../html.js";
import { board } from "./film_state.js";

/** @import { Film, Job } from "../types.d.ts" */

const TEXTS = { older: "This is the film before your last changes.", film: "The film" };
const WIDE = { width: 16, height: 9 };

/** @param {{ film: Film | null, isMaking: boolean }} props */
export function FilmStage({ film, isMaking }) {
  const estimate = useSignal(board.estimate);
  const jobs = (film?.shots ?? []).flatMap(({ job }) => job ?? []);
  const { width, height } = film?.file ?? jobs[0] ?? estimate ?? WIDE;
  if (!film?.file && !isMaking) return null;
  return html`<figure class="k-film" style=${{ "--ratio": `${width} / ${height}` }}>
    ${
      film?.file
        ? html`<${FilmFile} job=${film.file} key=${film.file.id} />`
        : html`<${FilmPreview} job=${jobs.find((job) => job.state === "running") ?? null} />`
    }
    <figcaption class="k-note">${film?.file && !film.is_current ? TEXTS.older : ""}</figcaption>
  </figure>`;
}

/** @param {{ job: Job }} props */
function FilmFile({ job }) {
  const [clip] = useState(fileUrl(job, "clip")); // signed addresses change with every state
  const [poster] = useState(fileUrl(job, "poster"));
  return html`<video src=${clip} poster=${poster} controls playsInline preload="metadata" aria-label=${TEXTS.film}></video>`;
}

/** Of the shot that is being made; between two shots the one before stays. @param {{ job: Job | null }} props */
function FilmPreview({ job }) {
  const shown = useRef(job);
  shown.current = job ?? shown.current;
  return html`<${PreviewCanvas} class="k-film-preview" job=${job} isShown=${true} turn=${shown.current?.id} />`;
}
