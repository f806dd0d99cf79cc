"""InlineExecutor: runs jobs in this process, for ZeroGPU, where models are in the web process.

ZeroGPU attaches a GPU per call: `spaces.GPU` forks this process for one job. The fork has neither
our locks nor our threads, and must not use the database. So its events come back as the values of a
generator, and stop requests go in as a small file in the job's folder. Each call uses the GPU quota
of a caller's web request, which `drive` stores (`jobs/zerogpu_requests.py`). One thread runs one
job at a time, so GPU work never overlaps.
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
from jobs.executor import ExecutorHealth, WorkerState
from jobs.job import Job, Result, WorkerStop
from jobs.lifecycle import JobLifecycle
from jobs.paused_gc import paused_gc
from jobs.queue import Lane
from jobs.workers import zerogpu
from jobs.workers.run import as_kinora_error, run_job
from jobs.workers.zerogpu_grants import STOP_FILE, FileControl, Grants, NoGpu
from jobs.zerogpu_requests import CallerRequest, Drivers
from pipelines.models.cards import load_cards
from pipelines.models.selection import preload_models
from pipelines.planning import Device
from settings import Settings

if TYPE_CHECKING:
    from pipelines.engine.manager import LoadProgress, PipelineManager

log = logging.getLogger(__name__)

RETRY_S = 1.0  # until the state of a job is checked again
IDLE_CHECK_S = 5.0

RunMessage = WorkerEvent | Result | Failed
"""Events, then the result or the failure."""


class InlineExecutor:
    def __init__(self, settings: Settings, lane: Lane = "all") -> None:
        self._lane: Lane = lane
        self.needs_request = settings.zero_gpu
        self.in_foreground = False
        self.has_lanes = False
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
        self._has_new_job = False
        self._lifecycle: JobLifecycle | None = None
        self._thread: threading.Thread | None = None
        self._gpu: dict[str | None, Callable[..., Generator[RunMessage]]] = {}
        self._run_here: Callable[[Job, Path, Path], Generator[RunMessage]] | None = None
        """Runs an edit in this process, without a GPU."""

    # -- for the service -------------------------------------------------------------------------

    def start(self, lifecycle: JobLifecycle) -> None:
        """On ZeroGPU the models are loaded before this returns, because it packs them at launch."""
        with paused_gc():
            from pipelines.engine.manager import PipelineManager

        self._lifecycle = lifecycle
        manager = PipelineManager(load_cards(self._settings.models_dir), self._settings)
        self._gpu = {None: self._on_gpu(manager)}
        self._run_here = lambda job, folder, pictures: _run_messages(
            job, manager, folder, pictures, self._settings
        )
        if self.drivers is not None:
            zerogpu.install()
            self._gpu["xlarge"] = self._on_gpu(manager, "xlarge")
            self._grants = Grants(self._run, self.drivers, manager.cards, self._settings)
            self._preload(manager)
            threading.Thread(
                target=self._fail_idle, args=(lifecycle,), name="idle-clips", daemon=True
            ).start()
        else:
            from pipelines.engine.torch_device import torch_device

            self._device = torch_device()
            lifecycle.check_queued()
        self._thread = threading.Thread(
            target=self._supervise, args=(lifecycle, manager), name="inline-worker", daemon=True
        )
        self._thread.start()

    def notify(self) -> None:
        with self._changed:
            self._has_new_job = True
            self._changed.notify_all()

    def request_stop(self, job_id: str, what: WorkerStop) -> None:
        if self._lifecycle is None:
            return
        from media.files import atomic_write

        with atomic_write(self._lifecycle.folder(job_id) / STOP_FILE) as part:
            part.write_text(what, encoding="utf-8")

    def drive(self, job_id: str, quota: str | None = None) -> None:
        drivers = self.drivers
        if drivers is not None and quota:
            with_quota(quota, lambda: drivers.add(job_id))
        elif drivers is not None:
            drivers.add(job_id)
        self.notify()

    def resume(self, job: Job) -> bool:
        return False  # the worker ended with its server

    def health(self) -> ExecutorHealth:
        with self._changed:
            return ExecutorHealth(
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
        if self._thread.is_alive() and self._job and self._lifecycle:
            self._lifecycle.requeue(
                self._job, "Kinora was stopped; the clip is made again.", refund_attempt=True
            )
            self.request_stop(self._job.id, "discard")
            self._thread.join(grace_s)

    # -- one job after the other -----------------------------------------------------------------

    def _supervise(self, lifecycle: JobLifecycle, manager: PipelineManager) -> None:
        if not self.needs_request:
            self._preload(manager)
        in_doubt = False
        while not self._closing:
            try:
                if in_doubt:
                    lifecycle.recover_running(self._lane)
                in_doubt = False
                if self._run_next(lifecycle):
                    continue
            except Exception:  # the thread must survive to run the next job
                log.exception("Inline worker failed; checking the state of its job.")
                in_doubt = True
            with self._changed:
                self._job = None
                timeout_s = RETRY_S if in_doubt else None
                self._changed.wait_for(lambda: self._has_new_job or self._closing, timeout_s)
                self._has_new_job = False

    def _run_next(self, lifecycle: JobLifecycle) -> bool:
        """Runs the next job; False if there is none that can run now."""
        job = lifecycle.claim(self._runnable(lifecycle), self._lane)
        if job is None:
            return False
        request = self.drivers.newest(job.id) if self.drivers else None
        with self._changed:
            self._job = job
        context = request.context if request else contextvars.copy_context()
        context.run(self._make, lifecycle, job, request)
        with self._changed:
            self._job = None
        if self.drivers is not None:
            # in this order: a job that is accepted in between keeps its request
            known = self.drivers.known()
            left = {job.id for job in lifecycle.store.unfinished(lifecycle.store.server)}
            self.drivers.forget(known - left)
        return True

    def _runnable(self, lifecycle: JobLifecycle) -> set[str] | None:
        """Which queued jobs can run now: on ZeroGPU those with a web request, and edits, which need
        no GPU. None: all."""
        if self.drivers is None:
            return None
        edits = {job.id for job in lifecycle.store.queued()[0] if job.is_edit}
        return self.drivers.drivable() | edits

    def _make(self, lifecycle: JobLifecycle, job: Job, request: CallerRequest | None) -> None:
        folder = lifecycle.folder(job.id)
        (folder / STOP_FILE).unlink(missing_ok=True)
        what = lifecycle.stop_request(job.id)
        if what:
            self.request_stop(job.id, what)
        try:
            if job.edit and self._run_here:
                call = self._run_here(job, folder, lifecycle.pictures)
                with contextlib.closing(call) as messages:
                    self._follow(lifecycle, job, messages)
            elif self._grants is None:
                self._run(lifecycle, job, 0, None)
            elif self._is_loaded(lifecycle, job):
                self._grants.make(lifecycle, job, request)
        except NoGpu as error:
            log.exception("Job failed (job=%s).", job.id, exc_info=error.why)
            lifecycle.fail(
                job, KinoraError(ErrorCode.UNAVAILABLE, "No GPU is available right now.")
            )
        finally:
            with contextlib.suppress(OSError):
                (folder / STOP_FILE).unlink(missing_ok=True)

    def _run(self, lifecycle: JobLifecycle, job: Job, seconds: int, size: str | None) -> None:
        """Requests a GPU for that many seconds and runs the job on it. Raises NoGpu."""
        call = self._gpu[size](job, lifecycle.folder(job.id), lifecycle.pictures, seconds)
        with contextlib.closing(call) as messages:
            self._follow(lifecycle, job, messages)

    def _follow(self, lifecycle: JobLifecycle, job: Job, messages: Iterator[RunMessage]) -> None:
        """Stores the messages until the last one. Raises NoGpu where `spaces` raises."""
        while True:
            try:
                message = next(messages)
            except StopIteration:  # it ended without a result
                return lifecycle.worker_lost(job)
            except Exception as error:  # anything that `spaces` raises where it grants no GPU
                raise NoGpu(error) from error
            match message:
                case Result():
                    return lifecycle.succeed(job, message)
                case Failed():
                    return lifecycle.fail(job, message.to_error())
                case _:
                    lifecycle.progress(job, message)

    def _is_loaded(self, lifecycle: JobLifecycle, job: Job) -> bool:
        """False if the job was failed: a job from before a restart may need a model that is not
        loaded any more, and loading it would take its caller's GPU quota."""
        if job.fitted.model in self._loaded or self._settings.heavy_models:
            return True
        sentence = "This model was not loaded when the Space started. Choose another model."
        lifecycle.fail(job, KinoraError(ErrorCode.MODEL_LOAD, sentence))
        return False

    def _fail_idle(self, lifecycle: JobLifecycle) -> None:
        """Fails queued jobs that had no web request for some minutes."""
        assert self.drivers is not None  # noqa: S101 - started on ZeroGPU only
        sentence = (
            "The page was closed while this clip waited for a GPU, so it was given up. "
            "Make it again, and keep the page open until it begins."
        )
        while not self._closing:
            try:
                for job_id in self.drivers.idle_too_long(lifecycle.store.queued()[0]):
                    lifecycle.fail_queued(job_id, KinoraError(ErrorCode.TIMEOUT, sentence))
            except KinoraError as error:
                log.warning("Reading idle jobs failed, retrying: %s", error.message)
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
                with paused_gc():
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
        """Runs a job: in a fork with a GPU on ZeroGPU, elsewhere in this process."""
        settings = self._settings

        def make(job: Job, folder: Path, pictures: Path, seconds: int) -> Generator[RunMessage]:
            return (yield from _run_messages(job, manager, folder, pictures, settings))

        if not settings.zero_gpu:
            return make
        import spaces

        def duration(job: Job, folder: Path, pictures: Path, seconds: int) -> int:
            return seconds

        return spaces.GPU(duration=duration, size=size)(make)


def _run_messages(
    job: Job, manager: PipelineManager, folder: Path, pictures: Path, settings: Settings
) -> Generator[RunMessage]:
    """Runs `run_job` in a thread and yields what it emits, then its result or failure."""
    messages: queue.SimpleQueue[RunMessage] = queue.SimpleQueue()
    control = FileControl(folder)

    def work() -> None:
        try:
            messages.put(run_job(job, manager, messages.put, control, folder, pictures, settings))
        except KinoraError as error:
            messages.put(Failed.of(error))
        except BaseException:
            messages.put(Failed.of(KinoraError(ErrorCode.INTERNAL)))
            raise

    worker = threading.Thread(target=work, name="run-job", daemon=True)
    worker.start()
    try:
        while True:
            item = messages.get()
            yield item
            if isinstance(item, Result | Failed):
                return
    finally:
        if worker.is_alive():  # nobody reads the messages any more: stop at the next step
            folder.mkdir(parents=True, exist_ok=True)
            (folder / STOP_FILE).write_text("discard", encoding="utf-8")
        worker.join()


TOKEN_HEADER = "x-ip-token"  # noqa: S105 - its name


class _Headers(dict[str, str]):
    """`spaces` needs an object with attributes and a `get`."""


class _Request:
    def __init__(self, token: str) -> None:
        self.headers = _Headers({TOKEN_HEADER: token, "x-gradio-user": "api"})


def with_quota(token: str, drive: Callable[[], None]) -> None:
    """Calls `drive` in a context in which `spaces` finds only that token."""
    from spaces.utils import gradio_request_var

    context = contextvars.copy_context()
    request_var: contextvars.ContextVar[Any] = gradio_request_var()
    context.run(request_var.set, _Request(token))
    context.run(drive)
