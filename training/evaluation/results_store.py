"""Finished clips on disk: one line of results.jsonl and one .npz file each.

A folder belongs to one set of weights. Verdicts are not stored: new judges need no new clips.
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
class ClipResult:
    key: str
    request: dict[str, Any]
    measures: dict[str, float]
    seconds: float


def fingerprint(*folders: Path) -> str:
    """A hash of all weights and configs, which names the results folder."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".safetensors", ".json"}:
                digest.update(path.relative_to(folder).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class ResultsStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results_file = folder / "results.jsonl"
        (folder / "clips").mkdir(parents=True, exist_ok=True)
        self.results = {result.key: result for result in self._read()}

    def _read(self) -> Iterator[ClipResult]:
        if not self.results_file.exists():
            return
        for line in self.results_file.read_text(encoding="utf-8").splitlines():
            try:
                result = ClipResult(**json.loads(line))
            except (ValueError, TypeError):
                continue  # a line cut off when the run was stopped
            if self.path(result.key).exists():
                yield result

    def path(self, key: str) -> Path:
        return self.folder / "clips" / f"{key}.npz"

    def clip(self, key: str) -> np.ndarray:
        """[F, H, W, 3] uint8, as it was saved."""
        with np.load(self.path(key)) as file:
            return file["clip"]

    def save_clip(self, key: str, clip: np.ndarray) -> None:
        part = self.path(key).with_suffix(".part.npz")
        np.savez_compressed(part, clip=clip)
        part.replace(self.path(key))

    def append_result(self, result: ClipResult) -> None:
        ends_with_newline = not self.results_file.exists() or self.results_file.read_bytes()[
            -1:
        ] in (
            b"",
            b"\n",
        )
        with self.results_file.open("a", encoding="utf-8") as file:
            file.write(("" if ends_with_newline else "\n") + json.dumps(asdict(result)) + "\n")
        self.results[result.key] = result
