"""SkyReels-V2: Wan 2.1 trained further on films, with Wan's latents and decoder. The checkpoints
for diffusion forcing are a family of their own (`skyreels_df.py`)."""

from __future__ import annotations

from pipelines.engine.families.wan import Wan
from pipelines.request import Task


class SkyReels(Wan):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "SkyReelsV2Pipeline",
        Task.IMAGE_TO_VIDEO: "SkyReelsV2ImageToVideoPipeline",
    }
