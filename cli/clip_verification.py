"""Prints what `verify` has found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from jobs.verification import Verification


def print_json(clips: Sequence[Path], found: Sequence[Verification]) -> None:
    """One object for one clip, a list for several."""
    views = [
        {
            "path": str(clip),
            "signed": each.is_valid,
            "comment": each.settings,
            "provenance": each.report.model_dump(),
        }
        for clip, each in zip(clips, found, strict=True)
    ]
    print(json.dumps(views if len(views) > 1 else views[0]))


def print_sentences(clips: Sequence[Path], found: Sequence[Verification]) -> None:
    for clip, each in zip(clips, found, strict=True):
        if len(clips) > 1:
            print(f"{clip}:")
        print("\n".join(each.report.sentences))
        if each.settings is None:
            print("The file does not say with which settings it was made.")
            continue
        if each.is_valid:
            print("The settings in it:")
        else:
            print("The settings in it, which anybody can have written:")
        print(json.dumps(each.settings, ensure_ascii=False, indent=2))
