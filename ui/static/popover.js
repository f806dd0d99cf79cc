// @ts-check
/* Where a panel opens: under its chip where there is room, else above; a phone's sheet comes from
   the bottom, by CSS. */
import { visiblePart } from "./viewport.js";

const WIDTH = 440;
const MARGIN = 12;

/**
 * @param {HTMLElement} panel
 * @param {HTMLElement} button
 */
export function placePanel(panel, button) {
  const chip = button.getBoundingClientRect();
  const width = Math.min(WIDTH, innerWidth - 2 * MARGIN);
  const { top, bottom } = visiblePart();
  const below = bottom - chip.bottom - 20;
  const above = chip.top - top - 20;
  const isAbove = below < 320 && above > below;
  const { style } = panel;
  const x = Math.max(MARGIN, Math.min(chip.left, innerWidth - width - MARGIN));
  style.setProperty("--x", `${x}px`);
  style.setProperty("--room", `${Math.max(isAbove ? above : below, 200)}px`);
  style.setProperty("--top", isAbove ? "auto" : `${chip.bottom + 8}px`);
  style.setProperty("--bottom", isAbove ? `${innerHeight - chip.top + 8}px` : "auto");
}
