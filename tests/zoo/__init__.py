"""Tiny random pipelines of every family, saved and loaded like real ones.

Each module here exports SPECIMENS. Knows diffusers' classes; knows nothing of jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import yaml

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest


def load_plainly(pipeline_class: Any, folder: Path, dtype: Any) -> Any:
    """As anybody would with diffusers alone."""
    return pipeline_class.from_pretrained(folder, dtype=dtype)


@dataclass(frozen=True)
class Specimen:
    """A tiny pipeline that stands in for the repository of a card."""

    name: str
    card: dict[str, Any]
    """As in a YAML card, without `id` and `repo`."""
    build: Callable[[Path], object]
    """Saves the pipeline with save_pretrained."""
    plain: Callable[[Any, FittedRequest, Inputs], dict[str, Any]]
    """The keyword arguments of a plain diffusers call, written by hand; may also set up the pipe,
    its first argument. Without generator and output_type."""
    load: Callable[[Any, Path, Any], Any] = load_plainly
    """(class, folder, dtype) -> the pipeline for the plain call, for those that load strangely."""
    slow: bool = False
    """One of several of its family: its checks run with the slow half of the tests."""
    steps: int | None = None
    """How many steps a clip takes, where its own scheduler is never stepped."""
    first_window: int | None = None
    """Frames of the first window, where a clip is made in several: "finish now" gives no more."""
    given: int = 0
    """Of a clip to work over, how many frames the plain call puts before its own."""
    frames_only: bool = False
    """Differs from another specimen in what frames and sound show; the other checks are left to
    that one."""
    packages: Callable[[], AbstractContextManager[None]] = nullcontext
    """Stands in for packages that its pipelines need and that are not installed here."""


def specimens() -> list[Specimen]:
    """Those of all modules in this folder."""
    found: list[Specimen] = []
    for module in sorted(iter_modules(__path__), key=lambda m: m.name):
        found.extend(getattr(import_module(f"{__name__}.{module.name}"), "SPECIMENS", ()))
    return found


def write_card(specimen: Specimen, models_dir: Path, repo: Path) -> Path:
    models_dir.mkdir(parents=True, exist_ok=True)
    path = models_dir / f"{specimen.name}.yaml"
    card = specimen.card | {"id": specimen.name, "repo": str(repo)}
    path.write_text(yaml.safe_dump(card), encoding="utf-8")
    return path


def card(family: str, tasks: list[str], **changes: Any) -> dict[str, Any]:
    """A small card. `defaults` and `limits` in `changes` are merged, other keys replaced."""
    base: dict[str, Any] = {
        "name": f"Tiny {family}",
        "family": family,
        "tasks": tasks,
        "license": "apache-2.0",
        "about": "Random weights for tests.",
        "defaults": {
            "width": 32,
            "height": 32,
            "num_frames": 9,
            "fps": 8,
            "num_inference_steps": 3,
            "guidance_scale": 3.0,
        },
        "limits": {
            "min_width": 32,
            "max_width": 128,
            "min_height": 32,
            "max_height": 128,
            "min_frames": 9,
            "max_frames": 33,
            "max_steps": 50,
            "max_guidance": 20,
            "min_fps": 4,
            "max_fps": 32,
        },
        "needs": {"ram_gb": 1, "disk_gb": 0.01},
    }
    for part in ("defaults", "limits"):
        base[part] |= changes.pop(part, {})
    return base | changes
