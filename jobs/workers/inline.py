"""InlineExecutor: clips are made in this process. For ZeroGPU, where models are in the web process.

There a GPU is attached per call: `spaces.GPU` forks this process for one clip. The fork sees
neither our locks nor our threads, and must not touch the database. So events come back as the
values of a generator, and stop requests go in as a small file beside the clip. Each call needs the
web request of a caller whose quota it takes: `drive` hands it over, and the clip is then made
without the page. What ZeroGPU answers is in `zerogpu`, the request of each clip in
`jobs/zerogpu_requests.py`. One thread runs one clip at a time, so GPU work never overlaps.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from errors import ErrorCode, KinoraError
from jobs.event_types import Failed, Loading, WorkerEvent
from jobs.executor import Health, WorkerState
from jobs.job import Asked, Job, Result
from jobs.lifecycle import JobLifecycle
from jobs.workers import zerogpu
from jobs.workers.run import as_kinora_error, run_job
from jobs.workers.zerogpu_grants import ASKED, FileControl, Grants, NoGpu
from jobs.zerogpu_requests import Drivers, Lent
from pipelines.models.cards import load_cards
from pipelines.models.selection import preload_models
from pipelines.planning import Device
from settings import Settings

if TYPE_CHECKING:
    from pipelines.engine.manager import LoadProgress, PipelineManager

log = logging.getLogger(__name__)

DOUBT_S = 1.0  # until it is looked again what became of a clip
IDLE_CHECK_S = 5.0

RunMessage = WorkerEvent | Result | Failed
"""Events, then the result or the failure."""


class InlineExecutor:
    def __init__(self, settings: Settings) -> None:
        self.needs_request = settings.zero_gpu
        self.in_foreground = False
        self.drivers = Drivers() if settings.zero_gpu else None
        self._settings = settings
        self._changed = threading.Condition()
        self._grants: Grants | None = None
        self._loaded: frozenset[str] = frozenset()
        self._state: WorkerState = "starting"
        self._job: Job | None = None
        self._loading: Loading | None = None
        self._error: dict[str, Any] | None = None
        self._device: Device | None = None
        self._closing = False
        self._stopped = threading.Event()
        self._news = False
        self._desk: JobLifecycle | None = None
        self._thread: threading.Thread | None = None
        self._gpu: dict[str | None, Callable[..., Generator[RunMessage]]] = {}

    # -- for the service -------------------------------------------------------------------------

    def start(self, desk: JobLifecycle) -> None:
        """On ZeroGPU the models are loaded before this returns: it packs them at launch."""
        from pipelines.engine.manager import PipelineManager

        self._desk = desk
        manager = PipelineManager(load_cards(self._settings.models_dir), self._settings)
        self._gpu = {None: self._on_gpu(manager)}
        if self.drivers is not None:
            zerogpu.install()
            self._gpu["xlarge"] = self._on_gpu(manager, "xlarge")
            self._grants = Grants(self._run, self.drivers, manager.cards, self._settings)
            self._preload(manager)
            threading.Thread(
                target=self._give_up_idle, args=(desk,), name="idle-clips", daemon=True
            ).start()
        else:
            from pipelines.engine.device import torch_device

            self._device = torch_device()
            desk.check_queued()
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
        from media.files import atomic_write

        with atomic_write(self._desk.folder(job_id) / ASKED) as part:
            part.write_text(what, encoding="utf-8")

    def drive(self, job_id: str, quota: str | None = None) -> None:
        drivers = self.drivers
        if drivers is not None and quota:
            with_quota(quota, lambda: drivers.lend(job_id))
        elif drivers is not None:
            drivers.lend(job_id)
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
            self._stopped.set()
            self._changed.notify_all()
        self._thread.join(grace_s)
        if self._thread.is_alive() and self._job and self._desk:
            self._desk.requeue(
                self._job, "Kinora was stopped; the clip is made anew.", refund_attempt=True
            )
            self.ask(self._job.id, "discard")
            self._thread.join(grace_s)

    # -- one clip after the other ----------------------------------------------------------------

    def _supervise(self, desk: JobLifecycle, manager: PipelineManager) -> None:
        if not self.needs_request:
            self._preload(manager)
        in_doubt = False
        while not self._closing:
            try:
                if in_doubt:
                    desk.recover_running()
                in_doubt = False
                if self._make_next(desk):
                    continue
            except Exception:  # whatever it was, the next visitor's clip is made
                log.exception("Inline worker failed; checking the state of its job.")
                in_doubt = True
            with self._changed:
                self._job = None
                patience_s = DOUBT_S if in_doubt else None
                self._changed.wait_for(lambda: self._news or self._closing, patience_s)
                self._news = False

    def _make_next(self, desk: JobLifecycle) -> bool:
        """False if nothing waits that can be made now."""
        job = desk.claim(self.drivers.drivable() if self.drivers else None)
        if job is None:
            return False
        lent = self.drivers.newest(job.id) if self.drivers else None
        with self._changed:
            self._job = job
        context = lent.context if lent else contextvars.copy_context()
        context.run(self._make, desk, job, lent)
        with self._changed:
            self._job = None
        if self.drivers is not None:
            # asked in this order: a clip that is accepted meanwhile keeps its request
            known = self.drivers.known()
            left = {job.id for job in desk.store.unfinished(desk.store.server)}
            self.drivers.forget(known - left)
        return True

    def _make(self, desk: JobLifecycle, job: Job, lent: Lent | None) -> None:
        folder = desk.folder(job.id)
        (folder / ASKED).unlink(missing_ok=True)
        asked = desk.stop_request(job.id)
        if asked:
            self.ask(job.id, asked)
        try:
            if self._grants is None:
                self._run(desk, job, 0, None)
            elif self._is_loaded(desk, job):
                self._grants.make(desk, job, lent)
        except NoGpu as error:
            log.exception("Job failed (job=%s).", job.id, exc_info=error.why)
            desk.fail(job, KinoraError(ErrorCode.UNAVAILABLE, "No GPU could be had right now."))
        finally:
            with contextlib.suppress(OSError):
                (folder / ASKED).unlink(missing_ok=True)

    def _run(self, desk: JobLifecycle, job: Job, seconds: int, size: str | None) -> None:
        """On a GPU that is asked for now, for so long."""
        call = self._gpu[size](job, desk.folder(job.id), desk.pictures, seconds)
        with contextlib.closing(call) as told:
            self._follow(desk, job, told)

    def _follow(self, desk: JobLifecycle, job: Job, told: Iterator[RunMessage]) -> None:
        """Writes down what comes, to the end. NoGpu where `spaces` raises."""
        while True:
            try:
                message = next(told)
            except StopIteration:  # it ended without a word
                return desk.worker_lost(job)
            except Exception as error:  # anything that `spaces` raises where it grants no GPU
                raise NoGpu(error) from error
            match message:
                case Result():
                    return desk.succeed(job, message)
                case Failed():
                    return desk.fail(job, message.to_error())
                case _:
                    desk.progress(job, message)

    def _is_loaded(self, desk: JobLifecycle, job: Job) -> bool:
        """A clip from before a restart may need a model that is not loaded any more: loading it
        would take its caller's GPU quota. False where it was refused."""
        if job.fitted.model in self._loaded or self._settings.heavy_models:
            return True
        sentence = "This model was not loaded when the Space started. Choose another model."
        desk.fail(job, KinoraError(ErrorCode.MODEL_LOAD, sentence))
        return False

    def _give_up_idle(self, desk: JobLifecycle) -> None:
        """Clips that nobody has driven for some minutes: nobody may come back for them."""
        assert self.drivers is not None  # noqa: S101 - started on ZeroGPU only
        sentence = (
            "The page was closed while this clip waited for a GPU, so it was given up. "
            "Make it again, and keep the page open until it begins."
        )
        while not self._closing:
            try:
                for job_id in self.drivers.given_up(desk.store.queued()[0]):
                    desk.fail_queued(job_id, KinoraError(ErrorCode.TIMEOUT, sentence))
            except KinoraError as error:
                log.warning("Idle clips could not be read, trying again: %s", error.message)
            self._stopped.wait(min(IDLE_CHECK_S, self.drivers.idle_s / 4))

    def _preload(self, manager: PipelineManager) -> None:
        def on_progress(progress: LoadProgress) -> None:
            self._loading = Loading.of(progress)

        settings = self._settings
        failed: set[str] = set()
        for model, task in preload_models(manager.cards, settings):
            if model in failed:
                continue
            try:
                manager.get(model, task, on_progress)
            except Exception as error:
                log.exception("Loading a default model failed (model=%s).", model)
                known = error if isinstance(error, KinoraError) else as_kinora_error(error)
                self._error = known.as_dict()
                failed.add(model)
        self._loaded = frozenset(manager.loaded())
        self._state = "setup_failed" if self._error else "ready"

    def _on_gpu(
        self, manager: PipelineManager, size: Literal["large", "xlarge"] | None = None
    ) -> Callable[..., Generator[RunMessage]]:
        """`make` as it runs: forked and with a GPU on ZeroGPU, here anywhere else."""
        settings = self._settings

        def make(job: Job, folder: Path, pictures: Path, seconds: int) -> Generator[RunMessage]:
            return (yield from _news_of(job, manager, folder, pictures, settings))

        if not settings.zero_gpu:
            return make
        import spaces

        def duration(job: Job, folder: Path, pictures: Path, seconds: int) -> int:
            return seconds

        return spaces.GPU(duration=duration, size=size)(make)


def _news_of(
    job: Job, manager: PipelineManager, folder: Path, pictures: Path, settings: Settings
) -> Generator[RunMessage]:
    """run_job turned inside out: what it emits is yielded while it works on a thread."""
    news: queue.SimpleQueue[RunMessage] = queue.SimpleQueue()
    control = FileControl(folder)

    def work() -> None:
        try:
            news.put(run_job(job, manager, news.put, control, folder, pictures, settings))
        except KinoraError as error:
            news.put(Failed.of(error))
        except BaseException:
            news.put(Failed.of(KinoraError(ErrorCode.INTERNAL)))
            raise

    worker = threading.Thread(target=work, name="run-job", daemon=True)
    worker.start()
    try:
        while True:
            item = news.get()
            yield item
            if isinstance(item, Result | Failed):
                return
    finally:
        if worker.is_alive():  # whoever listened went away: stop at the next step
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ASKED).write_text("discard", encoding="utf-8")
        worker.join()


TOKEN_HEADER = "x-ip-token"  # noqa: S105 - its name


class _Headers(dict[str, str]):
    """`spaces` wants an object that has attributes, and a `get`."""


class _Request:
    def __init__(self, token: str) -> None:
        self.headers = _Headers({TOKEN_HEADER: token, "x-gradio-user": "api"})


def with_quota(token: str, drive: Callable[[], None]) -> None:
    """Calls `drive` in a context in which `spaces` finds that token and nothing else."""
    from spaces.utils import gradio_request_var

    context = contextvars.copy_context()
    of_the_call: contextvars.ContextVar[Any] = gradio_request_var()
    context.run(of_the_call.set, _Request(token))
    context.run(drive)
