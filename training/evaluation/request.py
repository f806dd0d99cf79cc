"""One clip to be made for the evaluation, and what it should show. Plain data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

Admissible = tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """The names a judge may give; an empty tuple where anything goes."""

    subject: Admissible = ()
    place: Admissible = ()
    motion: Admissible = ()
    colour: Admissible = ()

    def parts(self) -> dict[str, Admissible]:
        return {kind: names for kind, names in vars(self).items() if names}


@dataclass(frozen=True)
class Request:
    """Equal requests make equal clips, so that two sections may share one."""

    words: str
    seed: int
    steps: int = 20
    guidance: float = 3.0
    negative: str = ""
    picture: str = ""
    """"" for none, "rendering:SEED:I:S:P:M", or "stranger:KIND:NUMBER"."""
    recode: bool = False
    """No words: the rendering itself, through the autoencoder and back."""

    @property
    def key(self) -> str:
        said = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Row:
    section: str
    request: Request
    asked: Asked = Asked()
    group: str = ""
    """What is compared within a section: a number of steps, a kind of picture, a sentence."""
    number: int = 0
    """Rows of equal number in different groups belong together."""
