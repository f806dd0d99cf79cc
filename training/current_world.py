"""Selects the world to train on or evaluate: `KINORA_WORLD=storybook`, or `emoji`.

The default is `emoji`, the world of the shipped weights. Can go, with `emoji`, once storybook
weights are shipped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

NAME = os.environ.get("KINORA_WORLD", "emoji")
STORYBOOK = NAME == "storybook"

if TYPE_CHECKING or not STORYBOOK:
    from training.world.captions import caption, vocabulary
    from training.world.places import PLACE_NAMES, PLACES
    from training.world.render import FPS, FRAMES, SIDE, RenderedClip, render, render_labels
    from training.world.subjects import SUBJECT_NAMES, SUBJECTS

    COLOURS = ("",)
else:
    from training.storybook.captions import caption, vocabulary
    from training.storybook.places import PLACE_NAMES, PLACES
    from training.storybook.render import FPS, FRAMES, SIDE, RenderedClip, render, render_labels
    from training.storybook.subjects import COLOURS, SUBJECT_NAMES, SUBJECTS
if NAME not in ("emoji", "storybook"):
    raise ValueError(f"KINORA_WORLD={NAME}: expected emoji or storybook")

__all__ = [
    "COLOURS",
    "FPS",
    "FRAMES",
    "NAME",
    "PLACES",
    "PLACE_NAMES",
    "SIDE",
    "STORYBOOK",
    "SUBJECTS",
    "SUBJECT_NAMES",
    "RenderedClip",
    "caption",
    "render",
    "render_labels",
    "vocabulary",
]
