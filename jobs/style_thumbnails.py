"""Thumbnails of the styles: small stills that a model made, one for each style.

A file is named after everything that decides its picture. When a template or the model changes, the
name changes too: the old file is stale, and browsers may cache a file for good.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageOps

from errors import ErrorCode, KinoraError
from jobs.admission import Admission
from jobs.artifacts import Artifacts
from pipelines.models.cards import ModelCard
from pipelines.models.drafts import draft_of
from pipelines.request import GenerationRequest
from pipelines.styles import Style, load_styles

FOLDER = "thumbnails"
PROMPT = "a cottage on a hill beside a tree, clouds passing by"
"""The same for every style, so that the thumbnails differ by their style only."""
SEED = 7
MAX_FRAMES = 25
"""A second of video: a still needs no more, and models for video need more than one frame."""
SIZE = (208, 156)
"""Twice the size on the page, for screens with a high density. 4:3 for every model: the page has
one shape of thumbnails."""
QUALITY = 80
NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{32}\.webp")


class StyleThumbnails:
    def __init__(self, artifacts: Artifacts, admission: Admission) -> None:
        self._artifacts, self._admission = artifacts, admission

    def request(self, card: ModelCard, style: Style) -> GenerationRequest:
        """The draft whose middle frame is the thumbnail. Raises KinoraError if the model cannot
        show styles."""
        refuse_without_styles(card)
        frames, limits = card.defaults.num_frames, card.limits
        if frames > MAX_FRAMES:
            frames = card.rules.frames.nearest(MAX_FRAMES, limits.min_frames, limits.max_frames)
        request = GenerationRequest(
            prompt=PROMPT,
            style=style.id,
            model=card.id,
            seed=SEED,
            num_frames=frames,
            allow_fallback=False,  # another model's picture would be kept as this one's
        )
        return draft_of(request, self._admission.fit(request), card, SEED)

    def find(self, card: ModelCard) -> dict[str, str]:
        """File names by the ids of the styles that have a thumbnail for this model."""
        if not card.can_show_styles:
            return {}
        stored = self._artifacts.shared_names(FOLDER)
        names = {style.id: _name(card, style) for style in load_styles().values()}
        return {style_id: name for style_id, name in names.items() if name in stored}

    def path(self, name: str) -> Path:
        """The WebP file. Raises KinoraError(NOT_FOUND)."""
        found = self._artifacts.fetch_shared(name, FOLDER) if NAME.fullmatch(name) else None
        if found is None:
            raise KinoraError(ErrorCode.NOT_FOUND)
        return found

    def store(self, frame: Path, card: ModelCard, style: Style) -> Path:
        """Stores a frame of the finished draft. Returns the thumbnail's path."""
        name = _name(card, style)
        with TemporaryDirectory(prefix="kinora-") as folder, Image.open(frame) as image:
            small = Path(folder) / name
            shown = ImageOps.fit(image.convert("RGB"), SIZE, Image.Resampling.LANCZOS)
            shown.save(small, "WEBP", quality=QUALITY)
            self._artifacts.store_shared(small, name, FOLDER)
        return self.path(name)

    def remove_stale(self, card: ModelCard) -> None:
        """Removes thumbnails of this model that were made with another template or revision."""
        current = {_name(card, style) for style in load_styles().values()}
        for name in self._artifacts.shared_names(FOLDER) - current:
            if name.startswith(_model_part(card)):
                self._artifacts.remove_shared(name, FOLDER)


def refuse_without_styles(card: ModelCard) -> None:
    """Raises KinoraError(INVALID_INPUT) if the model cannot show styles."""
    if card.can_show_styles:
        return
    sentence = (
        f"{card.name} understands only the few words that it was trained on, so it cannot show "
        "styles."
        if not card.shows_styles
        else f"{card.name} makes no clips from words alone, so it cannot show styles."
    )
    raise KinoraError(
        ErrorCode.INVALID_INPUT,
        f"{sentence} The page lists them by name. Choose another model.",
        details={"field": "model"},
    )


def _model_part(card: ModelCard) -> str:
    return hashlib.sha256(card.id.encode()).hexdigest()[:16]


def _name(card: ModelCard, style: Style) -> str:
    template = style.template(card.family)
    weights = card.model_dump(
        mode="json", include={"repo", "revision", "variant", "parts", "scheduler", "call"}
    )
    words = [PROMPT, SEED, template.prompt, template.negative_prompt]
    text = json.dumps([weights, words, SIZE], sort_keys=True)
    return f"{_model_part(card)}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.webp"
