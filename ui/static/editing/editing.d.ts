/** What the editor edits, and what the server says about edits. */
import type { Job, Task } from "../types.d.ts";

export type EditedClip = Pick<Job, "id" | "prompt" | "width" | "height" | "format"> & {
  task: Task;
  signed?: string;
};

/** An operation as the server offers it. */
export interface Operation {
  op: string;
  title: string;
  description: string;
  by_position: string[];
  schema: Schema;
}

/** The part of JSON Schema that operations are described by. */
export interface Schema {
  type?: string;
  const?: unknown;
  default?: unknown;
  description?: string;
  title?: string;
  enum?: (string | number)[];
  pattern?: string;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  ge?: number;
  gt?: number;
  le?: number;
  anyOf?: Schema[];
  required?: string[];
  properties?: Record<string, Schema>;
}

export interface Offer {
  operations: Operation[];
  formats: { format: string; label: string }[];
}

export type FieldKind =
  | "number"
  | "range"
  | "switch"
  | "choice"
  | "shape"
  | "text"
  | "colour"
  | "file";

/** A field of an operation, as a control shows it. */
export interface Field {
  name: string;
  kind: FieldKind;
  label: string;
  description: string;
  isRequired: boolean;
  isInteger: boolean;
  value: unknown;
  min?: number;
  max?: number;
  choices: (string | number)[];
}

/** An operation of a chain, with what was chosen. */
export interface Step {
  key: number;
  op: string;
  values: Record<string, unknown>;
  /** The name of the file that was sent for a field. */
  fileNames: Record<string, string>;
}

/** The body of a request for an edit. */
export interface Edit {
  clips: string[];
  operations: Record<string, unknown>[];
  format?: string;
  quality?: string;
  target_mb?: number;
}

export interface Output {
  format: string;
  quality: string;
  targetMb: string;
}

export interface EditEstimate {
  line: string;
  width: number;
  height: number;
  fps: number;
  num_frames: number;
  duration_s: number;
  notes: string[];
}

/** How a clip follows the one before it. */
export interface Joint {
  transition: string;
  duration_s: number;
}

/** A clip on the timeline. */
export interface Item {
  key: number;
  id: string;
  name: string;
  /** The address of its file; empty for an upload, which is loaded by its id. */
  src: string;
  poster: string;
  isPicture: boolean;
  duration_s: number;
  fps: number;
  start_s: number;
  end_s: number;
  joint: Joint;
}

export interface Music {
  id: string;
  name: string;
  /** Of the visitor's own file. */
  src: string;
  volume: number;
  own_volume: number;
  at_s: number;
  fade_out_s: number;
}
