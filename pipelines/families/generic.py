"""Any other video pipeline of diffusers, by what its class says of itself.

The pipeline makes its own frames, so they are right whatever its latents look like; previews are
drawn where the latents can be read. `generic_card` is light: no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from errors import ErrorCode, KinoraError
from pipelines.cards import CardLimits, Defaults, ModelCard, Needs
from pipelines.failures import Reason, failure
from pipelines.families.base import Family, Inputs
from pipelines.families.calls import FRAMES, REQUIRED, Call, call_of
from pipelines.families.rules import Steps
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    import torch

    from pipelines.repository import Index

GIVEN = ("prompt", "image", "video", "height", "width", "num_inference_steps", "guidance_scale")
"""Required arguments that a person, or a card, always gives."""
TEMPORAL = ("temporal_compression_ratio", "scale_factor_temporal", "temporal_compression")
FROM_A_PICTURE = re.compile(r"ImageToVideo|Image2Video|I2V")
USUAL_SIDE, USUAL_FRAMES, USUAL_FPS, USUAL_STEPS = 512, 49, 16, 30
LARGEST_SIDE, SMALLEST_SIDE = 1280, 64


class Generic(Family):
    pipelines = {}  # noqa: RUF012  # every card of this family names its class

    output_type = "np"

    def __init__(self) -> None:
        self._pixels: Any = None
        self._latents: Any = None

    def cell(self, pipe: Any) -> int:
        names = ("vae_scale_factor_spatial", "vae_spatial_compression_ratio", "vae_scale_factor")
        return next((v for n in names if isinstance(v := getattr(pipe, n, None), int)), 8)

    def per_latent(self, pipe: Any) -> int:
        names = ("vae_scale_factor_temporal", "vae_temporal_compression_ratio")
        return next((v for n in names if isinstance(v := getattr(pipe, n, None), int)), 1)

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        call = call_of(card.classes[fitted.task])
        if call is None:  # the card was made with another diffusers
            raise failure(Reason.UNKNOWN_CLASS, card.name, card.classes[fitted.task])
        given: dict[str, Any] = {
            "prompt": fitted.prompt,
            "negative_prompt": fitted.negative_prompt or None,
            "width": fitted.width,
            "height": fitted.height,
            "num_inference_steps": fitted.num_inference_steps,
            "guidance_scale": fitted.guidance_scale,
            "frame_rate": fitted.fps,
            "fps": fitted.fps,
            "image": inputs.image,
            "last_image": inputs.last_image,
            "video": list(inputs.video) or None,
            "strength": fitted.strength,
        }
        given |= dict.fromkeys(FRAMES, fitted.num_frames)
        wanted = {k: v for k, v in given.items() if v is not None and call.takes(k)}
        return wanted | card.call

    def latents_of(self, pipe: Any, output: Any, fitted: FittedRequest) -> torch.Tensor:
        """The frames themselves, and for who looks at the latents those that were last seen."""
        import torch

        frames = torch.as_tensor(output)[:1]
        self._pixels = (frames * 255).round().to(torch.uint8).permute(0, 4, 1, 2, 3)
        latents, self._latents = self._latents, None
        return self._pixels if latents is None else latents

    def x0_latents(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        self._latents = self._read(pipe, x0, fitted)
        return self._latents

    def decode_noise(
        self, pipe: Any, latents: torch.Tensor, generator: torch.Generator, fitted: FittedRequest
    ) -> torch.Tensor | None:
        """What decoding needs is the frames that are there already."""
        pixels, self._pixels = self._pixels, None
        return pixels

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        pixels = latents if noise is None else noise
        return pixels.float() / 127.5 - 1

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        from pipelines.families.stills import encode_stills

        vae = pipe.vae
        if type(vae).__name__ == "AutoencoderKL":
            return encode_stills(vae, pixels)
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float()
        mean, deviation = _statistics(vae, latents)
        return (latents - mean) / deviation

    def _read(self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest) -> torch.Tensor:
        """As [B, C, F, H, W], if it is those five in some order."""
        channels = _latent_channels(pipe.vae)
        frames = (fitted.num_frames - 1) // self.per_latent(pipe) + 1
        place = (fitted.height // self.cell(pipe), fitted.width // self.cell(pipe))
        shape = tuple(x0.shape[1:])
        if shape == (channels, frames, *place):
            return x0
        if shape == (frames, channels, *place):
            return x0.permute(0, 2, 1, 3, 4)
        if shape == (frames, *place, channels):
            return x0.permute(0, 4, 1, 2, 3)
        if shape == (channels, *place) and x0.shape[0] == frames:
            return x0.unsqueeze(0).permute(0, 2, 1, 3, 4)
        raise ValueError(f"latents of a shape that nobody can read here: {tuple(x0.shape)}")


def _latent_channels(vae: Any) -> int:
    return int(vae.config.get("latent_channels") or vae.config.get("z_dim") or 0)


def _statistics(vae: Any, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and deviation that make its latents normal; refuses to guess."""
    import torch

    def per_channel(values: Any) -> torch.Tensor:
        return torch.as_tensor(values).to(latents).view(1, -1, 1, 1, 1)

    config = vae.config
    scale = config.get("scaling_factor") or 1.0
    mean = config.get("latents_mean")
    deviation = config.get("latents_std")
    if mean is not None and deviation is not None:
        return per_channel(mean), per_channel(deviation) / scale
    if not config.get("scaling_factor"):
        raise ValueError(f"the scale of {type(vae).__name__}'s latents is not known here")
    return per_channel([config.get("shift_factor") or 0.0]), per_channel([1 / scale])


# -- the card ------------------------------------------------------------------------------------


def generic_card(name: str, index: Index, configs: Mapping[str, Mapping[str, object]]) -> ModelCard:
    """A card from model_index.json and the components' configurations. Refuses, in a sentence, what
    makes no videos or wants what nobody here can give."""
    call = call_of(index.class_name)
    if call is None:
        raise failure(Reason.UNKNOWN_CLASS, name, index.class_name)
    if not call.returns_frames or "scheduler" not in index.components:
        raise failure(Reason.NOT_VIDEO, name, index.class_name)
    wanting = [
        each
        for each, default in call.parameters.items()
        if default is REQUIRED and each not in GIVEN
    ]
    if wanting:
        raise KinoraError(
            ErrorCode.MODEL_REFUSED,
            f"{name} needs {wanting[0].replace('_', ' ')}, which Kinora cannot give it. "
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


def _tasks(call: Call) -> tuple[Task, ...]:
    """What its inputs allow; a picture or a clip that may be left out adds a task."""
    tasks: list[Task] = []
    starts_from_image = call.requires("image") or bool(FROM_A_PICTURE.search(call.class_name))
    works_over = call.requires("video") or (call.takes("video") and call.takes("strength"))
    if call.takes("prompt") and not starts_from_image and not call.requires("video"):
        tasks.append(Task.TEXT_TO_VIDEO)
    if call.takes("image"):
        tasks.append(Task.IMAGE_TO_VIDEO)
    if works_over and not call.requires("image"):
        tasks.append(Task.VIDEO_TO_VIDEO)
    if not call.frames_name and tasks != [Task.VIDEO_TO_VIDEO]:
        tasks = [task for task in tasks if task is Task.VIDEO_TO_VIDEO]
    return tuple(tasks)


def _frame_rule(vae: Mapping[str, object]) -> Steps:
    """The first picture stands alone, the others come in groups."""
    if vae.get("_class_name") == "AutoencoderKL":
        return Steps(of=1)
    ratio = next((vae[name] for name in TEMPORAL if isinstance(vae.get(name), int)), None)
    halvings = vae.get("temperal_downsample") or vae.get("temporal_downsample")
    if ratio is None and isinstance(halvings, list):
        ratio = 2 ** sum(bool(each) for each in halvings)
    return Steps(of=max(1, int(str(ratio or 4))), plus=1)


def _defaults(
    call: Call, configs: Mapping[str, Mapping[str, object]], side: Steps, frames: Steps
) -> Defaults:
    denoiser = configs.get("transformer") or configs.get("unet") or {}

    def number(name: str | None, *others: object) -> float | None:
        values = (call.parameters.get(name) if name else None, *others)
        return next((v for v in values if isinstance(v, int | float) and v), None)

    def length(name: str) -> int:
        sample = denoiser.get(f"sample_{name}") or denoiser.get("sample_size")
        pixels = sample * 8 if isinstance(sample, int) else None
        wanted = number(name, pixels, USUAL_SIDE) or USUAL_SIDE
        return side.nearest(wanted, side.of, max(side.of, int(wanted)))

    count = number(call.frames_name, denoiser.get("sample_frames"), USUAL_FRAMES) or USUAL_FRAMES
    return Defaults(
        width=length("width"),
        height=length("height"),
        num_frames=frames.nearest(count, 1, int(count)),
        fps=int(number("frame_rate", call.parameters.get("fps"), USUAL_FPS) or USUAL_FPS),
        num_inference_steps=int(number("num_inference_steps") or USUAL_STEPS),
        guidance_scale=max(1.0, float(number("guidance_scale") or 1.0)),
        strength=number("strength") if call.takes("video") else None,
    )


def _limits(defaults: Defaults, side: Steps, frames: Steps) -> CardLimits:
    """Wide: what a model never made it may make badly, and says so itself when it cannot."""

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
