"""Random chains against an implementation on arrays: frames, size, colours and sound."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from media.operations.chain import plan_chain
from media.operations.change_speed import Speed
from media.operations.crop import Crop
from media.operations.edit_sources import EditSource, open_source
from media.operations.freeze import Freeze
from media.operations.looping import Loop
from media.operations.operation import Operation
from media.operations.outputs import OutputFile
from media.operations.pad import Pad
from media.operations.reverse import Reverse
from media.operations.rotate import Rotate
from media.operations.run_chain import run_chain
from media.operations.split import Split
from media.operations.trim import Trim
from media.soundtrack import load_sound
from tests.media.operations.reference import SILENT, Expected, apply, is_plain
from tests.media.operations.sources import coloured_frames, tone_at, tones, write_clip
from tests.media.reading import read

COUNT = 12
CODEC_LEVELS = 8
"""What H.264 is off by at most in squares of 16 pixels that change completely in every frame."""
FEW = settings(
    max_examples=8,
    phases=[Phase.explicit, Phase.generate],  # shrinking would encode for minutes
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
times = st.floats(0.05, 0.65)
OPERATIONS: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Trim, start_s=times, end_s=times.map(lambda s: s + 0.7)),
    st.builds(Split, at_s=times, keep=st.sampled_from(["before", "after"])),
    st.builds(Reverse),
    st.builds(Speed, factor=st.floats(0.4, 2.5), keep_pitch=st.booleans()),
    st.builds(Freeze, at_s=st.none() | times, hold_s=st.floats(0.01, 0.7)),
    st.builds(Loop, style=st.sampled_from(["boomerang", "crossfade", "repeat"]),
              times=st.integers(1, 2), fade_s=st.floats(0.05, 0.2)),
    st.builds(Crop, width=st.integers(20, 36), height=st.integers(18, 34), x=st.integers(0, 9),
              y=st.integers(0, 7)),
    st.builds(Crop, shape=st.sampled_from(["1:1", "9/16", "4:3"])),
    st.builds(Pad, width=st.integers(72, 99), height=st.integers(71, 98),
              colour=st.sampled_from(["#000000", "#c04020", "ffffff", "#20b0a0"])),
    st.builds(Pad, shape=st.sampled_from(["1:1", "2:1", "9/16"])),
    st.builds(Rotate, degrees=st.sampled_from([0, 90, 180, 270]),
              mirror=st.sampled_from(["none", "horizontal", "vertical"])),
)  # fmt: skip


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple[Path, Expected]]:
    """Clips of several sizes and rates."""
    folder = tmp_path_factory.mktemp("sources")
    made: dict[int, tuple[Path, Expected]] = {}

    def source(which: int) -> tuple[Path, Expected]:
        width, height, fps = [(64, 48, Fraction(12)), (53, 45, Fraction(12)),
                              (48, 64, Fraction(24000, 1001))][which]  # fmt: skip
        if which not in made:
            frames = coloured_frames(COUNT, width, height)
            path = write_clip(folder / f"{which}.clip", frames, fps, tones(COUNT, fps))
            made[which] = path, Expected(frames.astype(float), fps, list(range(COUNT)))
        return made[which]

    return source


@FEW
@given(which=st.integers(0, 2), operations=st.lists(OPERATIONS, min_size=1, max_size=3))
def test_any_chain_does_exactly_what_its_operations_do_to_arrays(
    sources: Callable[[int], tuple[Path, Expected]],
    tmp_path: Path,
    which: int,
    operations: list[Operation],
) -> None:
    path, expected = sources(which)
    try:
        plan_chain([open_source(path)], operations)
    except KinoraError as refused:  # such as a crop to more than a trim has left
        assert refused.code is ErrorCode.INVALID_INPUT and refused.message.endswith(".")
        assume(False)
    check(path, expected, operations, tmp_path)


@pytest.mark.parametrize(
    "operation",
    [
        Loop(style="crossfade", fade_s=0.3),
        Loop(times=2),
        Freeze(at_s=0.4, hold_s=0.5),
        Crop(width=31, height=27, x=5, y=3),
        Pad(width=97, height=83, colour="#c04020"),
        Rotate(degrees=90, mirror="horizontal"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_each_operation_is_exact_on_an_odd_size(
    sources: Callable[[int], tuple[Path, Expected]],
    tmp_path: Path,
    operation: Operation,
) -> None:
    check(*sources(1), [operation], tmp_path)


def check(path: Path, expected: Expected, operations: list[Operation], folder: Path) -> None:
    for operation in operations:
        expected = apply(operation, expected)
    source: EditSource = open_source(path)
    chain = plan_chain([source], operations)
    made = run_chain(chain, folder / "out.mp4", OutputFile(quality="high"))
    count, height, width, _ = expected.frames.shape
    shown = (made.info.num_frames, made.info.height, made.info.width, made.info.fps)
    assert shown == (count, height, width, expected.fps)

    # frames, by an independent decoder
    file = read(made.path)
    assert file.times == [n / expected.fps for n in range(count)]
    assert (file.height, file.width) == (height, width) and file.rate == expected.fps
    differences = [np.zeros((0, 3))]
    for frame, wanted in zip(file.frames[:, :height, :width], expected.frames, strict=True):
        differences.append((smoothed(frame) - wanted)[is_plain(wanted)])
    difference = np.concatenate(differences)
    # what the codec rounds differs from square to square; a wrong matrix or frame does not
    if difference.size:
        assert np.quantile(np.abs(difference), 0.98) <= CODEC_LEVELS, operations
        assert np.abs(difference.mean(0)).max() <= 1, operations

    # sound: of the same length, and the tone of each frame while it is shown
    sound = load_sound(made.path, 48_000, 1)
    assert sound is not None
    assert abs(sound.samples.shape[1] - count / expected.fps * 48_000) <= 1
    for n, tone in enumerate(expected.heard):
        heard = tone_at(sound.samples[0], expected.fps, n)
        if tone == SILENT:
            assert heard is None, (n, heard, operations)
        elif tone is not None:
            assert heard is not None and abs(heard - tone) < 0.5, (n, tone, heard, operations)


def smoothed(frame: np.ndarray) -> np.ndarray:
    """The mean of 3 x 3 pixels: the codec's noise is not a matter of colours."""
    padded = np.pad(frame.astype(float), ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width, _ = frame.shape
    nine = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.mean(nine, axis=0)
