"""Samples one clip, with progress, previews, cancel and "finish now".

All four hang on the scheduler's `step`, which every pipeline calls; not all offer callbacks.
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
from typing_extensions import assert_never

from errors import Cancelled
from pipelines.control import Control
from pipelines.engine.families.base import FrameFamily, Inputs, LatentFamily
from pipelines.engine.frames import Frames, clip_of
from pipelines.engine.loaded import Loaded
from pipelines.engine.lora_adapters import apply_loras
from pipelines.engine.memory import out_of_memory_as_kinora_error
from pipelines.engine.patching import own_class
from pipelines.engine.preview import OnPreview, PreviewStream
from pipelines.engine.samplers import use_sampler
from pipelines.engine.truncation import report_truncation
from pipelines.engine.x0 import StepState, step_state, x0_estimate
from pipelines.models.pipeline_errors import pipeline_errors_as_kinora_errors
from pipelines.request import Adjustment, FittedRequest
from pipelines.sound import Sound

__all__ = ["Sampled", "SampledFrames", "SampledLatents", "Step", "denoise"]


@dataclass(frozen=True)
class Step:
    index: int
    """From 1 to `total`."""
    total: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _RunSummary:
    """What every run returns besides latents or frames."""

    sound: Sound | None
    """The decoded sound, of the few models that make it."""
    finished_early: bool
    steps_done: int
    seconds: dict[str, float]
    """Wall time of encode_prompt (everything before the first step) and denoise."""
    changes: tuple[dict[str, Any], ...] | None = None
    """Adjustments made while sampling, as dictionaries; kept in the checkpoint."""


@dataclass(frozen=True, kw_only=True)
class SampledLatents(_RunSummary):
    latents: torch.Tensor
    """[B, C, F, H, W], normalised, on the device."""
    noise: torch.Tensor | None
    """For timestep-conditioned decoders: drawn from the run's generator, shaped as the latents."""


@dataclass(frozen=True, kw_only=True)
class SampledFrames(_RunSummary):
    """Of a family whose pipelines decode by themselves (`FrameFamily`)."""

    frames: Frames


Sampled = SampledLatents | SampledFrames


class _FinishedEarly(BaseException):
    """Leaves the pipeline's loop with the predicted clean latents (x0). A BaseException, so that no
    `except Exception` of a pipeline can swallow it."""

    def __init__(self, x0: torch.Tensor) -> None:
        super().__init__()
        self.x0 = x0


class _Discarded(BaseException):
    """Leaves the pipeline's loop without a result. A BaseException for the same reason."""


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
    """Samples the clip of `fitted`, bit for bit as a plain call of the pipeline does.

    Raises Cancelled within one step after `control.cancelled()`, KinoraError(OUT_OF_MEMORY), and
    KinoraError(INVALID_INPUT) for a sampler or a LoRA that does not fit the model.
    """
    pipe, family = loaded.pipe, loaded.family
    preview_map = loaded.preview_map if on_preview else None
    recorded: dict[str, torch.Tensor] = {}

    with loaded.busy, ExitStack() as run:
        # 1. Cancelled before anything has begun
        if control.cancelled():
            raise Cancelled

        # 2. The arguments of the call, and what it needs on the pipeline. The generator is the only
        # source of randomness, so the seed alone reproduces a clip
        generator = torch.Generator(pipe._execution_device).manual_seed(fitted.seed)
        arguments = family.call_arguments(loaded.card, fitted, inputs)
        run.enter_context(family.temporary_settings(pipe, fitted))
        run.enter_context(use_sampler(pipe, fitted.sampler))
        run.enter_context(apply_loras(pipe, inputs.loras, on_change))
        run.enter_context(report_truncation(pipe, loaded.card.name, fitted, on_change))

        # 3. Progress, previews and stopping, hooked into the scheduler
        stream: PreviewStream | None = None
        if preview_map is not None and on_preview is not None:
            seconds = fitted.num_frames / fitted.fps
            stream = run.enter_context(PreviewStream(preview_map, on_preview, seconds))
        watch = _StepWatch(
            control=control,
            on_step=on_step,
            stream=stream,
            unpack=lambda x0: family.unpack_x0(pipe, x0, fitted, recorded),
            decodes_itself=isinstance(family, FrameFamily),
            interrupt=_interrupt_function(pipe),
        )
        # left in reverse: the scheduler is unhooked before `use_sampler` restores the model's own
        run.enter_context(family.record_inputs(pipe, recorded))
        run.enter_context(_watch_steps(pipe.scheduler, watch))
        # model offload leaves the last component on the GPU, also when the call raises
        run.callback(pipe.maybe_free_model_hooks)
        run.enter_context(pipeline_errors_as_kinora_errors(loaded.card))
        run.enter_context(out_of_memory_as_kinora_error())

        # 4. The pipeline's call: ends with its last step, "finish now", or a cancel
        output: Any = None
        x0: torch.Tensor | None = None
        output_type = "np" if isinstance(family, FrameFamily) else "latent"
        try:
            output = pipe(**arguments, generator=generator, output_type=output_type)
            finished_early = watch.interrupted
        except _FinishedEarly as early:
            x0 = watch.unpack(early.x0)
            finished_early = watch.index < watch.total
        except _Discarded:
            raise Cancelled from None

        # 5. The sound, which some models sample together with the video
        rest = {
            "sound": family.decode_audio(pipe, output, fitted, recorded),
            "finished_early": finished_early,
            "steps_done": watch.index,
            "seconds": {
                "encode_prompt": watch.loop_began - watch.began,
                "denoise": watch.last_step_at - watch.loop_began,
            },
        }

        # 6. Latents or frames. The decoder's noise is drawn last, from the same generator, as the
        # plain call does
        match family:
            case FrameFamily():
                return SampledFrames(frames=family.to_frames(clip_of(output)), **rest)
            case LatentFamily():
                latents = family.unpack_latents(pipe, output.frames, fitted) if x0 is None else x0
                noise = family.decode_noise(pipe, latents, generator, fitted)
                return SampledLatents(latents=latents, noise=noise, **rest)
            case _:
                assert_never(family)


@dataclass
class _StepWatch:
    """Counts steps, reports them, and ends the run when it is requested.

    Schedulers of order 2 (Heun) are called twice for one inference step. Such calls count as one
    step, as in `num_inference_steps`; between them only a cancel is possible.
    """

    control: Control
    on_step: Callable[[Step], None]
    stream: PreviewStream | None
    unpack: Callable[[torch.Tensor], torch.Tensor]
    decodes_itself: bool = False
    """The pipeline decodes as well, so its loop must end by itself."""
    interrupt: Callable[[], None] | None = None
    """Makes the pipeline skip the rest of its loop; None where it cannot."""
    interrupted: bool = False
    index: int = 0
    total: int = 0
    began: float = field(default_factory=time.perf_counter)
    loop_began: float = 0.0
    last_step_at: float = 0.0
    _earlier: int = 0
    """Steps before the timesteps were last set: some pipelines sample in several rounds."""
    _first: int | None = None
    """Where in the schedule this round began: video-to-video skips the beginning by `strength`."""
    _position: int = -1

    def before_loop(self) -> None:
        """Called when the timesteps are set: the prompt is encoded, the loop begins."""
        if self.control.cancelled():
            raise _Discarded
        if self.index == 0:  # later rounds belong to the loop
            self.loop_began = self.last_step_at = time.perf_counter()
        self._earlier, self._first = self.index, None

    def before_step(self, state: StepState) -> None:
        if self.control.cancelled():
            raise _Discarded
        if self._first is None:
            self._first = _schedule_position(state)
            self._position = self._first
        else:
            self._position = state.index if state.index is not None else self._position + 1

    def after_step(
        self, state: StepState, output: torch.Tensor, sample: torch.Tensor
    ) -> torch.Tensor | None:
        """The x0 that replaces the step's result if the pipeline has to skip the rest of its loop,
        else None. Raises _FinishedEarly or _Discarded where the run ends here."""
        if not self._counted(state.scheduler):  # the first call of a second-order step
            if self.control.cancelled():
                raise _Discarded
            return None
        now = time.perf_counter()
        seconds, self.last_step_at = now - self.last_step_at, now
        self.on_step(Step(self.index, self.total, seconds))
        if self.control.cancelled():
            raise _Discarded
        # the last step ends by itself; a pipeline that decodes needs a way to skip its loop
        finish = self.control.finish_now() and self.index < self.total
        finish = finish and not (self.decodes_itself and self.interrupt is None)
        show = self.stream is not None and self.stream.is_due(
            self.index, last=finish or self.index >= self.total, step_seconds=seconds
        )
        x0 = x0_estimate(state, output, sample) if finish or show else None
        if x0 is None:  # not needed, or an unknown scheduler: then "finish now" has no effect
            return None
        if show and self.stream is not None:
            self.stream.submit(self.index, lambda: self.unpack(x0))
        if not finish:
            return None
        if not self.decodes_itself or self.interrupt is None:
            raise _FinishedEarly(x0)
        self.interrupt()
        self.interrupted = True
        return x0

    def _counted(self, scheduler: Any) -> bool:
        """Whether an inference step is complete with this call of `step`; updates the counts."""
        first, order = self._first or 0, getattr(scheduler, "order", 1)
        calls = len(scheduler.timesteps) - first
        done = self._position - first + 1
        # rounded up: the last step of a second-order scheduler is a single call
        complete = -(-calls // order) if done >= calls else done // order
        if self._earlier + complete <= self.index:
            return False
        self.index = self._earlier + complete
        self.total = max(self._earlier - (-calls // order), self.index)
        return True


def _schedule_position(state: StepState) -> int:
    """The index into the scheduler's timesteps."""
    if state.index is not None:
        return state.index
    places = (state.scheduler.timesteps == state.timestep).nonzero()
    return int(places[0]) if len(places) else 0


def _interrupt_function(pipe: Any) -> Callable[[], None] | None:
    # diffusers' convention: a property `interrupt` that the loop checks, over this attribute
    if not hasattr(type(pipe), "interrupt"):
        return None
    return lambda: setattr(pipe, "_interrupt", True)


def _replace_sample(stepped: Any, sample: torch.Tensor) -> Any:
    """The result of `scheduler.step` with another sample: the first of a tuple, or
    `prev_sample`."""
    if isinstance(stepped, tuple):
        return (sample.to(stepped[0].dtype), *stepped[1:])
    stepped.prev_sample = sample.to(stepped.prev_sample.dtype)
    return stepped


@contextmanager
def _watch_steps(scheduler: Any, watch: _StepWatch) -> Iterator[None]:
    """Calls `watch` around `step` and after `set_timesteps` of this one scheduler.

    By a class of its own, not by attributes: a pipeline that deep-copies its scheduler (LTX-2, for
    the sound) would copy the attributes as well, and steps of the copy would be counted. Raises
    RuntimeError where another run uses the scheduler.
    """
    original = type(scheduler)
    signature = inspect.signature(original.step)

    @functools.wraps(original.set_timesteps)
    def set_timesteps(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original.set_timesteps(self, *args, **kwargs)
        if self is scheduler:
            watch.before_loop()
        return result

    @functools.wraps(original.step)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not scheduler:
            return original.step(self, *args, **kwargs)
        arguments = signature.bind(self, *args, **kwargs).arguments
        state = step_state(self, arguments["timestep"], arguments.get("per_token_timesteps"))
        watch.before_step(state)
        result = original.step(self, *args, **kwargs)
        replacement = watch.after_step(state, arguments["model_output"], arguments["sample"])
        return result if replacement is None else _replace_sample(result, replacement)

    with own_class(scheduler, {"step": step, "set_timesteps": set_timesteps}):
        yield
