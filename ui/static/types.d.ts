/** What the server sends to the page, and what Gradio hands to a component. */

export type Task = "t2v" | "i2v" | "v2v";

/** What happened, what to do, and the button that does it (`job_view.error_view`). */
export interface Problem {
  code?: string;
  message: string;
  remedy?: string;
  action?: { label: string; set: Record<string, unknown> } | null;
  /** Only decoding failed, and it can be tried again. */
  develop?: boolean;
  parts_kept?: number;
}

/** A JPEG with all frames side by side. `number` grows with each newer one. */
export interface PreviewInfo {
  number: number;
  frames: number;
  width: number;
  height: number;
  fps: number;
}

export interface Lora {
  source: string;
  weight: number | string;
}

export interface UsedSettings {
  [name: string]: unknown;
  width: number;
  height: number;
  loras?: Lora[];
}

/** A job as the server shows it (`job_view.view`). */
export interface Job {
  id: string;
  task: Task;
  state: "queued" | "running" | "succeeded" | "failed" | "cancelled" | "gone";
  created_at: number;
  prompt: string;
  width: number;
  height: number;
  format: "mp4" | "webm" | "webm-av1" | "gif" | "apng" | "webp" | "png-zip" | "prores";
  phase: string;
  line: string;
  /** How much of the ring is drawn, 0 to 1. */
  ring: number;
  preview: PreviewInfo | null;
  adjustments: string[];
  surprises: string[];
  used: UsedSettings;
  /** The same for people, of a finished clip: label and value. */
  settings?: [label: string, value: string][];
  error?: Problem;
  size_bytes?: number;
  /** The query that signs the addresses of its files. */
  signed?: string;
  /** On ZeroGPU: whether it needs a new web request now. */
  drive?: boolean;
  /** The batch that it was submitted in. */
  batch?: string | null;
  /** Whether it can be rendered fully. */
  is_draft?: boolean;
  /** Whether it was made of other clips, by an edit. */
  is_edit?: boolean;
  /** Of a long clip that is being made: in how many parts. */
  parts?: number;
}

/** What is seen of a job in a grid (`batch_view`). */
export type CellJob = Pick<
  Job,
  | "id"
  | "task"
  | "state"
  | "created_at"
  | "prompt"
  | "width"
  | "height"
  | "format"
  | "phase"
  | "line"
  | "ring"
  | "preview"
  | "signed"
  | "drive"
  | "error"
> & { seed: number };

/** One place of a grid: a clip, or why there is none. */
export interface Cell {
  /** Its value on each axis. */
  labels: string[];
  problem: string | null;
  job: CellJob | null;
}

/** Several clips, followed as one (`batch_view.view`). */
export interface Batch {
  id: string;
  kind: "batch" | "drafts" | "comparison";
  task: Task;
  created_at: number;
  ended: boolean;
  line: string;
  /** What is ready: changes once for each clip. */
  said: string;
  /** How many clips are finished. */
  ready: number;
  width: number;
  height: number;
  prompt: string;
  /** Of a comparison: the columns, then the rows. */
  axes: { label: string; values: string[] }[];
  /** Row by row. */
  cells: Cell[];
  signed?: string;
}

/** What a comparison or a batch would be (`batch_view.plan_view`). */
export interface Plan {
  /** That of the request for it. */
  number: number;
  clips?: number;
  line?: string;
  /** Cells that cannot be made. */
  problems?: string[];
  error?: Problem;
}

/** A setting that can be compared (`comparable_settings`). */
export interface Comparable {
  field: string;
  label: string;
  kind: "choices" | "numbers" | "words";
  /** Suggested. */
  values: (string | number)[];
  choices?: [value: string, label: string][];
  /** How many values are accepted. */
  most: number;
}

/** What is started as a whole: the values of one or two settings, or many prompts or pictures. */
export type PlanSpec =
  | { compare: { field: string; values: (string | number)[] }[] }
  | { batch: { prompts: string; csv: string | null; pictures: NamedPicture[] } };

/** An uploaded picture, and the name of its file. */
export interface NamedPicture {
  id: string;
  name: string;
}

/** What Generate makes: null is one clip. */
export type HowMany = { drafts: number } | null;

/** What the stage shows between a press and the server's answer. */
export interface PendingJob {
  id?: undefined;
  state: "queued";
  line: string;
  ring: number;
}

/** What the chosen model takes (`Models.facts`). */
export interface Card {
  id: string;
  name: string;
  prompt: boolean;
  /** The family's own; empty where the model takes none. */
  negative_prompt: string;
  last_image: boolean;
  lora: boolean;
  loras: string[];
  lora_hub: boolean;
}

/** The model's subjects, places and so on (`handlers.knows`). */
export interface ModelNotesValue {
  name: string;
  about: string;
  license: string;
  knows: Record<string, string[]>;
}

export interface ModelRow {
  id: string;
  name: string;
  about: string;
  verdict: string;
  level?: "runs" | "slow" | "no";
  download_gb?: number | null;
  gated?: boolean;
}

export interface ModelList {
  models: ModelRow[];
  /** Whether any id of the Hub may be tried. */
  any: boolean;
}

/** A picture or clip that was uploaded, as the server has stored it. */
export interface Upload {
  id: string;
  width: number;
  height: number;
}

/** Which part stays when it is cropped: 0 is left or top, 1 right or bottom. */
export interface Focus {
  x: number;
  y: number;
}

export type CroppedPicture = Upload & { focus: Focus };

/** One press fills in a prompt; for image to video, it also puts a picture on the stage. */
export interface ExampleInfo {
  prompt: string;
  /** Its address, relative to the page. */
  picture: string | null;
}

/** The fields of the form that decide the final prompt (`prompt_handlers.MIRRORED`). */
export interface Words {
  prompt: string;
  negative_prompt: string | null;
  wildcards: boolean;
  seed: string | null;
  guidance_scale: number | null;
}

/** The prompt that a clip would be made with (`prompt_tools.FinalPromptView`). */
export interface FinalPrompt {
  prompt: string;
  negative_prompt: string;
  style: string | null;
  wildcard_seed: number | null;
}

/** With the templates for the tab's model (`prompt_tools.StyleView`). */
export interface Style {
  id: string;
  name: string;
  example: string;
  prompt: string;
  negative_prompt: string;
  own: boolean;
  /** The file's name, where the model has made one. */
  thumbnail?: string | null;
}

/** A prompt and settings, saved by name. */
export interface Look {
  name: string;
  settings: Record<string, unknown>;
  saved_at: number;
}

/** What became of a press in the panel of looks (`prompt_handlers`). */
export interface LooksAnswer {
  saved?: string;
  applied?: string;
  error?: Problem;
}

/** Measurements of a finished clip (`docs/evaluation.md`); null where it has too few frames. */
export interface Evaluation {
  frames: number;
  motion_smoothness: number | null;
  temporal_consistency: number | null;
  flicker: number | null;
  clip_score: number | null;
}

/** The line before anyone presses (`Handlers.estimate`). */
export interface EstimateValue {
  line?: string;
  before?: string[];
  adjustments?: string[];
  rest?: string;
  width?: number;
  height?: number;
  error?: Problem;
}

/** The server's answer to a press (`handlers.news`). */
export interface Answer {
  job?: Job;
  batch?: Pick<Batch, "id" | "task">;
  plan?: Plan;
  error?: Problem;
  picture?: Upload;
  /** A storyboard to open (`film_view.board_of`). */
  board?: Omit<Board, "shots"> & { shots: Omit<BoardShot, "key">[] };
}

/** A card of the storyboard, as it is edited. `id` is that of its shot, once it has one. */
export interface BoardShot {
  key: string;
  id?: string;
  prompt: string;
  cut: "continue" | "hard" | "crossfade";
  duration_s?: number;
  image?: string;
}

export interface Board {
  shots: BoardShot[];
  /** Of the request: what holds for all shots. */
  settings: Record<string, unknown>;
  /** Whether a shot can start from a picture, and so from the end of the one before it. */
  takes_image: boolean;
}

/** A shot as the server has it (`film_view.view`). */
export interface FilmShot {
  id: string;
  prompt: string;
  cut: BoardShot["cut"];
  duration_s: number | null;
  image: string | null;
  state: "waiting" | "queued" | "running" | "succeeded" | "failed" | "cancelled" | "gone";
  line: string;
  note: string | null;
  error: Problem | null;
  job: Job | null;
}

export interface Film {
  id: string;
  state: "working" | "succeeded" | "failed" | "cancelled" | "gone";
  line: string;
  settings: Record<string, unknown>;
  takes_image: boolean;
  signed: string;
  shots: FilmShot[];
  /** The film as it was joined last; its shots may be newer. */
  file: Job | null;
  is_current: boolean;
  error: Problem | null;
}

/** What Gradio hands to a gr.HTML's js_on_load, without the element. */
export interface GradioPort<Value = unknown> {
  trigger(event: string, data?: Record<string, unknown>): void;
  props: { value: Value };
  watch(prop: string, callback: () => void): void;
}

/** What every component is mounted with. */
export interface Mounted<Value = unknown> {
  gradio: GradioPort<Value>;
  task: Task;
}

export interface Layout {
  top: number;
  bottom: number;
}

/** What was found in a clip (`restored_settings`). */
export interface RestoredSettings {
  /** Which program wrote it; null: there are no settings. */
  found: string | null;
  task: Task | null;
  settings: Record<string, unknown>;
  /** What is different here. */
  notes: string[];
  /** The picture or clip it was made from, if that is here. */
  input?: Upload;
}

/** The link of a clip (`share_tools.ShareView`), with its QR code as a data: URL. */
export interface Share {
  id: string;
  url: string;
  title: string;
  hide_prompt: boolean;
  hide_settings: boolean;
  public: boolean;
  /** Unix seconds; null: never. */
  expires_at: number | null;
  expired: boolean;
  qr: string;
}

/** `share_routes`: null where the clip has no link. */
export interface ShareAnswer {
  share: Share | null;
  /** Whether there is a public gallery here. */
  can_publish: boolean;
}

/** A clip in the gallery (`gallery_view.tile`). */
export type Tile = Pick<
  Job,
  "id" | "task" | "state" | "created_at" | "prompt" | "width" | "height" | "format" | "batch"
> &
  Partial<Pick<Job, "line" | "ring" | "preview" | "drive">> & {
    model: string;
    duration_s: number;
    fps: number;
    is_draft: boolean;
    signed: string;
    title: string | null;
    starred: boolean;
    /** The ids of the collections that it is in. */
    collections: string[];
  };

/** All about one clip (`gallery_view.whole`). */
export type WholeClip = Job & Tile;

/** A clip around another, and what it is to that one. */
export interface Relative {
  relation:
    | "parent"
    | "variation"
    | "draft"
    | "continued_from"
    | "edited_from"
    | "picture_from"
    | "continued_to"
    | "edited_to"
    | "picture_to"
    | "edit_of"
    | "shot"
    | "edit";
  clip: Tile;
}

export interface Collection {
  id: string;
  name: string;
  clips: number;
}

export interface Storage {
  clips: number;
  bytes: number;
  limit_bytes: number | null;
  used_share: number | null;
  keep_days: number | null;
  oldest_goes_at: number | null;
}

/** What there is to filter by, with the number of clips (`gallery_view.about`). */
export interface GalleryAbout {
  storage: Storage;
  models: [model: string, clips: number][];
  sizes: [size: string, clips: number][];
  tasks: [task: Task, clips: number][];
  collections: Collection[];
}

/** A deletion that can be undone. */
export interface Deletion {
  ids: string[];
  /** Not deleted: still being made. */
  unfinished: string[];
  left_s: number;
}

/** What the gallery shows: the parameters of its address. */
export interface GalleryFilters {
  [name: string]: string;
}
