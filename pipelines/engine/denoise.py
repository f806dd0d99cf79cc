"""One run of the sampler: progress, previews, cancel and finish, all on one hook.

The hook is the scheduler's own `step`, which every family calls, whether or not its pipeline
offers callbacks. Knows nothing of jobs: it talks through its arguments.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from errors import Cancelled
from pipelines.control import Control
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import Loaded
from pipelines.engine.lora_adapters import applied
from pipelines.engine.memory import memory_sentences
from pipelines.engine.preview import OnPreview, PreviewStream
from pipelines.engine.samplers import sampled_with
from pipelines.engine.truncation import unread_words
from pipelines.engine.x0 import StepState, moment, x0_estimate
from pipelines.request import Adjustment, FittedRequest
from pipelines.sound import Sound

__all__ = ["Sampled", "Step", "denoise"]


@dataclass(frozen=True)
class Step:
    index: int
    """From 1 to `total`."""
    total: int
    seconds: float


@dataclass(frozen=True)
class Sampled:
    latents: torch.Tensor
    """Normalised [B, C, F, H, W], on the device."""
    noise: torch.Tensor | None
    """What the decoder wants besides, for the few that do: hand it to `decode`."""
    sound: Sound | None
    """What is heard, for the few that make it: hand it to `encode`."""
    finished_early: bool
    steps_done: int
    seconds: dict[str, float]
    """encode_prompt (everything before the first step) and denoise."""
    changes: tuple[dict[str, Any], ...] | None = None
    """What was not done as asked, as dictionaries; kept with the latents."""


class _FinishedEarly(BaseException):
    """Leaves the pipeline's loop with the best estimate so far; a BaseException, so that no
    pipeline's own `except Exception` can swallow it."""

    def __init__(self, x0: torch.Tensor) -> None:
        super().__init__()
        self.x0 = x0


class _Discarded(BaseException):
    """Leaves the pipeline's loop with nothing."""


@torch.no_grad()
def denoise(
    loaded: Loaded,
    fitted: FittedRequest,
    inputs: Inputs,
    control: Control,
    on_step: Callable[[Step], None],
    on_preview: OnPreview | None = None,
    on_change: Callable[[Adjustment], None] = lambda _change: None,
) -> Sampled:
    """Raises `Cancelled` within one step of the wish."""
    pipe, family = loaded.pipe, loaded.family
    preview_map = loaded.preview_map if on_preview else None
    held: dict[str, torch.Tensor] = {}

    with loaded.busy, ExitStack() as run:
        # 1. Nothing has begun: the cheapest moment to be told no
        if control.cancelled():
            raise Cancelled

        # 2. The call, but for what only we add
        generator = torch.Generator(pipe._execution_device).manual_seed(fitted.seed)
        arguments = family.call_arguments(loaded.card, fitted, inputs)
        run.enter_context(family.configured(pipe, fitted))
        run.enter_context(sampled_with(pipe, fitted.sampler))
        run.enter_context(applied(pipe, inputs.loras, on_change))
        run.enter_context(unread_words(pipe, loaded.card.name, fitted, on_change))

        # 3. The hook
        stream: PreviewStream | None = None
        if preview_map is not None and on_preview is not None:
            seconds = fitted.num_frames / fitted.fps
            stream = run.enter_context(PreviewStream(preview_map, on_preview, seconds))
        watch = _Watch(
            control=control,
            on_step=on_step,
            stream=stream,
            unpack=lambda x0: family.x0_latents(pipe, x0, fitted, held),
            draws_itself=family.output_type != "latent",
            interrupt=_interrupter(pipe),
        )
        run.enter_context(family.watched(pipe, held))
        run.enter_context(_hooked(pipe.scheduler, watch))
        run.callback(pipe.maybe_free_model_hooks)
        run.enter_context(memory_sentences())

        # 4. The loop, ended by its last step, by "finish now", or by "discard"
        output: Any = None
        try:
            output = pipe(**arguments, generator=generator, output_type=family.output_type)
            latents = family.latents_of(pipe, output.frames, fitted)
            finished_early = watch.interrupted
        except _FinishedEarly as early:
            latents = watch.unpack(early.x0)
            finished_early = watch.index < watch.total
        except _Discarded:
            raise Cancelled from None

        # 5. What decoding needs of the same generator
        noise = family.decode_noise(pipe, latents, generator, fitted)

        # 6. The sound, which comes with the pictures and not from them
        sound = family.sound_of(pipe, output, fitted, held)

    return Sampled(
        latents=latents,
        noise=noise,
        sound=sound,
        finished_early=finished_early,
        steps_done=watch.index,
        seconds={
            "encode_prompt": watch.loop_began - watch.began,
            "denoise": watch.last_step_at - watch.loop_began,
        },
    )


@dataclass
class _Watch:
    """Sees each step: counts it, tells it, and asks whether to go on.

    Schedulers of order 2 (Heun) are called twice for one inference step; whatever takes several
    calls counts as one, as the person asked for it, and only discarding comes in between.
    """

    control: Control
    on_step: Callable[[Step], None]
    stream: PreviewStream | None
    unpack: Callable[[torch.Tensor], torch.Tensor]
    draws_itself: bool = False
    """The pipeline makes the frames too, so its loop must end by itself."""
    interrupt: Callable[[], None] | None = None
    """Makes it skip the rest of its loop, where it can."""
    interrupted: bool = False
    index: int = 0
    total: int = 0
    began: float = field(default_factory=time.perf_counter)
    loop_began: float = 0.0
    last_step_at: float = 0.0
    _earlier: int = 0
    """Steps done before the timesteps were last set: some pipelines work in rounds."""
    _first: int | None = None
    """Where in the schedule this round began: a given clip's strength cuts the beginning."""
    _position: int = -1

    def before_loop(self) -> None:
        if self.control.cancelled():
            raise _Discarded
        if self.index == 0:
            self.loop_began = self.last_step_at = time.perf_counter()
        self._earlier, self._first = self.index, None

    def before_step(self, at: StepState) -> None:
        if self.control.cancelled():
            raise _Discarded
        if self._first is None:
            self._first = _position_of(at)
            self._position = self._first
        else:
            self._position = at.index if at.index is not None else self._position + 1

    def after_step(
        self, at: StepState, output: torch.Tensor, sample: torch.Tensor
    ) -> torch.Tensor | None:
        """The estimate with which the pipeline should go on instead, if it is to end here."""
        if not self._counted(at.scheduler):
            if self.control.cancelled():
                raise _Discarded
            return None
        now = time.perf_counter()
        seconds, self.last_step_at = now - self.last_step_at, now
        self.on_step(Step(self.index, self.total, seconds))
        if self.control.cancelled():
            raise _Discarded
        finish = self.control.finish_now() and self.index < self.total
        finish = finish and not (self.draws_itself and self.interrupt is None)
        show = self.stream is not None and self.stream.wants(
            self.index, last=finish or self.index >= self.total, step_seconds=seconds
        )
        x0 = x0_estimate(at, output, sample) if finish or show else None
        if x0 is None:  # nobody asks, or no one knows this scheduler: then the run goes on
            return None
        if show and self.stream is not None:
            self.stream.offer(self.index, lambda: self.unpack(x0))
        if not finish:
            return None
        if not self.draws_itself or self.interrupt is None:
            raise _FinishedEarly(x0)
        self.interrupt()
        self.interrupted = True
        return x0

    def _counted(self, scheduler: Any) -> bool:
        """Is an inference step complete with this call?"""
        first, order = self._first or 0, getattr(scheduler, "order", 1)
        calls = len(scheduler.timesteps) - first
        done = self._position - first + 1
        complete = -(-calls // order) if done >= calls else done // order
        if self._earlier + complete <= self.index:
            return False
        self.index = self._earlier + complete
        self.total = max(self._earlier - (-calls // order), self.index)
        return True


def _position_of(at: StepState) -> int:
    """Where in the schedule this moment is."""
    if at.index is not None:
        return at.index
    places = (at.scheduler.timesteps == at.timestep).nonzero()
    return int(places[0]) if len(places) else 0


def _interrupter(pipe: Any) -> Callable[[], None] | None:
    if not hasattr(type(pipe), "interrupt"):
        return None
    return lambda: setattr(pipe, "_interrupt", True)


def _with_sample(stepped: Any, sample: torch.Tensor) -> Any:
    """What a step returned, with another sample in it: a tuple's first, or `prev_sample`."""
    if isinstance(stepped, tuple):
        return (sample.to(stepped[0].dtype), *stepped[1:])
    stepped.prev_sample = sample.to(stepped.prev_sample.dtype)
    return stepped


@contextmanager
def _hooked(scheduler: Any, watch: _Watch) -> Iterator[None]:
    """Watch `step` and `set_timesteps` of this one scheduler, and take it back whatever happens.

    By a class of its own, not by attributes: a pipeline that deep-copies its scheduler (LTX-2, for
    the sound) would copy an attribute along, and the copy would move the original.
    """
    kind = type(scheduler)
    if hasattr(kind, "_watched_by_kinora"):
        raise RuntimeError("this scheduler is hooked already: two runs share one pipeline")
    signature = inspect.signature(kind.step)

    @functools.wraps(kind.set_timesteps)
    def set_timesteps(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = kind.set_timesteps(self, *args, **kwargs)
        if self is scheduler:
            watch.before_loop()
        return result

    @functools.wraps(kind.step)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not scheduler:
            return kind.step(self, *args, **kwargs)
        given = signature.bind(self, *args, **kwargs).arguments
        at = moment(self, given["timestep"], given.get("per_token_timesteps"))
        watch.before_step(at)
        result = kind.step(self, *args, **kwargs)
        instead = watch.after_step(at, given["model_output"], given["sample"])
        return result if instead is None else _with_sample(result, instead)

    members = {"step": step, "set_timesteps": set_timesteps, "_watched_by_kinora": True}
    scheduler.__class__ = type(kind.__name__, (kind,), members | {"__module__": kind.__module__})
    try:
        yield
    finally:
        scheduler.__class__ = kind
