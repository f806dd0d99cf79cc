"""The very files that came out wrong once; the properties are in the tests beside this one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.videos import StoredVideo, load_frames, store_video
from tests.media.making import shown_values
from tests.media.test_joins import going_on, heard_bursts, sentences

CLIPS = Path(__file__).resolve().parent / "clips"


def colours(stored: StoredVideo, folder: Path) -> list[list[int]]:
    """The middles of the four quarters, read row by row."""
    (frame,) = load_frames(
        stored.id, folder, fps=8, num_frames=1, width=stored.width, height=stored.height
    )
    pixels = np.asarray(frame).astype(int)
    height, width = pixels.shape[:2]
    return [pixels[height * y // 4, width * x // 4].tolist() for y in (1, 3) for x in (1, 3)]


def test_hlg_white_is_white_and_red_is_red(tmp_path: Path) -> None:
    stored = store_video(CLIPS / "hlg.mov", tmp_path)
    white, red, *_ = colours(stored, tmp_path)
    assert np.abs(np.array(white) - 255).max() <= 4
    assert np.abs(np.array(red) - [220, 30, 30]).max() <= 4


def test_an_untagged_hd_clip_is_bt709(tmp_path: Path) -> None:
    stored = store_video(CLIPS / "untag709_1280x720.mp4", tmp_path)
    off = np.abs(np.array(colours(stored, tmp_path)) - [
        [219, 30, 32], [29, 200, 35], [30, 30, 210], [231, 231, 49],
    ])  # fmt: skip
    # what Chromium draws; it filters chroma in another way, which shows in blue
    assert off[:, :2].max() <= 4
    assert off[:, 2].max() <= 24


def test_a_screen_recording_keeps_its_motion(tmp_path: Path) -> None:
    stored = store_video(CLIPS / "screenrec.mp4", tmp_path)
    times, values = shown_values(CLIPS / "screenrec.mp4")
    _, kept = shown_values(tmp_path / f"{stored.id}.mp4")
    assert stored.fps == 60
    for time, value in zip(times, values, strict=True):
        assert abs(kept[round(time * 60)] - value) <= 2


@pytest.mark.parametrize("name", ["one.mp4", "cfr_60.mp4", "late_video_audio2s.mp4"])
def test_they_are_gone_on_from(tmp_path: Path, name: str) -> None:
    fitted, made, stored = going_on(CLIPS / name, tmp_path)
    assert made.num_frames == fitted.lead_frames + fitted.num_frames - fitted.overlap
    lasts_s = {"one.mp4": 0.04, "cfr_60.mp4": 0.4, "late_video_audio2s.mp4": 2.0}[name]
    assert stored.seconds == pytest.approx(lasts_s, abs=0.001)
    if name == "late_video_audio2s.mp4":
        assert (stored.fps, fitted.fps) == (16, 16)
        loud = heard_bursts(made.path)
        assert loud[-1][1] == pytest.approx(heard_bursts(CLIPS / name)[-1][1], abs=0.02)
        assert loud[0][0] == pytest.approx(heard_bursts(CLIPS / name)[0][0], abs=0.02)
    else:
        was = "25" if name == "one.mp4" else "60"
        assert f"instead of {was}: Tiny makes at most 24." in sentences(fitted)
