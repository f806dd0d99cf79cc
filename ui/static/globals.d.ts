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

export interface Language {
  tag: string;
  /** In the language itself. */
  name: string;
  dir: "ltr" | "rtl";
  /** Of its catalogue, relative to the page; empty for English. */
  address: string;
}

/** By the English text: the translation, or its forms by the plural of the first number. */
export type Catalogue = Record<string, string | Record<string, string>>;

declare global {
  interface Window {
    kinoraLanguages?: Language[];
    /** Of the page /verify: labels and addresses. */
    kinoraLinks?: [string, string][];
    gradio_config?: { root?: string };
    parentIFrame?: { getPageInfo(callback: (info: PageInfo) => void): void };
    /** Components that wait to be mounted; when main.js has run, whatever is pushed is mounted. */
    kinora?: { push(request: MountRequest): void } & Partial<Iterable<MountRequest>>;
  }
  interface DocumentEventMap {
    "kinora:action": CustomEvent<{ task: Task; action: string }>;
  }
}
