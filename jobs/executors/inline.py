"""InlineExecutor: clips are made in this very process. For ZeroGPU, where models live here.

There the GPU is lent per call: `spaces.GPU` forks this process for one clip, which sees neither our
locks nor our threads, and must not touch the database. So news comes back as the values of a
generator, and what people ask goes in as a small file beside the clip. Each call needs the web
request of somebody whose quota it takes: `drive` lends it, and the clip then goes on without the
page. One thread runs one clip at a time, so GPU work never overlaps.

Knows the desk and, where it is installed, `spaces`. Knows no page.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ErrorCode, KinoraError
from jobs.desk import Desk
from jobs.executors.base import Health, WorkerState
from jobs.job import Asked, Job
from jobs.run import as_kinora_error, run_job
from pipelines.cards import load_cards
from pipelines.choice import first_models
from pipelines.placement import Device, torch_device
from settings import Settings

if TYPE_CHECKING:
    from pipelines.manager import PipelineManager

log = logging.getLogger(__name__)

ASKED = "asked"
GPU_START_S = 10.0  # the fork, and the weights' way to the GPU
GPU_LONGEST_S = 240.0
DOUBT_S = 1.0  # until it is looked again what became of a clip

News = tuple[str, Any]
"""("event", (kind, data)) ... then ("done", Result) or ("failed", error as a dict)"""


class FileControl:
    """What a person asked, as a file: the one thing both sides of a fork can see."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / ASKED
        self._asked: str | None = None

    def cancelled(self) -> bool:
        return self._read() == "discard"

    def finish_now(self) -> bool:
        return self._read() == "finish"

    def _read(self) -> str | None:
        if self._asked != "discard" and self._file.exists():
            self._asked = self._file.read_text(encoding="utf-8")
        return self._asked


class InlineExecutor:
    def __init__(self, settings: Settings) -> None:
        self.needs_request = settings.zero_gpu
        self.in_foreground = False
        self._settings = settings
        self._changed = threading.Condition()
        self._requests: dict[str, contextvars.Context] = {}
        self._state: WorkerState = "starting"
        self._job: Job | None = None
        self._loading: dict[str, Any] | None = None
        self._error: dict[str, Any] | None = None
        self._device: Device | None = None
        self._closing = False
        self._news = False
        self._desk: Desk | None = None
        self._thread: threading.Thread | None = None
        self._gpu: Callable[..., Generator[News]] | None = None

    # -- for the service -------------------------------------------------------------------------

    def start(self, desk: Desk) -> None:
        """On ZeroGPU the models are loaded before this returns: it packs them at launch."""
        from pipelines.manager import PipelineManager

        self._desk = desk
        manager = PipelineManager(load_cards(self._settings.models_dir), self._settings)
        self._gpu = self._on_gpu(manager)
        if self.needs_request:
            self._preload(manager)
        else:
            self._device = torch_device()
            desk.judge_waiting()
        self._thread = threading.Thread(
            target=self._supervise, args=(desk, manager), name="inline-worker", daemon=True
        )
        self._thread.start()

    def notify(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def ask(self, job_id: str, what: Asked) -> None:
        if self._desk is None:
            return
        from media.files import whole

        with whole(self._desk.folder(job_id) / ASKED) as part:
            part.write_text(what, encoding="utf-8")

    def drive(self, job_id: str) -> None:
        with self._changed:
            self._requests.setdefault(job_id, contextvars.copy_context())
        self.notify()

    def resume(self, job: Job) -> bool:
        return False  # the worker went with its server

    def health(self) -> Health:
        with self._changed:
            return Health(
                state="busy" if self._job else self._state,
                job_id=self._job.id if self._job else None,
                loading=self._loading if self._state == "starting" else None,
                error=self._error,
                device=self._device,
            )

    def close(self, grace_s: float) -> None:
        if self._thread is None:
            return
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(grace_s)
        if self._thread.is_alive() and self._job and self._desk:
            self._desk.requeue(
                self._job, "Kinora was stopped; the clip is made anew.", refund_attempt=True
            )
            self.ask(self._job.id, "discard")
            self._thread.join(grace_s)

    # -- one clip after the other ----------------------------------------------------------------

    def _supervise(self, desk: Desk, manager: PipelineManager) -> None:
        if not self.needs_request:
            self._preload(manager)
        in_doubt = False
        while not self._closing:
            try:
                if in_doubt:
                    desk.settle()
                in_doubt = False
                if self._make_next(desk):
                    continue
            except Exception:  # whatever it was, the next visitor's clip is made
                log.exception("The inline worker stumbled; it looks what became of its clip.")
                in_doubt = True
            with self._changed:
                self._job = None
                patience_s = DOUBT_S if in_doubt else None
                self._changed.wait_for(lambda: self._news or self._closing, patience_s)
                self._news = False

    def _make_next(self, desk: Desk) -> bool:
        """False if nothing waits that can be made now."""
        job = desk.claim(self._drivable())
        if job is None:
            return False
        with self._changed:
            self._job = job
            request = self._requests.get(job.id) or contextvars.copy_context()
        request.run(self._make, desk, job)
        with self._changed:
            self._job = None
            for ended in [i for i in self._requests if self._is_over(desk, i)]:
                del self._requests[ended]
        return True

    def _make(self, desk: Desk, job: Job) -> None:
        assert self._gpu is not None  # noqa: S101 - start() has set it
        folder = desk.folder(job.id)
        (folder / ASKED).unlink(missing_ok=True)
        asked = desk.asked(job.id)
        if asked:
            self.ask(job.id, asked)
        seconds = self._gpu_seconds(desk, job)
        try:
            with contextlib.closing(self._gpu(job, folder, desk.pictures, seconds)) as told:
                self._follow(desk, job, told)
        finally:
            with contextlib.suppress(OSError):
                (folder / ASKED).unlink(missing_ok=True)

    def _follow(self, desk: Desk, job: Job, told: Iterator[News]) -> None:
        while True:
            try:
                kind, news = next(told)
            except StopIteration:  # it ended without a word
                return desk.lost(job)
            except Exception as error:  # anything that `spaces` raises where it lends no GPU
                self._gpu_refused(desk, job, error)
                return
            match kind:
                case "event":
                    desk.progress(job, *news)
                case "done":
                    return desk.succeed(job, news)
                case _:
                    return desk.fail(job, KinoraError.from_dict(news))

    def _gpu_refused(self, desk: Desk, job: Job, error: Exception) -> None:
        """What `spaces` raises: no quota, no GPU, a task that took too long, a page that closed."""
        sentence = str(getattr(error, "message", error))
        about = f"{getattr(error, 'title', '')} {sentence}"
        if "Connection closed by visitor" in about:
            with self._changed:
                self._requests.pop(job.id, None)
            desk.requeue(job, "The page closed before a GPU was free.", refund_attempt=True)
        elif "aborted" in about:
            desk.lost(job)
        elif type(error).__module__.startswith(("gradio", "spaces")):
            code = ErrorCode.RATE_LIMITED if "quota" in about else ErrorCode.UNAVAILABLE
            desk.fail(job, KinoraError(code, sentence))
        else:
            log.exception("No GPU was lent.", exc_info=error)
            desk.fail(job, KinoraError(ErrorCode.UNAVAILABLE, "No GPU could be had right now."))

    def _gpu_seconds(self, desk: Desk, job: Job) -> float:
        high = desk.estimator.estimate(job.fitted).high
        return min((GPU_START_S + high) * job.attempts, GPU_LONGEST_S)

    def _drivable(self) -> set[str] | None:
        if not self.needs_request:
            return None
        with self._changed:
            return set(self._requests)

    def _is_over(self, desk: Desk, job_id: str) -> bool:
        job = desk.store.get(job_id)
        return job is None or job.state.ended

    def _preload(self, manager: PipelineManager) -> None:
        def on_progress(progress: Any) -> None:
            self._loading = progress.as_event()

        settings = self._settings
        try:
            for model, task in first_models(manager.cards, settings):
                manager.get(model, task, on_progress)
            self._state = "ready"
        except Exception as error:
            log.exception("The default model could not be loaded.")
            known = error if isinstance(error, KinoraError) else as_kinora_error(error)
            self._error, self._state = known.as_dict(), "setup_failed"

    def _on_gpu(self, manager: PipelineManager) -> Callable[..., Generator[News]]:
        """`make` as it runs: forked and with a GPU on ZeroGPU, here anywhere else."""
        settings = self._settings

        def make(job: Job, folder: Path, pictures: Path, seconds: float) -> Generator[News]:
            return (yield from _news_of(job, manager, folder, pictures, settings))

        if not settings.zero_gpu:
            return make
        import spaces

        def duration(job: Job, folder: Path, pictures: Path, seconds: float) -> int:
            return round(seconds)

        return spaces.GPU(duration=duration)(make)


def _news_of(
    job: Job, manager: PipelineManager, folder: Path, pictures: Path, settings: Settings
) -> Generator[News]:
    """run_job turned inside out: what it emits is yielded while it works on a thread."""
    news: queue.SimpleQueue[News] = queue.SimpleQueue()
    control = FileControl(folder)

    def emit(kind: str, data: dict[str, Any]) -> None:
        news.put(("event", (kind, data)))

    def work() -> None:
        try:
            result = run_job(job, manager, emit, control, folder, pictures, settings)
            news.put(("done", result))
        except KinoraError as error:
            news.put(("failed", error.as_dict()))
        except BaseException:
            news.put(("failed", KinoraError(ErrorCode.INTERNAL).as_dict()))
            raise

    worker = threading.Thread(target=work, name="run-job", daemon=True)
    worker.start()
    try:
        while True:
            item = news.get()
            yield item
            if item[0] != "event":
                return
    finally:
        if worker.is_alive():  # whoever listened went away: stop at the next step
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ASKED).write_text("discard", encoding="utf-8")
        worker.join()
