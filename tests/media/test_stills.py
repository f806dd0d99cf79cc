from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media.images import crop_to, store_picture
from media.stills import write_last_frame, write_poster
from pipelines.request import Focus

NOISE = np.random.default_rng(0).integers(0, 255, (5, 33, 47, 3), dtype=np.uint8)


def test_the_last_frame_is_kept_exactly_and_can_go_on_as_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "last.png"
    write_last_frame(NOISE, path)
    with Image.open(path) as image:
        assert (np.asarray(image) == NOISE[-1]).all()
    stored = store_picture(path.read_bytes(), tmp_path)
    with Image.open(tmp_path / f"{stored.id}.png") as image:
        again = crop_to(image, 47, 33, Focus(x=0.5, y=0.5))
    assert (np.asarray(again) == NOISE[-1]).all()


@pytest.mark.parametrize("num_frames", [1, 5])
def test_the_poster_shows_the_middle(tmp_path: Path, num_frames: int) -> None:
    frames = np.stack([np.full((16, 16, 3), 40 * n, np.uint8) for n in range(num_frames)])
    write_poster(frames, tmp_path / "poster.jpg")
    with Image.open(tmp_path / "poster.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (16, 16))
        assert np.abs(np.asarray(image).astype(int) - 40 * (num_frames // 2)).max() <= 2


def test_stills_leave_no_temporary_file(tmp_path: Path) -> None:
    write_poster(NOISE, tmp_path / "poster.jpg")
    write_last_frame(NOISE, tmp_path / "last.png")
    assert {path.name for path in tmp_path.iterdir()} == {"poster.jpg", "last.png"}
