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
}
