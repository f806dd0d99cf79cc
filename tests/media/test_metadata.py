"""The settings inside a clip come back, and files from strangers do no harm."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.encode import encode
from media.metadata import read_comment, settings_json
from pipelines.request import FittedRequest, Focus, Task
from tests.media.reading import read

FRAMES = np.zeros((2, 16, 16, 3), np.uint8)
FITTED = FittedRequest(
    task=Task.TEXT_TO_VIDEO,
    model="pocket",
    prompt="a rocket 🚀 flying up; \"quoted\" = 'yes' # \\ back\nand a new line, ✨ 東京 é",
    negative_prompt="",
    image=None,
    focus=Focus(x=0.5, y=0.5),
    seed=3,
    num_inference_steps=20,
    guidance_scale=3.0,
    width=16,
    height=16,
    num_frames=2,
    fps=8,
    format="mp4",
    quality="medium",
)


def test_every_setting_comes_back_from_the_file(tmp_path: Path) -> None:
    comment = settings_json(FITTED, revision="a" * 40, versions={"kinora": "0.1"}, machine="cpu")
    found = read_comment(encode(FRAMES, tmp_path / "clip.mp4", fps=8, comment=comment).path)
    assert found is not None
    assert FittedRequest.model_validate(found["settings"]) == FITTED
    assert found["model_revision"] == "a" * 40 and found["machine"] == "cpu"
    assert found["versions"] == {"kinora": "0.1"}


def test_another_parser_reads_the_same_comment(tmp_path: Path) -> None:
    comment = settings_json(FITTED)
    clip = encode(FRAMES, tmp_path / "clip.mp4", fps=8, comment=comment)
    assert read(clip.path).tags["comment"] == comment


def test_odd_sizes_keep_the_comment(tmp_path: Path) -> None:
    clip = encode(FRAMES[:, :15], tmp_path / "clip.mp4", fps=8, comment='{"a":1}')
    assert read_comment(clip.path) == {"a": 1}


@given(prompt=st.text(max_size=200) | st.text(max_size=20).map(lambda text: text + "\ud83d"))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives(tmp_path: Path, prompt: str) -> None:
    comment = json.dumps({"prompt": prompt}, ensure_ascii=False)
    path = encode(FRAMES, tmp_path / "clip.mp4", fps=8, comment=comment).path
    assert read_comment(path) == {"prompt": prompt}


def test_the_longest_prompts_survive(tmp_path: Path) -> None:
    long = FITTED.model_copy(update={"prompt": "🚀" * 2000, "negative_prompt": "\x01" * 2000})
    path = encode(FRAMES, tmp_path / "clip.mp4", fps=8, comment=settings_json(long)).path
    found = read_comment(path)
    assert found is not None and FittedRequest.model_validate(found["settings"]) == long


@pytest.mark.parametrize("comment", ["", "not json", "[1,2]", '"text"', "[" * 100_000])
def test_a_comment_that_is_not_settings_is_none(tmp_path: Path, comment: str) -> None:
    path = encode(FRAMES, tmp_path / "clip.mp4", fps=8, comment=comment).path
    assert read_comment(path) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"\xff" * 100,
        b"\0\0\0\x08free" * 50_000,
        b"\0\0\0\0moov",
        b"\0\0\0\x01moov" + b"\xff" * 8,
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ],
    ids=["empty", "zeros", "ones", "many atoms", "no size", "too large", "a list of files"],
)
def test_a_file_that_is_no_clip_is_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    assert read_comment(path) is None


def test_a_damaged_clip_gives_settings_or_nothing(tmp_path: Path) -> None:
    path = encode(FRAMES, tmp_path / "clip.mp4", fps=8, comment=settings_json(FITTED)).path
    sound = path.read_bytes()
    rng = random.Random(5)
    for _ in range(500):
        broken = bytearray(sound[: rng.randrange(len(sound)) if rng.random() < 0.3 else None])
        for _ in range(rng.choice([0, 1, 10]) if broken else 0):
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        path.write_bytes(broken)
        assert isinstance(read_comment(path), (dict, type(None)))
