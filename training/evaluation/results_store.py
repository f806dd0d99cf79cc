"""The clips that are done, on disk: each is one line of results.jsonl and one file beside it.

A folder belongs to one set of weights. Judges come later: new ones need no new clips.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Made:
    key: str
    request: dict[str, Any]
    measures: dict[str, float]
    seconds: float


def fingerprint(*folders: Path) -> str:
    """Of all that the clips come from: another set of weights is another folder of clips."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".safetensors", ".json"}:
                digest.update(path.relative_to(folder).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Shelf:
    """The clips that are done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines = folder / "results.jsonl"
        (folder / "clips").mkdir(parents=True, exist_ok=True)
        self.made = {made.key: made for made in self._read()}

    def _read(self) -> Iterator[Made]:
        if not self.lines.exists():
            return
        for line in self.lines.read_text(encoding="utf-8").splitlines():
            try:
                made = Made(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the line that was being written when the run was stopped
            if self.path(made.key).exists():
                yield made

    def path(self, key: str) -> Path:
        return self.folder / "clips" / f"{key}.npz"

    def clip(self, key: str) -> np.ndarray:
        """[F, SMALL, SMALL, 3], or larger if it was put so."""
        with np.load(self.path(key)) as file:
            return file["clip"]

    def put_clip(self, key: str, clip: np.ndarray) -> None:
        part = self.path(key).with_suffix(".part.npz")
        np.savez_compressed(part, clip=clip)
        part.replace(self.path(key))

    def put_line(self, made: Made) -> None:
        whole = not self.lines.exists() or self.lines.read_bytes()[-1:] in (b"", b"\n")
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(("" if whole else "\n") + json.dumps(asdict(made)) + "\n")
        self.made[made.key] = made
