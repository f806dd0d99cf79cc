// @ts-check
import { html } from "../html.js";

const PATHS = {
  picture: "M4 5h16v14H4zM4 16l4.5-4.5L13 16l3-3 4 4M15.5 9.5h.01",
  cross: "M6 6l12 12M18 6L6 18",
  swap: "M4 8h13M13 4l4 4-4 4M20 16H7M11 12l-4 4 4 4",
  down: "M12 4v11M7 11l5 5 5-5M5 20h14",
  again: "M4 12a8 8 0 1 1 2.5 5.8M4 20v-5h5",
  dice: "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM8.5 8.5h.01M15.5 8.5h.01M12 12h.01M8.5 15.5h.01M15.5 15.5h.01",
  onward: "M4 12h14M13 6l6 6-6 6",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 9.7h4M4 14.3h4M16 9.7h4M16 14.3h4",
  list: "M5 7h14M5 12h14M5 17h9",
  spark: "M12 4l1.8 6.2L20 12l-6.2 1.8L12 20l-1.8-6.2L4 12l6.2-1.8z",
  share: "M12 15V4M8 8l4-4 4 4M6 12v7h12v-7",
  copy: "M9 9h10v11H9zM5 15V4h10",
  grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  bell: "M6 17h12l-1.5-2.5V10a4.5 4.5 0 0 0-9 0v4.5zM10 20h4",
  pause: "M8 5v14M16 5v14",
  play: "M7 5l12 7-12 7z",
  back: "M20 12H6M11 6l-6 6 6 6",
  check: "M5 12.5l4.5 4.5L19 7.5",
  compare: "M4 6h7v12H4zM13 6h7v12h-7z",
  folder: "M4 7h6l2 2h8v10H4z",
  frameBack: "M17 6l-8 6 8 6zM6 6v12",
  frameOn: "M7 6l8 6-8 6zM18 6v12",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  pen: "M5 19l1-4L16 5l3 3L9 18z",
  search: "M10.5 4a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13M15.5 15.5L20 20",
  star: "M12 4l2.4 5.2 5.6.7-4.1 3.9 1.1 5.6-5-2.8-5 2.8 1.1-5.6L4 9.9l5.6-.7z",
  scissors:
    "M6 4.5l11 12M18 4.5L7 16.5M8.5 18.5a2.5 2.5 0 1 1-5 0a2.5 2.5 0 1 1 5 0M20.5 18.5a2.5 2.5 0 1 1-5 0a2.5 2.5 0 1 1 5 0",
  up: "M12 20V6M6 11l6-6 6 6",
  downward: "M12 4v14M6 13l6 6 6-6",
  music:
    "M9 18V6l10-2v12M9 18a2.5 2.5 0 1 1-5 0a2.5 2.5 0 1 1 5 0M19 16a2.5 2.5 0 1 1-5 0a2.5 2.5 0 1 1 5 0",
  join: "M4 8h6v8H4zM14 8h6v8h-6zM10 12h4",
  tiles:
    "M4 4h4v4H4zM10 4h4v4h-4zM16 4h4v4h-4zM4 10h4v4H4zM10 10h4v4h-4zM16 10h4v4h-4zM4 16h4v4H4zM10 16h4v4h-4zM16 16h4v4h-4z",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
};

/** What points on or back points the other way in a page from right to left. */
const DIRECTED = ["onward", "back", "list"];

/** @param {{ name: keyof typeof PATHS }} props */
export const Icon = ({ name }) =>
  html`<svg viewBox="0 0 24 24" class=${DIRECTED.includes(name) ? "k-icon k-directed" : "k-icon"} aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
