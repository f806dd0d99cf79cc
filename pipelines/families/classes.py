"""Which family a pipeline class of diffusers belongs to, by name. Light.

A test holds this table against what the families say of themselves.
"""

from __future__ import annotations

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
