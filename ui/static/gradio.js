// @ts-check
/* The value of a gr.HTML component: what Gradio sends with every event, and changes in its answers. */
import { useLayoutEffect, useState } from "./html.js";

/**
 * Like `useState`, with Gradio holding the value.
 * @template T
 * @param {import("./types.d.ts").GradioPort<T>} gradio
 * @returns {[T, (value: T) => void]}
 */
export function useGradioValue(gradio) {
  const [value, setValue] = useState(gradio.props.value);
  useLayoutEffect(() => {
    const update = () => setValue(() => gradio.props.value);
    gradio.watch("value", update); // Gradio has no way to stop watching; these live as long as the page
    update();
  }, [gradio]);
  const change = (/** @type {T} */ fresh) => {
    gradio.props.value = fresh; // a change of ours does not come back through `watch`
    setValue(() => fresh);
  };
  return [value, change];
}
