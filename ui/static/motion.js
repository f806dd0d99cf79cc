// @ts-check
/* What the visitor's system prefers. */
const reduced = matchMedia("(prefers-reduced-motion: reduce)");

export const prefersReducedMotion = () => reduced.matches;
export const isDark = () => document.body.classList.contains("dark");
export const isTouch = () => matchMedia("(pointer: coarse)").matches;
