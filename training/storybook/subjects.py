"""The subjects: flat icons of Fluent Emoji ((c) Microsoft, MIT), their names and colours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import resvg_py

ICONS: dict[str, str] = json.loads(Path(__file__).with_name("icons.json").read_text())
VIEW = 32
"""Side of an icon's own coordinates."""
LEVELS = (512, 256, 128)
"""Sides of the cached sprites in pixels."""

LEFT, RIGHT, FRONT = "left", "right", "front"

SHADES: dict[str, tuple[str, str, str]] = {
    "red": ("#f8312f", "#ca0b4a", "#ff8687"),
    "blue": ("#3f8cff", "#1b5fd0", "#8fc0ff"),
    "green": ("#2fbf5b", "#158a43", "#86e3a0"),
    "yellow": ("#fcd53f", "#e5a50a", "#fff0a3"),
    "purple": ("#9b5de5", "#6f35b5", "#c9a4f5"),
    "orange": ("#ff8a2b", "#d9620f", "#ffbe85"),
    "pink": ("#ff7ac6", "#d6459a", "#ffb8e1"),
}
"""Name of a colour -> its plain, dark and light shade."""
PLAIN_COLOUR = ""
"""The icon's original colours; captions name no colour."""


@dataclass(frozen=True)
class Subject:
    name: str
    icon: str
    words: tuple[str, ...]
    verb: str
    """How it moves: run, fly, swim, drive, sail, roll, float."""
    faces: str = FRONT
    """Which way the icon looks; mirrored when it moves the other way."""
    colours: tuple[str, ...] = (PLAIN_COLOUR,)
    """Names of the colours it is drawn in."""
    shades: tuple[str, ...] = ()
    """Its own plain, dark and light fills, which a colour replaces."""

    @property
    def profile(self) -> bool:
        return self.faces != FRONT

    def mirrored(self, motion: str) -> bool:
        return self.profile and motion in (LEFT, RIGHT) and motion != self.faces


SUBJECTS: tuple[Subject, ...] = (
    Subject("dog", "dog", ("dog", "puppy", "hound", "doggy"), "run", LEFT),
    Subject("cat", "cat", ("cat", "kitten", "kitty", "tabby"), "run", LEFT),
    Subject("rabbit", "rabbit", ("rabbit", "bunny", "hare"), "run", LEFT),
    Subject("horse", "horse", ("horse", "pony", "stallion", "mare"), "run", LEFT),
    Subject("elephant", "elephant", ("elephant", "baby elephant"), "run", LEFT),
    Subject("giraffe", "giraffe", ("giraffe", "tall giraffe"), "run", LEFT),
    Subject("cow", "cow", ("cow", "dairy cow"), "run", LEFT),
    Subject("pig", "pig", ("pig", "piglet", "piggy"), "run", LEFT),
    Subject("sheep", "ewe", ("sheep", "lamb"), "run", LEFT),
    Subject("fox", "fox", ("fox", "fox face"), "run"),
    Subject("monkey", "monkey", ("monkey", "chimp", "ape"), "run"),
    Subject("lion", "lion", ("lion", "lion king"), "run"),
    Subject("panda", "panda", ("panda", "panda bear"), "run"),
    Subject("penguin", "penguin", ("penguin", "emperor penguin"), "run"),
    Subject("duck", "duck", ("duck", "mallard", "drake"), "swim", LEFT),
    Subject("flamingo", "flamingo", ("flamingo", "tall flamingo"), "run", LEFT),
    Subject("owl", "owl", ("owl", "barn owl", "wise owl"), "fly"),
    Subject(
        "bird",
        "bird",
        ("bird", "songbird", "birdie"),
        "fly",
        LEFT,
        ("red", "blue", "green", "yellow"),
        ("#ca0b4a", "#ca0b4a", "#ca0b4a"),
    ),
    Subject(
        "butterfly",
        "butterfly",
        ("butterfly", "pretty butterfly"),
        "fly",
        FRONT,
        ("orange", "blue", "pink"),
        ("#ff822d", "#ff6723", "#ff822d"),
    ),
    Subject("ladybug", "lady-beetle", ("ladybug", "ladybird", "beetle"), "run"),
    Subject("bee", "honeybee", ("bee", "bumblebee", "honey bee"), "fly", LEFT),
    Subject("snail", "snail", ("snail", "garden snail"), "run", LEFT),
    Subject(
        "fish",
        "fish",
        ("fish", "tropical fish"),
        "swim",
        LEFT,
        ("blue", "orange", "purple", "green"),
        ("#00a6ed", "#0074ba", "#00a6ed"),
    ),
    Subject("dolphin", "dolphin", ("dolphin", "porpoise"), "swim", LEFT),
    Subject("shark", "shark", ("shark", "great shark"), "swim", LEFT),
    Subject("whale", "spouting-whale", ("whale", "big whale"), "swim", LEFT),
    Subject("octopus", "octopus", ("octopus", "kraken"), "swim"),
    Subject("turtle", "turtle", ("turtle", "tortoise"), "run", LEFT),
    Subject("frog", "frog", ("frog", "toad"), "run"),
    Subject("dinosaur", "sauropod", ("dinosaur", "dino", "brontosaurus"), "run", LEFT),
    Subject("dragon", "dragon", ("dragon", "serpent"), "fly", LEFT),
    Subject("unicorn", "unicorn", ("unicorn", "magic unicorn"), "run", LEFT),
    Subject("rocket", "rocket", ("rocket", "spaceship", "rocket ship"), "fly", RIGHT),
    Subject("airplane", "airplane", ("airplane", "plane", "aeroplane", "jet"), "fly", RIGHT),
    Subject("ufo", "flying-saucer", ("ufo", "flying saucer", "alien ship"), "fly"),
    Subject(
        "car",
        "automobile",
        ("car", "automobile", "family car"),
        "drive",
        LEFT,
        ("red", "blue", "green", "yellow"),
        ("#f8312f", "#ca0b4a", "#f8312f"),
    ),
    Subject("bus", "bus", ("bus", "school bus", "coach"), "drive", LEFT),
    Subject("train", "locomotive", ("train", "steam train", "locomotive"), "drive", LEFT),
    Subject("boat", "sailboat", ("boat", "sailboat", "sailing boat", "yacht"), "sail"),
    Subject(
        "balloon",
        "balloon",
        ("balloon", "party balloon"),
        "float",
        FRONT,
        ("red", "blue", "green", "yellow", "purple"),
        ("#f8312f", "#ca0b4a", "#ff8687"),
    ),
    Subject("ball", "soccer-ball", ("ball", "football", "soccer ball"), "roll"),
    Subject(
        "apple",
        "red-apple",
        ("apple", "ripe apple"),
        "roll",
        FRONT,
        ("red", "green", "yellow"),
        ("#f8312f", "#f8312f", "#f8312f"),
    ),
    Subject("robot", "robot", ("robot", "android", "droid"), "run"),
    Subject("ghost", "ghost", ("ghost", "spirit", "phantom"), "float"),
    Subject("snowman", "snowman-without-snow", ("snowman", "frosty snowman"), "run"),
    Subject("star", "star", ("star", "shining star"), "float"),
    Subject("heart", "red-heart", ("heart", "love heart"), "float"),
    Subject(
        "umbrella",
        "umbrella",
        ("umbrella", "parasol"),
        "float",
        FRONT,
        ("purple", "red", "blue", "yellow"),
        ("#8d65c5", "#433b6b", "#8d65c5"),
    ),
)
COLOURS = (PLAIN_COLOUR, *SHADES)
SUBJECT_NAMES = tuple(subject.name for subject in SUBJECTS)


def svg(subject: Subject, colour: str = PLAIN_COLOUR) -> str:
    """The icon as an SVG document. Raises ValueError if the subject does not have the colour."""
    body = ICONS[subject.icon]
    if colour not in subject.colours:
        raise ValueError(f"no {colour} {subject.name}")
    if colour != PLAIN_COLOUR:
        for own, new in zip(dict.fromkeys(subject.shades), SHADES[colour], strict=False):
            body = body.replace(f'"{own}"', f'"{new}"')
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {VIEW} {VIEW}">{body}</svg>'


def rasterise(document: str, width: int, height: int) -> np.ndarray:
    """[height, width, 4] uint8 RGBA, not premultiplied."""
    # svg_to_bytes(width=, height=) keeps the document's proportions, so 160 may become 161
    size = f'<svg width="{width}" height="{height}" preserveAspectRatio="none" '
    png = resvg_py.svg_to_bytes(
        svg_string=document.replace("<svg ", size, 1), skip_system_fonts=True
    )
    bgra = cv2.imdecode(np.frombuffer(bytes(png), np.uint8), cv2.IMREAD_UNCHANGED)
    if bgra is None:
        raise ValueError("the renderer returned no picture")
    if bgra.shape[2] == 3:
        bgra = np.dstack([bgra, np.full(bgra.shape[:2], 255, np.uint8)])
    return np.ascontiguousarray(bgra[..., [2, 1, 0, 3]])


@cache
def _crop(document: str) -> tuple[float, float, float]:
    """The smallest square around what is drawn, in the icon's coordinates: (x, y, side)."""
    scale = 8
    opaque = rasterise(document, VIEW * scale, VIEW * scale)[..., 3] > 0
    rows, columns = np.flatnonzero(opaque.any(1)), np.flatnonzero(opaque.any(0))
    top, bottom = rows[0] / scale, (rows[-1] + 1) / scale
    left, right = columns[0] / scale, (columns[-1] + 1) / scale
    side = max(bottom - top, right - left)
    return (left + right - side) / 2, (top + bottom - side) / 2, side


@cache
def sprite(subject: Subject, colour: str, side: int) -> np.ndarray:
    """[side, side, 4] uint8, premultiplied RGBA, cropped to the drawing's longer side."""
    document = svg(subject, colour)
    x, y, extent = _crop(document)
    document = document.replace(
        f'viewBox="0 0 {VIEW} {VIEW}"', f'viewBox="{x} {y} {extent} {extent}"'
    )
    pixels = rasterise(document, side, side).astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    return (pixels + 0.5).astype(np.uint8)
