"""A mark is drawn where it should be, and nowhere else, in every format."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from errors import ErrorCode, KinoraError
from media.encode import encode
from media.small_frames import read_small_frames
from media.visible_mark import Corner, VisibleMark
from pipelines.request import Format

CORNERS: tuple[Corner, ...] = ("top-left", "top-right", "bottom-left", "bottom-right")


def grey(height: int = 96, width: int = 160, count: int = 3) -> np.ndarray:
    return np.full((count, height, width, 3), 128, np.uint8)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where the first frame is another one: [H, W]."""
    return (before[0].astype(int) != after[0]).any(-1)


@pytest.mark.parametrize("corner", CORNERS)
def test_the_mark_is_in_its_corner_on_every_frame(corner: Corner) -> None:
    frames = grey()
    marked = VisibleMark(text="AI", corner=corner, size=0.2).draw_on(frames)
    assert (frames == 128).all(), "the frames themselves stay as they are"
    where = changed(frames, marked)
    rows, columns = np.nonzero(where)
    assert where.any()
    assert (rows < 48).all() == corner.startswith("top")
    assert (columns < 80).all() == corner.endswith("left")
    for frame in marked:
        assert (frame == marked[0]).all()


@given(
    st.integers(16, 300),
    st.integers(16, 300),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=80),
    st.sampled_from(CORNERS),
    st.floats(0.02, 0.5),
    st.floats(0.01, 1),
)
def test_any_mark_fits_any_clip(
    width: int, height: int, text: str, corner: Corner, size: float, opacity: float
) -> None:
    frames = grey(height, width, 1)
    mark = VisibleMark(text=text, corner=corner, size=size, opacity=opacity)
    marked = mark.draw_on(frames)
    assert marked.shape == frames.shape
    rows, columns, _, alpha = mark.layer(width, height)
    outside = np.ones((height, width), bool)
    outside[rows, columns] = False
    assert (marked[0][outside] == 128).all()
    assert alpha.shape[0] <= max(4, round(min(width, height) * size)) + 1
    assert alpha.max() <= opacity + 1e-6


def test_half_the_opacity_is_half_the_change() -> None:
    frames = grey()
    full, half = (
        VisibleMark(text="AI", size=0.3, opacity=each).draw_on(frames).astype(int) - 128
        for each in (1.0, 0.5)
    )
    assert np.abs(full / 2 - half).max() <= 1


def test_a_picture_is_drawn_with_its_transparency(tmp_path: Path) -> None:
    path = tmp_path / "mark.png"
    picture = np.zeros((20, 40, 4), np.uint8)
    picture[:, :20] = (255, 0, 0, 255)
    Image.fromarray(picture, "RGBA").save(path)
    mark = VisibleMark(picture=path, size=0.2, opacity=1, corner="top-left")
    marked = mark.draw_on(grey(100, 100, 1))[0]
    rows, columns, _, _ = mark.layer(100, 100)
    area = marked[rows, columns]
    assert area.shape[:2] == (20, 40)
    assert (area[:, :18] == (255, 0, 0)).all()
    assert (area[:, 23:] == 128).all()


def test_a_picture_that_cannot_be_read_makes_no_clip_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "mark.png"
    path.write_bytes(b"\x89PNG nothing more")
    with pytest.raises(KinoraError) as refused:
        VisibleMark(picture=path).draw_on(grey())
    assert refused.value.code is ErrorCode.ENCODE
    assert str(tmp_path) not in refused.value.message


@pytest.mark.parametrize("format", ["mp4", "webm", "gif"])
def test_the_mark_survives_every_format(tmp_path: Path, format: Format) -> None:
    frames = grey(96, 160, 6)
    mark = VisibleMark(text="AI", size=0.25, opacity=1)
    clip = encode(frames, tmp_path / f"clip.{format}", fps=8, format=format, mark=mark)
    assert clip.num_frames == 6
    found = read_small_frames(clip.path, 160, 10)
    assert len(found) == 6
    rows, columns, _, _ = mark.layer(160, 96)
    for frame in found:
        area = frame[rows, columns].astype(int)
        assert area.max() > 220
        assert area.min() < 60
        assert abs(int(frame[:40, :80].mean()) - 128) < 4


def test_a_mark_costs_little() -> None:
    frames = grey(512, 768, 25)
    mark = VisibleMark(text="Made with AI")
    mark.draw_on(frames[:1])
    began = time.process_time()
    mark.draw_on(frames)
    assert time.process_time() - began < 1.0
