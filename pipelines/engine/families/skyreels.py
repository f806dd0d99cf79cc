"""SkyReels-V2: Wan 2.1 grown on films; latents and decoder are Wan's.

The diffusion-forcing checkpoints are not here: their pipeline gives every latent frame a
scheduler of its own, so there is no step that all frames take together.
"""

from __future__ import annotations

from pipelines.engine.families.wan import Wan
from pipelines.request import Task


class SkyReels(Wan):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "SkyReelsV2Pipeline",
        Task.IMAGE_TO_VIDEO: "SkyReelsV2ImageToVideoPipeline",
    }
