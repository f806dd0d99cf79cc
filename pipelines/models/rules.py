"""What each pipeline family accepts: sizes, frame counts, inputs, samplers. Cards may override
it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Steps(BaseModel):
    """The legal values `of * k + plus`, for k = 0, 1, 2 ..."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    of: int = Field(ge=1)
    plus: int = Field(default=0, ge=0)

    def nearest(self, value: float, low: int, high: int) -> int:
        """The legal count closest to `value` within [low, high]; of two equally close, the
        larger."""
        # bounds of k, rounded inwards
        first = max(0, -(-(low - self.plus) // self.of))
        last = max(first, (high - self.plus) // self.of)
        k = int((value - self.plus) / self.of + 0.5) if value >= self.plus else 0
        return self.of * min(max(k, first), last) + self.plus

    def allows(self, count: int) -> bool:
        return count >= self.plus and (count - self.plus) % self.of == 0


class Rules(BaseModel):
    """The booleans say which inputs the family's pipelines take; a card may switch some off."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    frames: Steps
    size: Steps
    prompt: bool = True
    negative_prompt: bool = True
    guidance: bool = True
    last_image: bool = False
    lead: bool = False
    """It can start from several frames, so that a continuation keeps the motion."""
    most_lead: int | None = None
    """It reads no more of them than these; None: as many as it is given."""
    strength: bool = True
    """Video-to-video starts from the clip with noise added to it; False where the clip only guides
    and `strength` has no effect."""
    strength_skips_steps: bool = True
    """That share of the steps is sampled; False where the clip is a condition of that weight."""
    steps: bool = True
    """The number of steps can be chosen; False where the pipeline has its own schedule."""
    motion: bool = False
    sound: bool = False
    lora: bool = False
    prompt_tokens: int | None = None
    """Tokens of the prompt that its pipelines read by default; None where they put the prompt into
    a template, so that only the worker can count what is left."""
    negative_by_guidance: bool = True
    """The negative prompt has no effect without classifier-free guidance."""
    upscale: bool = False
    """To twice the size; only for cards that name a `latent_upsampler`."""
    packages: tuple[str, ...] = ()
    """Python packages that its pipelines import and that are not required otherwise."""
    samplers: tuple[str, ...] = ()
    """Names of `pipelines/engine/samplers.py`; empty: only the model's own scheduler."""


DIFFUSION_SAMPLERS = ("ddim", "euler", "heun", "unipc", "dpm++")
FLOW_SAMPLERS = ("flow-euler", "flow-heun", "unipc", "dpm++")

RULES: dict[str, Rules] = {
    "ltx": Rules(
        prompt_tokens=128,
        frames=Steps(of=8, plus=1),
        size=Steps(of=32),
        strength_skips_steps=False,
        lora=True,
        upscale=True,
    ),
    "ltx2": Rules(
        negative_by_guidance=False,
        frames=Steps(of=8, plus=1),
        size=Steps(of=32),
        strength_skips_steps=False,
        last_image=True,
        lead=True,
        sound=True,
        lora=True,
    ),
    "skyreels": Rules(
        prompt_tokens=512,
        frames=Steps(of=4, plus=1),
        size=Steps(of=16),
        lora=True,
        samplers=FLOW_SAMPLERS,
    ),
    "skyreels_df": Rules(
        prompt_tokens=512,
        frames=Steps(of=4, plus=1),
        size=Steps(of=16),
        strength=False,  # it continues the clip
        lora=True,
    ),
    # whole windows of 33 frames, of which the decoder's last few are cut: n windows are 32 n + 1;
    # the pyramid starts at a quarter of the size, in patches of 2 x 2 latents
    "helios": Rules(
        prompt_tokens=512,
        frames=Steps(of=32, plus=1),
        size=Steps(of=64),
        lead=True,
        strength=False,  # it continues the clip
        lora=True,
    ),
    # the picture, then whole windows of 9 latent frames
    "framepack": Rules(
        negative_by_guidance=False,
        frames=Steps(of=36, plus=1),
        size=Steps(of=16),
        negative_prompt=False,
        lora=True,
    ),
    "chronoedit": Rules(
        prompt_tokens=512,
        frames=Steps(of=4, plus=1),
        size=Steps(of=16),
        lora=True,
    ),
    "lucy": Rules(
        prompt_tokens=512,
        frames=Steps(of=4, plus=1),
        size=Steps(of=16),
        strength=False,
        lora=True,
    ),
    "wan": Rules(
        prompt_tokens=512,
        frames=Steps(of=4, plus=1),
        size=Steps(of=16),
        lora=True,
        samplers=FLOW_SAMPLERS,
    ),
    "cogvideox": Rules(prompt_tokens=226, frames=Steps(of=8, plus=1), size=Steps(of=16), lora=True),
    "hunyuan": Rules(
        negative_by_guidance=False,
        frames=Steps(of=4, plus=1),
        size=Steps(of=16),
        negative_prompt=False,
        lora=True,
    ),
    "mochi": Rules(prompt_tokens=256, frames=Steps(of=6, plus=1), size=Steps(of=16), lora=True),
    "svd": Rules(
        frames=Steps(of=1), size=Steps(of=64), prompt=False, negative_prompt=False, motion=True
    ),
    "modelscope": Rules(
        prompt_tokens=77, frames=Steps(of=1), size=Steps(of=8), samplers=DIFFUSION_SAMPLERS
    ),
    "animatediff": Rules(
        prompt_tokens=77,
        frames=Steps(of=1),
        size=Steps(of=8),
        lora=True,
        samplers=DIFFUSION_SAMPLERS,
    ),
    "hunyuan15": Rules(frames=Steps(of=4, plus=1), size=Steps(of=16)),
    "latte": Rules(
        prompt_tokens=120, frames=Steps(of=16), size=Steps(of=16), samplers=DIFFUSION_SAMPLERS
    ),
    # its VAE's tiles overlap by fixed amounts: 24 + 16 k frames, 320 + 200 k by 320 + 240 k pixels
    "allegro": Rules(
        prompt_tokens=512,
        frames=Steps(of=16, plus=8),
        size=Steps(of=80),
        samplers=DIFFUSION_SAMPLERS,
    ),
    "generic": Rules(negative_by_guidance=False, frames=Steps(of=1), size=Steps(of=8)),
    "sana": Rules(frames=Steps(of=4, plus=1), size=Steps(of=32), lora=True, samplers=FLOW_SAMPLERS),
    "kandinsky5": Rules(
        frames=Steps(of=4, plus=1), size=Steps(of=16), lora=True, samplers=FLOW_SAMPLERS
    ),
    "kandinsky6": Rules(frames=Steps(of=4, plus=1), size=Steps(of=16), sound=True),
    "easyanimate": Rules(frames=Steps(of=4, plus=1), size=Steps(of=16)),
    "animatediff_sdxl": Rules(
        prompt_tokens=77, frames=Steps(of=1), size=Steps(of=8), samplers=DIFFUSION_SAMPLERS
    ),
    "ltx_long": Rules(frames=Steps(of=8, plus=1), size=Steps(of=32)),
    "motif": Rules(prompt_tokens=512, frames=Steps(of=4, plus=1), size=Steps(of=16)),
    # NVIDIA's licence of the models forbids running them without its guardrail
    "cosmos": Rules(
        prompt_tokens=512,
        frames=Steps(of=4, plus=1),
        size=Steps(of=16),
        lead=True,
        most_lead=5,
        strength=False,
        packages=("cosmos_guardrail", "torchvision"),
    ),
    "pia": Rules(
        prompt_tokens=77, frames=Steps(of=1), size=Steps(of=8), samplers=DIFFUSION_SAMPLERS
    ),
    "ltx2_in_context": Rules(
        negative_by_guidance=False,
        frames=Steps(of=8, plus=1),
        size=Steps(of=32),
        last_image=True,
        lead=True,
        strength=False,
        sound=True,
        lora=True,
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
    "SkyReelsV2DiffusionForcingPipeline": "skyreels_df",
    "SkyReelsV2DiffusionForcingImageToVideoPipeline": "skyreels_df",
    "SkyReelsV2DiffusionForcingVideoToVideoPipeline": "skyreels_df",
    "HeliosPipeline": "helios",
    "HeliosPyramidPipeline": "helios",
    "HunyuanVideoFramepackPipeline": "framepack",
    "ChronoEditPipeline": "chronoedit",
    "LucyEditPipeline": "lucy",
    "Kandinsky6TI2VAPipeline": "kandinsky6",
    "EasyAnimatePipeline": "easyanimate",
    "EasyAnimateInpaintPipeline": "easyanimate",
    "AnimateDiffSDXLPipeline": "animatediff_sdxl",
    "PIAPipeline": "pia",
    "LTXI2VLongMultiPromptPipeline": "ltx_long",
    "MotifVideoPipeline": "motif",
    "MotifVideoImage2VideoPipeline": "motif",
    "CosmosTextToWorldPipeline": "cosmos",
    "CosmosVideoToWorldPipeline": "cosmos",
    "Cosmos2VideoToWorldPipeline": "cosmos",
    "Cosmos2_5_PredictBasePipeline": "cosmos",
    "LTX2InContextPipeline": "ltx2_in_context",
}
