"""Samples one clip, with progress, previews, cancel and "finish now" (`step_watch`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from typing_extensions import assert_never

from errors import Cancelled
from pipelines.control import Control
from pipelines.engine.families.base import Family, FrameFamily, Inputs, LatentFamily
from pipelines.engine.families.output_sound import has_sound
from pipelines.engine.frames import Frames, clip_of
from pipelines.engine.loaded import Loaded
from pipelines.engine.lora_adapters import apply_loras
from pipelines.engine.memory import out_of_memory_as_kinora_error
from pipelines.engine.preview import OnPreview, PreviewStream
from pipelines.engine.samplers import use_sampler
from pipelines.engine.step_count import Step, StepCount
from pipelines.engine.step_watch import Discarded, FinishedEarly, StepWatch, watch_steps
from pipelines.engine.truncation import report_truncation
from pipelines.models.frame_rule import count_rounds
from pipelines.models.pipeline_errors import pipeline_errors_as_kinora_errors
from pipelines.request import Adjustment, FittedRequest
from pipelines.sound import Sound

__all__ = ["Sampled", "SampledFrames", "SampledLatents", "Step", "denoise"]


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
    window: int | None = None
    """Of a long clip: which of its windows this is, from 0; kept in the checkpoint."""


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

        # 3. Progress, previews and stopping, hooked into the pipeline
        rounds = _count_rounds(pipe, family, arguments)
        stream: PreviewStream | None = None
        if preview_map is not None and on_preview is not None:
            # of several rounds, a preview shows one, or those so far
            ratio = family.temporal_compression(pipe)
            clip_latents = (fitted.num_frames - 1) // ratio + 1 if rounds > 1 else None
            seconds = fitted.num_frames / fitted.fps
            stream = run.enter_context(
                PreviewStream(preview_map, on_preview, seconds, clip_latents)
            )
        watch = StepWatch(
            control=control,
            on_step=on_step,
            stream=stream,
            unpack=lambda x0: family.unpack_x0(pipe, x0, fitted, recorded),
            decodes_itself=isinstance(family, FrameFamily),
            count=StepCount(rounds),
            declared_steps=lambda: getattr(pipe, "_num_timesteps", None),
        )
        # left in reverse: the scheduler is unhooked before `use_sampler` restores the model's own
        run.enter_context(family.record_inputs(pipe, recorded))
        run.enter_context(watch_steps(pipe, watch))
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
            finished_early = watch.finished_early
        except FinishedEarly as early:
            x0 = watch.unpack(early.x0)
            finished_early = True
        except Discarded:
            raise Cancelled from None

        # 5. The sound, which some models sample together with the video
        sound = family.decode_audio(pipe, output, fitted, recorded)
        if sound is None and has_sound(output):
            on_change(_lost_sound(loaded.card.name))
        rest = {
            "sound": sound,
            "finished_early": finished_early,
            "steps_done": watch.count.index,
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


def _count_rounds(pipe: Any, family: Family, arguments: dict[str, Any]) -> int:
    parameters = inspect.signature(type(pipe).__call__).parameters.values()
    defaults = {each.name: each.default for each in parameters}
    return count_rounds(defaults | arguments, family.temporal_compression(pipe))


def _lost_sound(model: str) -> Adjustment:
    return Adjustment(
        field="sound",
        asked="with sound",
        used="without sound",
        sentence=f"The clip is without its sound: {model} does not say how fast it plays.",
    )
