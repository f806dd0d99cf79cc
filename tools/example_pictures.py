"""`python -m tools.example_pictures`: draws the pictures that image to video offers to start from.

They are scenes of the storybook world of the training, so they need its requirements.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from settings import ROOT
from training.storybook.places import PLACES, backdrop
from training.storybook.render import draw_sprite
from training.storybook.subjects import LEVELS, SUBJECTS, sprite

FOLDER = ROOT / "presets" / "examples"
SIDE = 640
"""Square, so that it can be cropped to any shape."""
QUALITY = 88


class Scene(NamedTuple):
    subject: str
    place: str
    x: float
    """Centre and size as fractions of the picture."""
    y: float
    size: float
    seed: int


SCENES = (
    Scene("dog", "snow", 0.5, 0.66, 0.42, 1),
    Scene("rocket", "night", 0.5, 0.55, 0.42, 2),
    Scene("balloon", "mountains", 0.5, 0.45, 0.42, 4),
    Scene("boat", "ocean", 0.5, 0.55, 0.45, 5),
    Scene("butterfly", "meadow", 0.5, 0.45, 0.4, 6),
    Scene("car", "city", 0.5, 0.72, 0.42, 8),
)


def draw(scene: Scene) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3]."""
    subject = next(each for each in SUBJECTS if each.name == scene.subject)
    place = next(each for each in PLACES if each.name == scene.place)
    picture = backdrop(place, SIDE, SIDE, np.random.default_rng(scene.seed)).copy()
    levels = tuple(sprite(subject, subject.colours[0], side) for side in LEVELS)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    x, y, size = (SIDE * each for each in (scene.x, scene.y, scene.size))
    draw_sprite(picture, mask, levels, x, y, size, turn=0.0, mirror=False)
    return picture


def main() -> None:
    for scene in SCENES:
        path = FOLDER / f"{scene.subject}.webp"
        Image.fromarray(draw(scene)).save(path, quality=QUALITY)
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
