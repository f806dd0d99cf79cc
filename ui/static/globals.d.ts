/** What Gradio's page defines, and the one name that ours does. */
import type { GradioPort, Task } from "./types.d.ts";

export type MountRequest = [
  name: string,
  element: HTMLElement,
  gradio: GradioPort,
  options: { task: Task } & Record<string, unknown>,
];

interface PageInfo {
  scrollTop: number;
  offsetTop: number;
  clientHeight: number;
}

declare global {
  interface Window {
    gradio_config?: { root?: string };
    parentIFrame?: { getPageInfo(callback: (info: PageInfo) => void): void };
    /** Components that wait to be mounted; when main.js has run, whatever is pushed is mounted. */
    kinora?: { push(request: MountRequest): void } & Partial<Iterable<MountRequest>>;
  }
  interface DocumentEventMap {
    "kinora:action": CustomEvent<{ task: Task; action: string }>;
  }
}
