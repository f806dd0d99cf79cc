"""The subjects: sprites from Noto Color Emoji (SIL OFL 1.1, (c) Google), and their names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
SPRITE = 128
"""Side of a sprite in pixels."""


@dataclass(frozen=True)
class Subject:
    name: str
    emoji: str
    words: tuple[str, ...]
    verb: str
    """How it moves: run, fly, swim, drive, sail, roll, float."""
    profile: bool
    """Drawn from the side, looking left: mirrored when it moves right."""


SUBJECTS: tuple[Subject, ...] = (
    Subject(
        "dog", "\U0001f415", ("dog", "puppy", "golden retriever", "hound", "doggy"), "run", True
    ),
    Subject("cat", "\U0001f408", ("cat", "kitten", "tabby", "kitty", "ginger cat"), "run", True),
    Subject("rabbit", "\U0001f407", ("rabbit", "bunny", "hare"), "run", True),
    Subject("horse", "\U0001f40e", ("horse", "pony", "stallion", "mare"), "run", True),
    Subject("elephant", "\U0001f418", ("elephant", "baby elephant", "big elephant"), "run", True),
    Subject(
        "penguin", "\U0001f427", ("penguin", "little penguin", "emperor penguin"), "run", False
    ),
    Subject("owl", "\U0001f989", ("owl", "barn owl", "wise owl"), "fly", False),
    Subject(
        "butterfly",
        "\U0001f98b",
        ("butterfly", "orange butterfly", "monarch butterfly"),
        "fly",
        False,
    ),
    Subject("bee", "\U0001f41d", ("bee", "bumblebee", "honey bee"), "fly", True),
    Subject(
        "fish", "\U0001f420", ("fish", "tropical fish", "goldfish", "little fish"), "swim", True
    ),
    Subject("whale", "\U0001f433", ("whale", "blue whale", "big whale"), "swim", True),
    Subject("turtle", "\U0001f422", ("turtle", "tortoise", "sea turtle"), "run", True),
    Subject(
        "dinosaur", "\U0001f995", ("dinosaur", "dino", "brontosaurus", "sauropod"), "run", True
    ),
    Subject("frog", "\U0001f438", ("frog", "toad", "green frog"), "run", False),
    Subject(
        "rocket", "\U0001f680", ("rocket", "spaceship", "spacecraft", "rocket ship"), "fly", False
    ),
    Subject(
        "airplane", "\U0001f6e9\ufe0f", ("airplane", "plane", "aeroplane", "jet"), "fly", False
    ),
    Subject("car", "\U0001f697", ("car", "red car", "automobile", "sports car"), "drive", True),
    Subject("bus", "\U0001f68c", ("bus", "school bus", "coach"), "drive", True),
    Subject("boat", "\u26f5", ("boat", "sailboat", "sailing boat", "yacht", "ship"), "sail", True),
    Subject("balloon", "\U0001f388", ("balloon", "red balloon", "party balloon"), "float", False),
    Subject("ball", "\u26bd", ("ball", "football", "soccer ball"), "roll", False),
    Subject("robot", "\U0001f916", ("robot", "android", "droid", "friendly robot"), "run", False),
    Subject("ghost", "\U0001f47b", ("ghost", "spirit", "phantom", "little ghost"), "float", False),
    Subject("apple", "\U0001f34e", ("apple", "red apple", "ripe apple"), "roll", False),
)
SUBJECT_NAMES = tuple(subject.name for subject in SUBJECTS)


@cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), 109)


@cache
def sprite(emoji: str) -> np.ndarray | None:
    """[SPRITE, SPRITE, 4] float32 in 0..1, premultiplied, cropped and centred; None if blank."""
    canvas = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((10, 10), emoji, font=_font(), embedded_color=True)
    box = canvas.getbbox()
    if box is None:
        return None
    ink = canvas.crop(box)
    side = max(ink.size)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    pixels = np.asarray(square, np.float32) / 255
    pixels[..., :3] *= pixels[..., 3:]
    return cv2.resize(pixels, (SPRITE, SPRITE), interpolation=cv2.INTER_AREA)


@cache
def pyramid(emoji: str) -> tuple[np.ndarray, ...]:
    """The sprite at 1, 1/2 and 1/4 of its side, against aliasing."""
    full = sprite(emoji)
    if full is None:
        raise ValueError(f"the font draws nothing for {emoji!r}")
    half = cv2.resize(full, (SPRITE // 2, SPRITE // 2), interpolation=cv2.INTER_AREA)
    return full, half, cv2.resize(full, (SPRITE // 4, SPRITE // 4), interpolation=cv2.INTER_AREA)


@cache
def other_emoji() -> tuple[str, ...]:
    """Emoji that are not subjects: training data from outside the world."""
    blocks = (
        range(0x1F300, 0x1F5FF),
        range(0x1F600, 0x1F64F),
        range(0x1F680, 0x1F6C5),
        range(0x1F900, 0x1F9FF),
    )
    known = {subject.emoji[0] for subject in SUBJECTS}
    return tuple(
        chr(c)
        for block in blocks
        for c in block
        if chr(c) not in known and sprite(chr(c)) is not None
    )
