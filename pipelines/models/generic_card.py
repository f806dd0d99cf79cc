"""A card for a pipeline class that has no family of its own, read from its signature."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from errors import ErrorCode, KinoraError
from pipelines.models.call_signatures import REQUIRED, CallSignature, call_signature
from pipelines.models.cards import CardLimits, Defaults, ModelCard, Needs
from pipelines.models.failures import Reason, failure
from pipelines.models.rules import Steps
from pipelines.request import Task

if TYPE_CHECKING:
    from pipelines.models.repository import Index


KNOWN_ARGUMENTS = (
    "prompt",
    "image",
    "video",
    "height",
    "width",
    "num_inference_steps",
    "guidance_scale",
)
"""Required arguments that a request or a card always has."""

TEMPORAL_RATIO_NAMES = (
    "temporal_compression_ratio",
    "scale_factor_temporal",
    "temporal_compression",
)

IMAGE_TO_VIDEO_NAME = re.compile(r"ImageToVideo|Image2Video|I2V")

DEFAULT_SIDE, DEFAULT_FRAMES, DEFAULT_FPS, DEFAULT_STEPS = 512, 49, 16, 30

LARGEST_SIDE, SMALLEST_SIDE = 1280, 64


def generic_card(name: str, index: Index, configs: Mapping[str, Mapping[str, object]]) -> ModelCard:
    """A card from model_index.json and the components' configurations (component -> config.json).

    Raises KinoraError(MODEL_REFUSED) for a pipeline that makes no videos or requires an argument
    that no request has."""
    call = call_signature(index.class_name)
    if call is None:
        raise failure(Reason.UNKNOWN_CLASS, name, index.class_name)
    if not call.returns_frames or "scheduler" not in index.components:
        raise failure(Reason.NOT_VIDEO, name, index.class_name)
    missing = [
        each
        for each, default in call.parameters.items()
        if default is REQUIRED and each not in KNOWN_ARGUMENTS
    ]
    if missing:
        raise KinoraError(
            ErrorCode.MODEL_REFUSED,
            f"{name} needs {missing[0].replace('_', ' ')}, which Kinora cannot give it. "
            "Choose another model.",
            details={"reason": "not_video", "model": name},
        )
    tasks = _tasks(call)
    if not tasks:
        raise failure(Reason.NOT_VIDEO, name, index.class_name)
    side = Steps(of=call.side or 16)
    frames = _frame_rule(configs.get("vae", {}))
    defaults = _defaults(call, configs, side, frames)
    return ModelCard(
        id="generic",
        name=name,
        family="generic",
        repo=name,
        tasks=tasks,
        license="see the model's page",
        about=f"A {index.class_name}.",
        classes=dict.fromkeys(tasks, index.class_name),
        takes={
            "prompt": call.takes("prompt"),
            "negative_prompt": call.takes("negative_prompt"),
            "guidance": call.takes("guidance_scale"),
            "last_image": call.takes("last_image"),
        },
        defaults=defaults,
        limits=_limits(defaults, side, frames),
        needs=Needs(ram_gb=1, disk_gb=0.01),
        size=side,
        frames=frames,
    )


def _tasks(call: CallSignature) -> tuple[Task, ...]:
    """The tasks that its arguments allow; an optional image or video adds one."""
    tasks: list[Task] = []
    starts_from_image = call.requires("image") or bool(IMAGE_TO_VIDEO_NAME.search(call.class_name))
    works_over = call.requires("video") or (call.takes("video") and call.takes("strength"))
    if call.takes("prompt") and not starts_from_image and not call.requires("video"):
        tasks.append(Task.TEXT_TO_VIDEO)
    if call.takes("image"):
        tasks.append(Task.IMAGE_TO_VIDEO)
    if works_over and not call.requires("image"):
        tasks.append(Task.VIDEO_TO_VIDEO)
    # without a number of frames only a given clip can set the length
    if not call.frames_name and tasks != [Task.VIDEO_TO_VIDEO]:
        tasks = [task for task in tasks if task is Task.VIDEO_TO_VIDEO]
    return tuple(tasks)


def _frame_rule(vae: Mapping[str, object]) -> Steps:
    """A first frame of its own, then groups as long as the VAE's temporal compression."""
    if vae.get("_class_name") == "AutoencoderKL":
        return Steps(of=1)
    ratio = next(
        (vae[name] for name in TEMPORAL_RATIO_NAMES if isinstance(vae.get(name), int)), None
    )
    halvings = vae.get("temperal_downsample") or vae.get("temporal_downsample")
    if ratio is None and isinstance(halvings, list):
        ratio = 2 ** sum(bool(each) for each in halvings)
    return Steps(of=max(1, int(str(ratio or 4))), plus=1)


def _defaults(
    call: CallSignature, configs: Mapping[str, Mapping[str, object]], side: Steps, frames: Steps
) -> Defaults:
    denoiser = configs.get("transformer") or configs.get("unet") or {}

    def number(name: str | None, *others: object) -> float | None:
        values = (call.parameters.get(name) if name else None, *others)
        return next((v for v in values if isinstance(v, int | float) and v), None)

    def length(name: str) -> int:
        sample = denoiser.get(f"sample_{name}") or denoiser.get("sample_size")
        # in latents, of a VAE that compresses eight times, as most do
        pixels = sample * 8 if isinstance(sample, int) else None
        wanted_px = number(name, pixels, DEFAULT_SIDE) or DEFAULT_SIDE
        return side.nearest(wanted_px, side.of, max(side.of, int(wanted_px)))

    count = (
        number(call.frames_name, denoiser.get("sample_frames"), DEFAULT_FRAMES) or DEFAULT_FRAMES
    )
    return Defaults(
        width=length("width"),
        height=length("height"),
        num_frames=frames.nearest(count, 1, int(count)),
        fps=int(number("frame_rate", call.parameters.get("fps"), DEFAULT_FPS) or DEFAULT_FPS),
        num_inference_steps=int(number("num_inference_steps") or DEFAULT_STEPS),
        guidance_scale=max(1.0, float(number("guidance_scale") or 1.0)),
        strength=number("strength") if call.takes("video") else None,
    )


def _limits(defaults: Defaults, side: Steps, frames: Steps) -> CardLimits:
    """Wide limits: sizes that the model was not trained for may look bad, but are not refused."""

    def largest(length: int) -> int:
        return side.nearest(max(length, LARGEST_SIDE), side.of, max(length, LARGEST_SIDE))

    def smallest(length: int) -> int:
        return side.nearest(min(length, SMALLEST_SIDE), side.of, min(length, SMALLEST_SIDE))

    return CardLimits(
        min_width=smallest(defaults.width),
        max_width=largest(defaults.width),
        min_height=smallest(defaults.height),
        max_height=largest(defaults.height),
        min_frames=min(defaults.num_frames, frames.nearest(1 + frames.of, 1, 1 + frames.of)),
        max_frames=frames.nearest(2 * defaults.num_frames, 1, 2 * defaults.num_frames),
        max_steps=max(100, defaults.num_inference_steps),
        max_guidance=max(20.0, defaults.guidance_scale),
    )
