// @ts-check
/* The page's state, in one place: signals that components draw. `actions.js` and `clips.js` change
   it, and what happens in one tab is in that tab's part of it. */
import { signal } from "./html.js";
import { prefersReducedMotion } from "./motion.js";

/**
 * @import { Batch, Card, GradioPort, Job, PendingJob, PreviewInfo, HowMany, Plan, CroppedPicture, Problem, Task } from "./types.d.ts"
 */

/** The picture a tab's stage sends with every event. @typedef {Pick<CroppedPicture, "id" | "focus">} StageValue */

const NO_PREVIEW = { number: 0, frames: 0 };

export class TabState {
  /** @param {Task} task */
  constructor(task) {
    this.task = task;
    /** The job on the stage. */
    this.job = signal(/** @type {Job | PendingJob | null} */ (null));
    /** What was on the stage before a press that has no answer yet. */
    this.previous = /** @type {Job | null} */ (null);
    /** The batch whose grid is on the stage, or behind the one clip of it that is. */
    this.batch = signal(/** @type {Batch | null} */ (null));
    /** Whether the next answer leaves the grid behind its clip. */
    this.keepsBatch = false;
    /** The open connection that brings the batch's states. */
    this.batchSource = /** @type {EventSource | null} */ (null);
    /** The part of the page that starts drafts. @type {GradioPort<HowMany> | null} */
    this.explore = null;
    /** What the panel that is open would start. */
    this.plan = signal(/** @type {Plan | null} */ (null));
    /** The newest request for a plan: answers to older ones are not used. */
    this.planned = 0;
    /** Whether the clips of a grid play. */
    this.plays = signal(!prefersReducedMotion());
    /** Grows with each job that is put on the stage: the same one may come again. */
    this.turn = signal(0);
    /** A line that is shown instead of the job's own. */
    this.notice = signal(/** @type {string | null} */ (null));
    /** The job that was last requested to stop, and what is said until it does. */
    this.stopping = /** @type {{ id: string, line: string } | null} */ (null);
    /** The line while there is no job. */
    this.restLine = signal("");
    this.shape = signal({ width: 1, height: 1 });
    /** The preview that is shown. */
    this.preview = signal(/** @type {Pick<PreviewInfo, "number" | "frames">} */ (NO_PREVIEW));
    this.picture = signal(/** @type {CroppedPicture | null} */ (null));
    /** The newest upload of a picture: what arrives of an older one is not used. */
    this.upload = 0;
    this.card = signal(/** @type {Card | null} */ (null));
    /** Which model is being looked up, until its estimate is there. */
    this.lookup = signal(/** @type {string | null} */ (null));
    this.problem = signal(/** @type {{ shown: Problem, about: string } | null} */ (null));
    /** @type {GradioPort<StageValue | null> | null} */
    this.gradio = null;
    /** The open connection that brings the job's states. */
    this.source = /** @type {EventSource | null} */ (null);
    /** @type {(() => void)[]} */
    this.waiting = [];
  }

  /** @param {GradioPort<StageValue | null>} gradio */
  connect(gradio) {
    this.gradio = gradio;
    this.publishPicture();
    for (const callback of this.waiting.splice(0)) callback();
  }

  /**
   * Gradio builds a tab when it is first opened: now, or then.
   * @param {() => void} callback
   */
  whenConnected(callback) {
    if (this.gradio) callback();
    else this.waiting.push(callback);
  }

  /** @param {string} event @param {Record<string, unknown>} [data] */
  trigger(event, data = {}) {
    this.whenConnected(() => this.gradio?.trigger(event, data));
  }

  /** Gradio's copy of the picture: what is sent with a press. */
  publishPicture() {
    const picture = this.picture.peek();
    if (this.gradio) this.gradio.props.value = picture && { id: picture.id, focus: picture.focus };
  }

  clearPreview() {
    this.preview.value = NO_PREVIEW;
  }
}

export const store = {
  /** @type {Record<Task, TabState>} */
  tabs: { t2v: new TabState("t2v"), i2v: new TabState("i2v"), v2v: new TabState("v2v") },
  /** This visitor's clips, by id, those that are being made included. */
  clips: signal(/** @type {ReadonlyMap<string, Job>} */ (new Map())),
  /** The last one in the list, if there are older ones on the server. */
  oldest: signal(/** @type {string | null} */ (null)),
  visitor: signal({
    /** Whether the browser keeps the cookie: what most do, until the server has answered. */
    hasCookie: true,
    /** Whether a reload of this tab finds the clips again. */
    survivesReload: true,
    /** The name sent with every request; null where the cookie holds it. */
    name: /** @type {string | null} */ (null),
  }),
};

/** @param {Pick<Job, "state"> | null | undefined} job */
export const isActive = (job) => job?.state === "queued" || job?.state === "running";
