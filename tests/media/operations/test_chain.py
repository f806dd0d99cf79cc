"""Chains of operations, from the file to the file."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from errors import Cancelled, ErrorCode, KinoraError
from media.encode import encode
from media.operations.chain import Chain, ChainLimits, plan_chain
from media.operations.edit_sources import open_source
from media.operations.outputs import OutputFile
from media.operations.registry import OPERATIONS, parse_short_form, schemas
from media.operations.run_chain import Hooks, run_chain
from pipelines.sound import Sound
from tests.media.reading import read

FPS = 8
STEP = 9


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames of which each has a grey of its own, with a tone."""
    frames = np.stack([np.full((48, 64, 3), 20 + STEP * n, np.uint8) for n in range(24)])
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * 48_000) / 48_000, dtype=np.float32)
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    encode(frames, path, fps=FPS, quality="high", sound=Sound(tone[None], 48_000))
    return path


def chain_of(clip: Path, *operations: str, limits: ChainLimits | None = None) -> Chain:
    return plan_chain([open_source(clip)], [parse_short_form(each) for each in operations],
                      limits=limits or ChainLimits())  # fmt: skip


def shown(path: Path) -> list[int]:
    """The number of the source's frame that each frame shows."""
    greys = read(path).frames[:, 8:-8, 8:-8].mean((1, 2, 3))
    return [round((float(grey) - 20) / STEP) for grey in greys]


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([], list(range(24))),
        (["trim=1:2"], list(range(8, 16))),
        (["trim=0.5"], list(range(4, 24))),
        (["reverse"], list(range(23, -1, -1))),
        (["speed=2"], list(range(0, 24, 2))),
        (["speed=0.5"], [n // 2 for n in range(48)]),
        (["trim=1:2", "reverse", "speed=0.5"], [n for n in range(15, 7, -1) for _ in "ab"]),
    ],
)
def test_every_frame_is_the_one_it_should_be(
    clip: Path, tmp_path: Path, operations: list[str], expected: list[int]
) -> None:
    chain = chain_of(clip, *operations)
    made = run_chain(chain, tmp_path / "out.mp4", OutputFile(quality="high", comment="{}"))
    assert shown(made.path) == expected
    assert made.info.num_frames == len(expected)
    file = read(made.path)
    assert file.rate == FPS and (file.width, file.height) == (64, 48)
    assert file.times == [Fraction(n, FPS) for n in range(len(expected))]
    assert file.colour == (1, 1, 1, 1) and file.tags["comment"] == "{}"
    assert abs(file.duration_s - len(expected) / FPS) < 0.001


def test_progress_counts_the_frames(clip: Path, tmp_path: Path) -> None:
    counts: list[tuple[int, int]] = []
    hooks = Hooks(on_progress=lambda done, total: counts.append((done, total)))
    run_chain(chain_of(clip, "speed=0.5"), tmp_path / "out.mp4", hooks=hooks)
    assert counts[-1] == (48, 48) and counts == sorted(counts)


def test_a_cancelled_chain_ends_within_a_second_and_leaves_nothing(
    clip: Path, tmp_path: Path
) -> None:
    discarded, started = threading.Event(), threading.Event()
    discarded_at: list[float] = []

    def on_progress(done: int, total: int) -> None:
        started.set()

    def discard() -> None:
        assert started.wait(30)
        discarded_at.append(time.monotonic())
        discarded.set()

    threading.Thread(target=discard).start()
    chain = chain_of(clip, *["speed=0.1"] * 2)
    with pytest.raises(Cancelled):
        run_chain(chain, tmp_path / "out.mp4",
                  hooks=Hooks(on_progress, discarded.is_set))  # fmt: skip
    assert time.monotonic() - discarded_at[0] < 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("operation", "sentence"),
    [
        ("trim=4", "The clip lasts 3 s, so nothing is left from 4 s on. Choose an earlier start."),
        ("trim=2:1", "Nothing is left between 2 s and 1 s."),
        ("trim=nan", "trim: “start_s” cannot be used: it should be a number."),
        ("trim=1:2:3", "“trim=1:2:3” has more values than trim has."),
        ("trim=1:end=2", "trim: There is no setting called “end”."),
        ("speed=0", "speed: “factor” cannot be used: it should be greater than or equal to 0.1."),
        ("blur", "There is no operation “blur”. Use one of: trim, "),
    ],
)
def test_impossible_values_are_refused_in_a_sentence(
    clip: Path, operation: str, sentence: str
) -> None:
    with pytest.raises(KinoraError) as refused:
        chain_of(clip, operation)
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert refused.value.message.startswith(sentence)


def test_what_would_not_fit_into_memory_is_refused(clip: Path) -> None:
    with pytest.raises(KinoraError, match=r"about 1\.5 s of 64 x 48 are possible"):
        chain_of(clip, "reverse", limits=ChainLimits(max_buffered_bytes=12 * 64 * 48 * 3 // 2))


def test_a_chain_that_would_last_too_long_is_refused(clip: Path) -> None:
    with pytest.raises(KinoraError, match="would last 30 s after “Change the speed”"):
        chain_of(clip, "speed=0.1", limits=ChainLimits(max_seconds=20))


def test_every_operation_has_a_title_a_description_and_a_schema() -> None:
    for each in schemas():
        assert each["title"] and each["description"].endswith(".")
        fields = each["schema"]["properties"]
        assert set(each["by_position"]) <= set(fields)
        assert all(field.get("description") for name, field in fields.items() if name != "op")
    assert len(schemas()) == len(OPERATIONS)
