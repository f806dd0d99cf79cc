// @ts-check
/* The tab's icon: the page's own, or a ring of progress, or a mark when a clip is done. */
const SIZE = 32;
const COLOURS = { ring: "#6d4aff", track: "#8b86a055", ready: "#2f9e6b", failed: "#d64550" };

/** @type {HTMLLinkElement | null} */
let link = null;
let plain = "";
let drawn = "";

/**
 * @param {number | null} progress 0 to 1; null where nothing is made
 * @param {"" | "ready" | "failed"} end what ended and was not seen yet
 */
export function drawIcon(progress, end) {
  const key = progress === null ? end : `ring ${Math.round(20 * progress)}`;
  if (key === drawn) return;
  if (!link) {
    link = document.querySelector('link[rel~="icon"]');
    if (!link) {
      link = Object.assign(document.createElement("link"), { rel: "icon" });
      document.head.append(link);
      plain = new URL("favicon.ico", location.href).href; // where a browser finds it without one
    } else plain = link.href;
  }
  drawn = key;
  link.href = key ? picture(progress, end) : plain;
}

/** @param {number | null} progress @param {"" | "ready" | "failed"} end */
function picture(progress, end) {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
  const context = canvas.getContext("2d");
  if (!context) return plain;
  const middle = SIZE / 2;
  if (progress === null) {
    context.fillStyle = end === "failed" ? COLOURS.failed : COLOURS.ready;
    context.beginPath();
    context.arc(middle, middle, middle - 2, 0, 2 * Math.PI);
    context.fill();
    return canvas.toDataURL();
  }
  context.lineWidth = 6;
  for (const [colour, part] of /** @type {[string, number][]} */ ([
    [COLOURS.track, 1],
    [COLOURS.ring, Math.max(progress, 0.03)],
  ])) {
    context.strokeStyle = colour;
    context.beginPath();
    context.arc(middle, middle, middle - 4, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * part);
    context.stroke();
  }
  return canvas.toDataURL();
}
