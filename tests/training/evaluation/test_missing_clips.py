"""A run that is stopped goes on; clips of other weights are other clips."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import LTXVideoTransformer3DModel

from training.evaluation.clip_generator import ClipGenerator
from training.evaluation.clip_request import ClipRequest, PlannedClip
from training.evaluation.evaluation_plan import PlanSize, SamplingOptions, plan
from training.evaluation.missing_clips import generate_missing
from training.evaluation.results_store import ClipResult, ResultsStore, fingerprint
from training.evaluation.sheets import SHEET_LIMIT_BYTES, contact_sheet, moving_sheet

SETTINGS = SamplingOptions(steps=1, guidance=1.0)


def requests(rows: list[PlannedClip]) -> list[ClipRequest]:
    return [row.request for row in rows]


@pytest.fixture
def wanted() -> list[ClipRequest]:
    sections = ("text", "pictures", "autoencoder", "strange pictures")
    kept = {"text": 2, "pictures": 1, "autoencoder": 1, "strange pictures": 1}
    rows = plan(PlanSize(2, 1, 0.01), SETTINGS, sections)
    return [r for s, n in kept.items() for r in requests([x for x in rows if x.section == s][:n])]


def test_what_was_made_is_not_made_again(
    tiny_repo: Path, tmp_path: Path, wanted: list[ClipRequest]
) -> None:
    told: list[str] = []

    def stop(line: str) -> None:
        told.append(line)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_missing(wanted, ResultsStore(tmp_path), tiny_repo, report=stop)
    shelf = ResultsStore(tmp_path)
    assert set(shelf.results) == {r.key for r in wanted[:2]}
    before = {key: shelf.path(key).stat().st_mtime_ns for key in shelf.results}

    generate_missing(wanted, shelf, tiny_repo, full_size=wanted[:3], report=told.append)
    assert set(shelf.results) == {r.key for r in wanted}
    assert set(ResultsStore(tmp_path).results) == {r.key for r in wanted}
    assert len(told) == len(wanted)
    for key, at in before.items():
        assert shelf.path(key).stat().st_mtime_ns == at
    assert shelf.clip(wanted[0].key).shape == (17, 64, 64, 3)
    assert shelf.clip(wanted[2].key).shape == (17, 128, 128, 3), "kept in full size"
    assert "clip_db" in shelf.results[wanted[3].key].measures
    assert "first_frame_at_best_db" in shelf.results[wanted[4].key].measures


@pytest.mark.slow
def test_two_processes_make_the_same_clips_as_one(
    tiny_repo: Path, tmp_path: Path, wanted: list[ClipRequest]
) -> None:
    one, two = ResultsStore(tmp_path / "one"), ResultsStore(tmp_path / "two")
    generate_missing(wanted, one, tiny_repo, report=lambda _: None)
    generate_missing(wanted, two, tiny_repo, workers=2, report=lambda _: None)
    assert set(ResultsStore(tmp_path / "two").results) == set(one.results)
    for key in one.results:
        apart = np.abs(one.clip(key).astype(int) - two.clip(key))
        assert apart.max() <= 2, "the number of threads alone differs"


def put(shelf: ResultsStore, key: str) -> None:
    shelf.save_clip(key, np.zeros((17, 64, 64, 3), np.uint8))
    shelf.append_result(ClipResult(key, {}, {"flicker": 1.0}, 1.0))


def test_a_line_that_was_cut_off_costs_one_clip_and_no_other(tmp_path: Path) -> None:
    shelf = ResultsStore(tmp_path)
    put(shelf, "a")
    put(shelf, "b")
    content = shelf.results_file.read_bytes()
    shelf.results_file.write_bytes(content[:-20])
    again = ResultsStore(tmp_path)
    assert set(again.results) == {"a"}
    put(again, "c")
    assert set(ResultsStore(tmp_path).results) == {"a", "c"}


def test_a_line_without_its_clip_does_not_count(tmp_path: Path) -> None:
    shelf = ResultsStore(tmp_path)
    put(shelf, "a")
    shelf.path("a").unlink()
    assert not ResultsStore(tmp_path).results


def test_other_weights_are_other_clips(tiny_repo: Path, tmp_path: Path) -> None:
    same = shutil.copytree(tiny_repo, tmp_path / "same")
    assert fingerprint(same) == fingerprint(tiny_repo)
    config = same / "scheduler" / "scheduler_config.json"
    settings = json.loads(config.read_text()) | {"shift": 7.0}
    config.write_text(json.dumps(settings))
    assert fingerprint(same) != fingerprint(tiny_repo)


def test_another_transformer_makes_other_clips_with_the_same_autoencoder(
    tiny_repo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "taught"
    of = LTXVideoTransformer3DModel
    other = of.from_pretrained(tiny_repo, subfolder="transformer", use_safetensors=True)
    with torch.no_grad():
        other.proj_out.bias.add_(1)
    other.save_pretrained(folder)
    assert fingerprint(tiny_repo, folder) != fingerprint(tiny_repo)
    said = plan(PlanSize(1, 0, 0.01), SETTINGS, ("text", "autoencoder"))
    own, taught = ClipGenerator(tiny_repo), ClipGenerator(tiny_repo, folder)
    same = [bool((own.clip(r) == taught.clip(r)).all()) for r in requests(said)]
    assert same == [row.section == "autoencoder" for row in said]


def test_sheets_hold_every_clip_and_stay_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (17, 128, 128, 3), np.uint8) for _ in range(24)]
    words = [f"my favourite subject number {i} goes round and round in the snow" for i in range(24)]
    contact_sheet(clips, words, tmp_path / "sheet.jpg")
    assert (tmp_path / "sheet.jpg").stat().st_size < SHEET_LIMIT_BYTES, "even of noise"
    moving_sheet(clips[:9], tmp_path / "sheet.webp", 8)
    assert (tmp_path / "sheet.webp").stat().st_size > 1000
