"""Contact sheets and grid videos: what is where, in step, and what stands for what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import ErrorCode, KinoraError
from media.encode import encode
from media.grids import (
    MAX_SIDE,
    MISSING,
    Grid,
    GridCell,
    GridClip,
    GridLayout,
    write_grid,
    write_sheet,
)
from media.labels import font, wrap
from media.stills import write_poster
from tests.media.reading import read

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 30), (40, 40, 200)


def made(
    folder: Path, colours: list[tuple[int, int, int]], *, fps: int = 8, suffix: str = "mp4",
    size: tuple[int, int] = (64, 48),
) -> GridClip:  # fmt: skip
    """A clip with one flat frame for each colour."""
    width, height = size
    frames = np.zeros((len(colours), height, width, 3), np.uint8)
    frames[:] = np.array(colours, np.uint8)[:, None, None, :]
    path = folder / f"{len(list(folder.iterdir()))}.{suffix}"
    encode(frames, path, fps=fps, format=suffix)  # type: ignore[arg-type]
    poster = path.with_suffix(".jpg")
    write_poster(frames, poster)
    return GridClip(path, poster, width, height, len(frames), fps)


def middle(image: np.ndarray, grid: Grid, index: int) -> tuple[int, ...]:
    layout = GridLayout.of(grid)
    x, y = layout.place(grid, index)
    return tuple(image[y + layout.cell[1] // 2 + 30, x + layout.cell[0] // 2 + 40].tolist())


def is_near(seen: tuple[int, ...], colour: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(seen, colour, strict=True)) <= 10


@pytest.fixture
def comparison(tmp_path: Path) -> Grid:
    return Grid(
        cells=(
            GridCell(made(tmp_path, [RED] * 5)),
            GridCell(made(tmp_path, [GREEN] * 5)),
            GridCell(made(tmp_path, [BLUE] * 5)),
            GridCell(None, "Failed"),
        ),
        columns=("2", "4"),
        rows=("euler", "unipc"),
        column_title="Guidance",
        row_title="Sampler",
    )


def test_a_sheet_has_every_clip_at_its_place(comparison: Grid, tmp_path: Path) -> None:
    with Image.open(write_sheet(comparison, tmp_path / "sheet.png")) as sheet:
        assert sheet.format == "PNG"
        seen = np.asarray(sheet)
    for index, colour in enumerate((RED, GREEN, BLUE, MISSING)):
        assert is_near(middle(seen, comparison, index), colour)


def test_labels_and_words_are_drawn(comparison: Grid, tmp_path: Path) -> None:
    seen = np.asarray(Image.open(write_sheet(comparison, tmp_path / "a.png")))
    layout = GridLayout.of(comparison)
    for box in (
        seen[: layout.top, layout.left :],
        seen[layout.top : layout.top + layout.cell[1], : layout.left],
        seen[-layout.cell[1] :, -layout.cell[0] :],
    ):
        assert box.max() > 180 and len(np.unique(box)) > 10, "there is text"
    changed = Grid(comparison.cells, ("3", "4"), comparison.rows, "Guidance", "Sampler")
    other = np.asarray(Image.open(write_sheet(changed, tmp_path / "b.png")))
    rows, columns = np.nonzero((seen != other).any(axis=2))
    assert rows.max() < layout.top and columns.min() >= layout.left, "the label alone differs"


def test_a_grid_video_plays_its_clips_in_step(tmp_path: Path) -> None:
    grid = Grid(
        cells=(
            GridCell(made(tmp_path, [RED, GREEN, BLUE, RED, GREEN], fps=8), caption="seed 1"),
            GridCell(made(tmp_path, [GREEN, BLUE], fps=4), caption="seed 2"),
            GridCell(made(tmp_path, [BLUE, RED, RED], fps=8, size=(48, 64)), caption="seed 3"),
        )
    )
    clip = write_grid(grid, tmp_path / "grid.mp4", comment='{"batch": "b"}')
    seen = read(clip.path)
    assert (seen.codec, seen.pix_fmt, seen.profile) == ("h264", "yuv420p", "High")
    assert (seen.width, seen.height) == GridLayout.of(grid).size == (clip.width, clip.height)
    assert (seen.rate, len(seen.frames)) == (8, 5)
    assert seen.colour[:3] == (1, 1, 1)
    assert seen.tags["comment"] == '{"batch": "b"}'
    expected = [
        [RED, GREEN, BLUE, RED, GREEN],
        [GREEN, GREEN, BLUE, BLUE, BLUE],
        [BLUE, RED, RED, RED, RED],
    ]
    for index, colours in enumerate(expected):
        for frame, colour in zip(seen.frames, colours, strict=True):
            assert is_near(middle(frame, grid, index), colour), (index, colour)


@pytest.mark.parametrize("suffix", ["webm", "gif"])
def test_clips_of_every_format_fit_in(tmp_path: Path, suffix: str) -> None:
    grid = Grid(cells=(GridCell(made(tmp_path, [RED, GREEN, BLUE], suffix=suffix)),))
    seen = read(write_grid(grid, tmp_path / "grid.mp4").path)
    assert len(seen.frames) == 3
    assert is_near(middle(seen.frames[0], grid, 0), RED)
    assert is_near(middle(seen.frames[-1], grid, 0), BLUE)


def test_a_large_grid_stays_within_its_limits(tmp_path: Path) -> None:
    clip = GridClip(tmp_path / "a.mp4", tmp_path / "a.jpg", 1280, 720, 9, 8)
    names = ("a", "b", "c", "d", "e")
    layout = GridLayout.of(Grid((GridCell(clip),) * 25, names, names, "Columns", "Rows"))
    assert max(layout.size) <= MAX_SIDE
    assert all(side % 2 == 0 for side in (*layout.size, *layout.cell))
    assert layout.cell[0] / layout.cell[1] == pytest.approx(16 / 9, abs=0.02)


def test_a_grid_that_is_too_large_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    grid = Grid(cells=(GridCell(made(tmp_path, [RED, GREEN])),))
    with pytest.raises(KinoraError) as refused:
        write_grid(grid, tmp_path / "grid.mp4", max_bytes=100)
    assert refused.value.code is ErrorCode.TOO_LARGE
    assert not list(tmp_path.glob("grid*"))


def test_without_a_clip_there_is_a_sheet_but_no_video(tmp_path: Path) -> None:
    grid = Grid(cells=(GridCell(None, "Waiting"), GridCell(None, "It cannot be made.")))
    write_sheet(grid, tmp_path / "sheet.png")
    with pytest.raises(ValueError, match="needs a clip"):
        write_grid(grid, tmp_path / "grid.mp4")


def test_long_texts_are_wrapped_and_cut() -> None:
    assert wrap("a dog in the snow", 12, 1000, 2) == ["a dog in the snow"]
    lines = wrap("a dog in the snow " * 20, 12, 120, 3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    broken = wrap("x" * 300, 12, 120, 9)
    assert all(font(12).getlength(line) <= 120 for line in (*lines, *broken))
    assert wrap("", 12, 100, 2) == []
