"""A run that is stopped goes on; clips of other weights are other clips."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import LTXVideoTransformer3DModel

from training.evaluation.generate import Maker
from training.evaluation.plan import Settings, Size, plan
from training.evaluation.request import Request, Row
from training.evaluation.results_store import Made, Shelf, fingerprint
from training.evaluation.run import make
from training.evaluation.sheets import SHEET_LIMIT_BYTES, contact_sheet, moving_sheet

SETTINGS = Settings(steps=1, guidance=1.0)


def requests(rows: list[Row]) -> list[Request]:
    return [row.request for row in rows]


@pytest.fixture
def wanted() -> list[Request]:
    sections = ("text", "pictures", "autoencoder", "strange pictures")
    kept = {"text": 2, "pictures": 1, "autoencoder": 1, "strange pictures": 1}
    rows = plan(Size(2, 1, 0.01), SETTINGS, sections)
    return [r for s, n in kept.items() for r in requests([x for x in rows if x.section == s][:n])]


def test_what_was_made_is_not_made_again(
    tiny_repo: Path, tmp_path: Path, wanted: list[Request]
) -> None:
    told: list[str] = []

    def stop(line: str) -> None:
        told.append(line)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(wanted, Shelf(tmp_path), tiny_repo, tell=stop)
    shelf = Shelf(tmp_path)
    assert set(shelf.made) == {r.key for r in wanted[:2]}
    before = {key: shelf.path(key).stat().st_mtime_ns for key in shelf.made}

    make(wanted, shelf, tiny_repo, large=wanted[:3], tell=told.append)
    assert set(shelf.made) == {r.key for r in wanted}
    assert set(Shelf(tmp_path).made) == {r.key for r in wanted}
    assert len(told) == len(wanted)
    for key, at in before.items():
        assert shelf.path(key).stat().st_mtime_ns == at
    assert shelf.clip(wanted[0].key).shape == (17, 64, 64, 3)
    assert shelf.clip(wanted[2].key).shape == (17, 128, 128, 3), "kept in full size"
    assert "clip_db" in shelf.made[wanted[3].key].measures
    assert "first_frame_at_best_db" in shelf.made[wanted[4].key].measures


@pytest.mark.slow
def test_two_processes_make_the_same_clips_as_one(
    tiny_repo: Path, tmp_path: Path, wanted: list[Request]
) -> None:
    one, two = Shelf(tmp_path / "one"), Shelf(tmp_path / "two")
    make(wanted, one, tiny_repo, tell=lambda _: None)
    make(wanted, two, tiny_repo, workers=2, tell=lambda _: None)
    assert set(Shelf(tmp_path / "two").made) == set(one.made)
    for key in one.made:
        apart = np.abs(one.clip(key).astype(int) - two.clip(key))
        assert apart.max() <= 2, "the number of threads alone differs"


def put(shelf: Shelf, key: str) -> None:
    shelf.put_clip(key, np.zeros((17, 64, 64, 3), np.uint8))
    shelf.put_line(Made(key, {}, {"flicker": 1.0}, 1.0))


def test_a_line_that_was_cut_off_costs_one_clip_and_no_other(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    put(shelf, "a")
    put(shelf, "b")
    whole = shelf.lines.read_bytes()
    shelf.lines.write_bytes(whole[:-20])
    again = Shelf(tmp_path)
    assert set(again.made) == {"a"}
    put(again, "c")
    assert set(Shelf(tmp_path).made) == {"a", "c"}


def test_a_line_without_its_clip_does_not_count(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    put(shelf, "a")
    shelf.path("a").unlink()
    assert not Shelf(tmp_path).made


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
    said = plan(Size(1, 0, 0.01), SETTINGS, ("text", "autoencoder"))
    own, taught = Maker(tiny_repo), Maker(tiny_repo, folder)
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
