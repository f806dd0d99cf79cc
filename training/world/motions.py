"""The ten motions: random paths of position, size and rotation over a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator


@dataclass(frozen=True)
class Path:
    """A subject's path, one value per frame.

    x, y: centre, and size: side, as fractions of the frame; turn: rotation about the vertical axis,
    in radians.
    """

    x: np.ndarray
    y: np.ndarray
    size: np.ndarray
    turn: np.ndarray


@dataclass(frozen=True)
class Motion:
    name: str
    words: tuple[str, ...]
    """`{go}` is replaced by the subject's verb: running, flying, swimming ..."""


MOTIONS: tuple[Motion, ...] = (
    Motion(
        "left",
        (
            "{go} to the left",
            "moving left",
            "{go} left",
            "heading left",
            "going from right to left",
        ),
    ),
    Motion(
        "right",
        (
            "{go} to the right",
            "moving right",
            "{go} right",
            "heading right",
            "going from left to right",
        ),
    ),
    Motion("up", ("{go} up", "moving up", "rising", "going upwards", "taking off", "climbing up")),
    Motion(
        "down",
        ("{go} down", "moving down", "falling", "going downwards", "landing", "sinking down"),
    ),
    Motion(
        "bounce", ("bouncing", "jumping up and down", "hopping", "bouncing up and down", "jumping")
    ),
    Motion(
        "spin", ("spinning", "spinning around", "turning around itself", "rotating", "twirling")
    ),
    Motion(
        "closer",
        (
            "coming closer",
            "approaching",
            "{go} towards us",
            "getting bigger",
            "coming towards the camera",
        ),
    ),
    Motion(
        "away",
        ("going away", "{go} away", "getting smaller", "disappearing in the distance", "leaving"),
    ),
    Motion(
        "circle",
        (
            "going in circles",
            "{go} in a circle",
            "circling",
            "making loops",
            "{go} around in circles",
        ),
    ),
    Motion("still", ("standing still", "resting", "not moving", "waiting", "staying still")),
)
MOTION_NAMES = tuple(motion.name for motion in MOTIONS)


def path(name: str, frames: int, rng: Rng) -> Path:
    t = np.linspace(0, 1, frames)
    one = np.ones(frames)
    size = one * rng.uniform(0.36, 0.48)
    x = one * rng.uniform(0.32, 0.68)
    y = one * rng.uniform(0.42, 0.66)
    turn = 0 * t
    go = rng.uniform(0.42, 0.58)
    match name:
        case "left":
            x = rng.uniform(0.68, 0.84) - go * t
        case "right":
            x = rng.uniform(0.16, 0.32) + go * t
        case "up":
            y = rng.uniform(0.7, 0.82) - go * t
        case "down":
            y = rng.uniform(0.18, 0.3) + go * t
        case "bounce":
            y = rng.uniform(0.66, 0.74) - rng.uniform(0.26, 0.36) * np.abs(np.sin(2 * np.pi * t))
        case "spin":
            turn = 2 * np.pi * t
        case "closer":
            size = np.geomspace(rng.uniform(0.2, 0.25), rng.uniform(0.62, 0.74), frames)
            x, y = one * rng.uniform(0.42, 0.58), one * rng.uniform(0.46, 0.56)
        case "away":
            size = np.geomspace(rng.uniform(0.62, 0.74), rng.uniform(0.2, 0.25), frames)
            x, y = one * rng.uniform(0.42, 0.58), one * rng.uniform(0.46, 0.56)
        case "circle":
            angle = rng.uniform(0, 2 * np.pi) + 2 * np.pi * t * rng.choice([-1, 1])
            radius = rng.uniform(0.19, 0.24)
            x, y = (
                rng.uniform(0.45, 0.55) + radius * np.cos(angle),
                rng.uniform(0.48, 0.54) + radius * np.sin(angle),
            )
        case "still":
            pass
        case _:
            raise ValueError(f"no such motion: {name}")
    return Path(x, y, size, turn)
