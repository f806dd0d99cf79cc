"""The command line: what is told on a card of how it was measured, and sheets without judges."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from training import evaluate


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", ""),
        ("--workers 2 --card presets/pocket/README.md --sheet a.jpg", ""),
        ("--clips 60 --report --steps 8", "--clips 60 --steps 8"),
        ("--json=x.json --clips 60 --out /tmp/x", "--clips 60"),
        ("--only 'text,strange pictures' --workers 2", "--only 'text,strange pictures'"),
    ],
)
def test_a_card_tells_what_was_measured_and_not_where_it_was_written(given: str, told: str) -> None:
    command = evaluate._command(shlex.split(given))
    assert command == f"python -m training.evaluate {told}".rstrip()


def test_the_usual_run_is_the_full_one() -> None:
    args = evaluate.arguments([])
    assert (args.clips, args.pictures, args.others) == (500, 200, 1.0)


def test_a_sheet_of_samples_needs_no_judges(tiny_repo: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "images" / "samples.jpg"
    words = (
        f"--weights {tiny_repo} --only samples --others 0.03 --steps 1 --guidance 1 "
        f"--out {tmp_path / 'run'} --sheet {sheet}"
    )
    evaluate.main(words.split())
    assert sheet.exists() and sheet.with_suffix(".webp").exists()
    before = sheet.read_bytes()
    evaluate.main([*words.split(), "--report"])
    assert sheet.read_bytes() == before
