"""One run of the sampler: progress, previews, cancel and finish, all on one hook.

The hook is a wrapped `scheduler.step`, which every family calls once per step, whether or not
its pipeline offers callbacks. Knows nothing of jobs: it talks through its arguments.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from errors import Cancelled
from pipelines.failures import memory_sentences
from pipelines.families.base import Inputs
from pipelines.manager import Loaded
from pipelines.preview import OnPreview, Preview, PreviewStream
from pipelines.request import FittedRequest

__all__ = ["Control", "Preview", "Sampled", "Step", "denoise"]


class Control(Protocol):
    """What a person may want in the middle of a run. Asked often: must be quick."""

    def cancelled(self) -> bool: ...

    def finish_now(self) -> bool: ...


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
    finished_early: bool
    steps_done: int
    seconds: dict[str, float]
    """encode_prompt (everything before the first step) and denoise."""


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

        # 3. The hook
        stream: PreviewStream | None = None
        if preview_map is not None and on_preview is not None:
            seconds = fitted.num_frames / fitted.fps
            stream = run.enter_context(PreviewStream(preview_map, on_preview, seconds))
        watch = _Watch(
            scheduler=pipe.scheduler,
            control=control,
            on_step=on_step,
            stream=stream,
            unpack=lambda x0: family.x0_latents(pipe, x0, fitted, held),
        )
        run.enter_context(family.watched(pipe, held))
        run.enter_context(_hooked(pipe.scheduler, watch))
        run.callback(pipe.maybe_free_model_hooks)
        run.enter_context(memory_sentences())

        # 4. The loop, ended by its last step, by "finish now", or by "discard"
        try:
            output = pipe(**arguments, generator=generator, output_type="latent")
            latents = family.latents_of(pipe, output.frames, fitted)
            finished_early = False
        except _FinishedEarly as early:
            latents = watch.unpack(early.x0)
            finished_early = watch.index < watch.total
        except _Discarded:
            raise Cancelled from None

        # 5. What decoding needs of the same generator
        noise = family.decode_noise(pipe, latents, generator, fitted)

    return Sampled(
        latents=latents,
        noise=noise,
        finished_early=finished_early,
        steps_done=watch.index,
        seconds={
            "encode_prompt": watch.loop_began - watch.began,
            "denoise": watch.last_step_at - watch.loop_began,
        },
    )


@dataclass
class _Watch:
    """Sees each step: counts it, tells it, and asks whether to go on."""

    scheduler: Any
    control: Control
    on_step: Callable[[Step], None]
    stream: PreviewStream | None
    unpack: Callable[[torch.Tensor], torch.Tensor]
    index: int = 0
    total: int = 0
    began: float = field(default_factory=time.perf_counter)
    loop_began: float = 0.0
    last_step_at: float = 0.0

    def before_loop(self) -> None:
        if self.control.cancelled():
            raise _Discarded
        self.loop_began = self.last_step_at = time.perf_counter()

    def before_step(self) -> None:
        if self.control.cancelled():
            raise _Discarded

    def after_step(self, model_output: torch.Tensor, sample: torch.Tensor) -> None:
        now = time.perf_counter()
        seconds, self.last_step_at = now - self.last_step_at, now
        self.index += 1
        self.total = len(self.scheduler.timesteps)
        self.on_step(Step(self.index, self.total, seconds))
        if self.control.cancelled():
            raise _Discarded
        finish = self.control.finish_now() and self.index < self.total
        show = self.stream is not None and self.stream.wants(
            self.index, last=finish or self.index >= self.total, step_seconds=seconds
        )
        if not (finish or show):
            return
        x0 = x0_estimate(self.scheduler, model_output, sample)
        if show and self.stream is not None:
            self.stream.offer(self.index, lambda: self.unpack(x0))
        if finish:
            raise _FinishedEarly(x0)


def x0_estimate(scheduler: Any, model_output: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
    """The clean latents a flow-matching model means, asked right after its step was taken."""
    sigma = scheduler.sigmas[scheduler.step_index - 1]
    return sample.float() - sigma.to(sample.device) * model_output.float()


@contextmanager
def _hooked(scheduler: Any, watch: _Watch) -> Iterator[None]:
    """Wrap `step` and `set_timesteps` on this one scheduler, and take it back whatever happens."""
    step, set_timesteps = scheduler.step, scheduler.set_timesteps
    if "step" in vars(scheduler) or "set_timesteps" in vars(scheduler):
        raise RuntimeError("this scheduler is hooked already: two runs share one pipeline")

    @functools.wraps(set_timesteps)
    def set_timesteps_and_tell(*args: Any, **kwargs: Any) -> Any:
        result = set_timesteps(*args, **kwargs)
        watch.before_loop()
        return result

    @functools.wraps(step)
    def step_and_tell(
        model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        watch.before_step()
        result = step(model_output, timestep, sample, *args, **kwargs)
        watch.after_step(model_output, sample)
        return result

    scheduler.step, scheduler.set_timesteps = step_and_tell, set_timesteps_and_tell
    try:
        yield
    finally:
        del scheduler.step, scheduler.set_timesteps
