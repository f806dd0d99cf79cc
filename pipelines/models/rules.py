"""What each pipeline family accepts and offers: sizes, frame counts, controls. Light: no torch.

Knows families by name. Does not know cards, which may override a family's rule.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Steps(BaseModel):
    """Legal counts are `of * k + plus`, for k = 0, 1, 2 ..."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    of: int = Field(ge=1)
    plus: int = Field(default=0, ge=0)

    def nearest(self, asked: float, low: int, high: int) -> int:
        """The legal count closest to `asked` within [low, high]; of two as close, the larger."""
        first = max(0, -(-(low - self.plus) // self.of))
        last = max(first, (high - self.plus) // self.of)
        k = int((asked - self.plus) / self.of + 0.5) if asked >= self.plus else 0
        return self.of * min(max(k, first), last) + self.plus

    def allows(self, count: int) -> bool:
        return count >= self.plus and (count - self.plus) % self.of == 0


class Rules(BaseModel):
    """The controls are what the family's pipelines take; a card may take some away."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    frames: Steps
    size: Steps
    prompt: bool = True
    negative_prompt: bool = True
    guidance: bool = True
    last_image: bool = False
    lead: bool = False
    """It can start from several frames, so that what goes on from a clip keeps its motion."""
    motion: bool = False
    sound: bool = False
    lora: bool = False
    reads: int | None = None
    """Tokens of the prompt, where its pipelines are not given another number; None where they put
    the words into a template, so that only the worker knows how many of them are left."""
    negative_by_guidance: bool = True
    """A negative prompt works by guidance alone: without it there is none."""
    upscale: bool = False
    """To twice the size; of a family, only those cards that name a `latent_upsampler`."""
    samplers: tuple[str, ...] = ()
    """The choices, named as in `pipelines/engine/samplers.py`; empty: the model's own alone."""


DIFFUSION_SAMPLERS = ("ddim", "euler", "heun", "unipc", "dpm++")
FLOW_SAMPLERS = ("flow-euler", "flow-heun", "unipc", "dpm++")

RULES: dict[str, Rules] = {
    "ltx": Rules(reads=128, frames=Steps(of=8, plus=1), size=Steps(of=32), lora=True, upscale=True),
    "ltx2": Rules(
        negative_by_guidance=False,
        frames=Steps(of=8, plus=1),
        size=Steps(of=32),
        last_image=True,
        lead=True,
        sound=True,
        lora=True,
    ),
    "skyreels": Rules(
        reads=512, frames=Steps(of=4, plus=1), size=Steps(of=16), lora=True, samplers=FLOW_SAMPLERS
    ),
    "wan": Rules(
        reads=512, frames=Steps(of=4, plus=1), size=Steps(of=16), lora=True, samplers=FLOW_SAMPLERS
    ),
    "cogvideox": Rules(reads=226, frames=Steps(of=8, plus=1), size=Steps(of=16), lora=True),
    "hunyuan": Rules(
        negative_by_guidance=False,
        frames=Steps(of=4, plus=1),
        size=Steps(of=16),
        negative_prompt=False,
        lora=True,
    ),
    "mochi": Rules(reads=256, frames=Steps(of=6, plus=1), size=Steps(of=16), lora=True),
    "svd": Rules(
        frames=Steps(of=1), size=Steps(of=64), prompt=False, negative_prompt=False, motion=True
    ),
    "modelscope": Rules(
        reads=77, frames=Steps(of=1), size=Steps(of=8), samplers=DIFFUSION_SAMPLERS
    ),
    "animatediff": Rules(
        reads=77, frames=Steps(of=1), size=Steps(of=8), lora=True, samplers=DIFFUSION_SAMPLERS
    ),
    "hunyuan15": Rules(frames=Steps(of=4, plus=1), size=Steps(of=16)),
    "latte": Rules(reads=120, frames=Steps(of=16), size=Steps(of=16), samplers=DIFFUSION_SAMPLERS),
    # its VAE's tiles overlap by fixed amounts: 24 + 16 k frames, 320 + 200 k by 320 + 240 k pixels
    "allegro": Rules(
        reads=512, frames=Steps(of=16, plus=8), size=Steps(of=80), samplers=DIFFUSION_SAMPLERS
    ),
    "generic": Rules(negative_by_guidance=False, frames=Steps(of=1), size=Steps(of=8)),
    "sana": Rules(frames=Steps(of=4, plus=1), size=Steps(of=32), lora=True, samplers=FLOW_SAMPLERS),
    "kandinsky5": Rules(
        frames=Steps(of=4, plus=1), size=Steps(of=16), lora=True, samplers=FLOW_SAMPLERS
    ),
}


FAMILY_OF_CLASS: dict[str, str] = {
    "LTXPipeline": "ltx",
    "LTXImageToVideoPipeline": "ltx",
    "LTXConditionPipeline": "ltx",
    "StableVideoDiffusionPipeline": "svd",
    "TextToVideoSDPipeline": "modelscope",
    "VideoToVideoSDPipeline": "modelscope",
    "AnimateDiffPipeline": "animatediff",
    "CogVideoXPipeline": "cogvideox",
    "CogVideoXImageToVideoPipeline": "cogvideox",
    "CogVideoXVideoToVideoPipeline": "cogvideox",
    "HunyuanVideoPipeline": "hunyuan",
    "HunyuanVideoImageToVideoPipeline": "hunyuan",
    "HunyuanVideo15Pipeline": "hunyuan15",
    "HunyuanVideo15ImageToVideoPipeline": "hunyuan15",
    "MochiPipeline": "mochi",
    "LattePipeline": "latte",
    "AllegroPipeline": "allegro",
    "SanaVideoPipeline": "sana",
    "SanaImageToVideoPipeline": "sana",
    "Kandinsky5T2VPipeline": "kandinsky5",
    "Kandinsky5I2VPipeline": "kandinsky5",
    "WanPipeline": "wan",
    "WanImageToVideoPipeline": "wan",
    "WanVideoToVideoPipeline": "wan",
    "WanVACEPipeline": "wan",
    "LTX2Pipeline": "ltx2",
    "LTX2ConditionPipeline": "ltx2",
    "LTX2ImageToVideoPipeline": "ltx2",
    "SkyReelsV2Pipeline": "skyreels",
    "SkyReelsV2ImageToVideoPipeline": "skyreels",
}
