"""One clip of the evaluation and what it should show, as plain data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Expected:
    """Accepted labels; an empty tuple accepts any."""

    subject: Labels = ()
    place: Labels = ()
    motion: Labels = ()
    colour: Labels = ()

    def parts(self) -> dict[str, Labels]:
        return {kind: names for kind, names in vars(self).items() if names}


@dataclass(frozen=True)
class ClipRequest:
    """What a clip depends on. Equal requests share a clip.

    `key` hashes the field names and names the files of earlier runs: do not rename fields.
    """

    words: str
    seed: int
    steps: int = 20
    guidance: float = 3.0
    negative: str = ""
    picture: str = ""
    """"" for none, "rendering:SEED:I:SUBJECT:PLACE:MOTION", or "stranger:KIND:NUMBER"."""
    recode: bool = False
    """Encodes and decodes the rendering instead of generating."""

    @property
    def key(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class PlannedClip:
    section: str
    request: ClipRequest
    expected: Expected = Expected()
    group: str = ""
    """What is compared within a section, such as the number of steps or a kind of picture."""
    number: int = 0
    """Clips with the same number in different groups are compared."""
