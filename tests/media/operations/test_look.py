"""Operations on the look of a clip: colours against arithmetic, shake and flicker measured."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from media.operations.chain import plan_chain
from media.operations.colour import Colour
from media.operations.cube import read_cube
from media.operations.deflicker import Deflicker
from media.operations.edit_sources import open_source
from media.operations.grain import Grain
from media.operations.lut import Lut
from media.operations.operation import Operation
from media.operations.outputs import OutputFile
from media.operations.run_chain import run_chain
from media.operations.stabilise import Stabilise
from media.operations.vignette import Vignette
from tests.media.operations.sources import tones, write_clip
from tests.media.reading import read

FPS = Fraction(12)
FEW = settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LUT_ID = "1" * 64
LUMA = np.array([0.2126, 0.7152, 0.0722])
PATCHES = np.array([
    (128, 128, 128), (40, 40, 40), (220, 220, 220), (200, 60, 40),
    (40, 160, 70), (60, 80, 190), (190, 170, 60), (150, 90, 160),
], float)  # fmt: skip
SIDE = 32


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows of four squares, for three frames."""
    frame = PATCHES.astype(np.uint8).reshape(2, 4, 3).repeat(SIDE, 0).repeat(SIDE, 1)
    path = tmp_path_factory.mktemp("clips") / "patches.clip"
    return write_clip(path, np.repeat(frame[None], 3, 0), FPS, tones(3, FPS))


def edited(clip: Path, target: Path, *operations: Operation, lut: Path | None = None) -> np.ndarray:
    """The frames; their number, size and sound are as before."""
    source = open_source(clip)
    chain = plan_chain([source], list(operations), files={LUT_ID: lut} if lut else {})
    made = run_chain(chain, target, OutputFile(quality="high"))
    assert made.info == source.info
    frames = read(made.path).frames
    assert len(frames) == source.info.num_frames
    return frames


def colours_of(frames: np.ndarray) -> np.ndarray:
    """[8, 3]: the mean of the middle of each square."""
    squares = frames.reshape(len(frames), 2, SIDE, 4, SIDE, 3)[:, :, 8:-8, :, 8:-8]
    return squares.mean((0, 2, 4)).reshape(-1, 3)


def adjusted(operation: Colour, levels: np.ndarray) -> np.ndarray:
    """What the operation's fields say, in light where they are about light."""
    light = (levels / 255) ** 2.4
    warm, tint = 0.5 * operation.warmth, 0.5 * operation.tint
    stops = np.array([warm + tint / 2, -tint / 2, tint / 2 - warm])
    white = 2 ** (stops / 2.4)
    signal = (light * 2**operation.exposure) ** (1 / 2.4) * white / (white @ LUMA)
    signal = ((signal - 0.5) * operation.contrast + 0.5).clip(0, 1)
    grey = (signal @ LUMA)[:, None]
    return (grey + (signal - grey) * operation.saturation).clip(0, 1) * 255


@FEW
@given(
    exposure=st.floats(-1, 1), contrast=st.floats(0.5, 1.5), saturation=st.floats(0, 1.3),
    warmth=st.floats(-1, 1), tint=st.floats(-1, 1),
)  # fmt: skip
def test_colours_are_those_of_the_arithmetic(
    patches: Path, tmp_path: Path, **values: float
) -> None:
    operation = Colour.model_validate(values)
    wanted = adjusted(operation, PATCHES)
    found = colours_of(edited(patches, tmp_path / "out.mp4", operation))
    # a colour that yuv cannot hold at its lightness comes back a little different
    held = (wanted > 1).all(1) & (wanted < 254).all(1)
    assert np.abs(found - wanted)[held].max(initial=0) <= 2.5, values


def test_each_adjustment_goes_in_its_direction(patches: Path, tmp_path: Path) -> None:
    def changed(**values: float) -> np.ndarray:
        found = colours_of(edited(patches, tmp_path / "out.mp4", Colour.model_validate(values)))
        return found - PATCHES

    same = changed()
    assert np.abs(same).max() <= 2
    assert np.abs(changed(saturation=0) + PATCHES - (PATCHES @ LUMA)[:, None]).max() <= 2
    assert changed(exposure=0.5)[0].min() > 10
    warm = changed(warmth=0.5)[0]
    assert warm[0] > 3 > -3 > warm[2]
    assert changed(tint=0.5)[0][1] < -2
    contrast = changed(contrast=1.3)
    assert contrast[1].max() < -10 and contrast[2].min() > 10


def write_cube(path: Path, size: int, table: np.ndarray) -> Path:
    rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in table.reshape(-1, 3))
    path.write_text(f'TITLE "test"\n# comment\nLUT_3D_SIZE {size}\nDOMAIN_MIN 0 0 0\n\n{rows}\n')
    return path


def test_a_lut_is_applied_as_strongly_as_it_should_be(patches: Path, tmp_path: Path) -> None:
    axis = np.linspace(0, 1, 9)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    swapped = write_cube(tmp_path / "lut", 9, np.stack([green, blue, red], axis=-1) * 0.8 + 0.1)
    wanted = PATCHES[:, [1, 2, 0]] * 0.8 + 25.5
    for strength in (1.0, 0.5, 0.0):
        operation = Lut(file=LUT_ID, strength=strength)
        found = colours_of(edited(patches, tmp_path / "out.mp4", operation, lut=swapped))
        assert np.abs(found - (PATCHES + (wanted - PATCHES) * strength)).max() <= 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "This is no LUT: it states no size."),
        ("LUT_3D_SIZE 2\n0 0 0\n", "This LUT is damaged"),
        ("LUT_3D_SIZE 2\n" + "nan 0 0\n" * 8, "This LUT is damaged"),
        ("LUT_3D_SIZE 2\n" + "a b c\n" * 8, "This LUT is damaged"),
        ("LUT_3D_SIZE 999999\n0 0 0", "This LUT has a size of 999999; it should be from 2 to 65."),
        ("LUT_1D_SIZE 1\n0 0 0", "This LUT has a size of 1"),
        ("DOMAIN_MAX 4 4 4\nLUT_1D_SIZE 2\n0 0 0\n1 1 1\n", "This LUT is for values other than"),
        ("\0\xff" * 999, "This is no LUT"),
        (" " * (17 * 2**20), "This LUT is larger than 16 MB."),
    ],
)  # fmt: skip
def test_hostile_luts_are_refused_before_any_work(
    patches: Path, tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "lut"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(KinoraError) as refused:
        plan_chain([open_source(patches)], [Lut(file=LUT_ID)], files={LUT_ID: path})
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert refused.value.message.startswith(sentence)


def test_a_lut_that_was_removed_is_refused(patches: Path) -> None:
    with pytest.raises(KinoraError, match="no longer available"):
        plan_chain([open_source(patches)], [Lut(file=LUT_ID)], files={})


@given(size=st.integers(2, 5), seed=st.integers(0, 99), strength=st.floats(0, 1))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_lut_is_written_as_it_was_read(
    tmp_path: Path, size: int, seed: int, strength: float
) -> None:
    table = np.random.default_rng(seed).random((size, size, size, 3))
    cube = read_cube(write_cube(tmp_path / "a", size, table))
    assert np.allclose(cube.table, table, atol=1e-6)
    (tmp_path / "b").write_bytes(cube.text(1.0))
    assert np.allclose(read_cube(tmp_path / "b").table, table, atol=2e-6)


def test_grain_changes_no_mean_and_differs_between_frames(patches: Path, tmp_path: Path) -> None:
    frames = edited(patches, tmp_path / "out.mp4", Grain(strength=0.8)).astype(float)
    assert np.abs(colours_of(frames) - PATCHES).max() <= 2.5
    middle = frames[:, 8:24, 8:24]
    assert middle.std((1, 2)).min() > 4
    assert np.abs(middle[0] - middle[1]).mean() > 4


def test_a_vignette_darkens_corners_and_not_the_middle(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.clip", np.full((2, 96, 128, 3), 180, np.uint8), FPS)
    corners: list[float] = []
    for strength in (0.3, 0.6, 1.0):
        frame = edited(clip, tmp_path / "out.mp4", Vignette(strength=strength))[0].astype(float)
        assert abs(frame[44:52, 60:68].mean() - 180) <= 2.5
        four = [frame[y, x].mean() for y in (slice(8), slice(-8, None))
                for x in (slice(8), slice(-8, None))]  # fmt: skip
        assert np.ptp(four) < 6
        corners.append(float(np.mean(four)))
    assert 175 > corners[0] > corners[1] > corners[2] and corners[2] < 100


def test_flicker_is_evened_out(tmp_path: Path) -> None:
    brightness = 120 + np.random.default_rng(1).normal(0, 12, 36)
    frames = np.broadcast_to(brightness[:, None, None, None], (36, 48, 64, 3)).astype(np.uint8)
    clip = write_clip(tmp_path / "in.clip", frames, FPS)
    means = edited(clip, tmp_path / "out.mp4", Deflicker()).mean((1, 2, 3))
    assert np.abs(np.diff(means)).mean() < np.abs(np.diff(brightness)).mean() / 4
    assert abs(means.mean() - brightness.mean()) < 4


def shaken(count: int) -> np.ndarray:
    """A smooth texture seen by a hand-held camera."""
    random = np.random.default_rng(5)
    texture = random.random((40, 50, 3)).repeat(6, 0).repeat(6, 1)
    for axis in (0, 1):
        texture = np.mean([np.roll(texture, n, axis) for n in range(-3, 4)], axis=0)
    picture = (40 + 175 * texture).astype(np.uint8)
    places = 16 + np.rint(random.normal(0, 3, (count, 2))).astype(int).clip(-9, 9)
    return np.stack([picture[y : y + 144, x : x + 192] for y, x in places])


def motion(frames: np.ndarray) -> float:
    """Mean shift from frame to frame, in pixels, by phase correlation."""
    grey = frames[:, 24:-24, 24:-24].mean(-1)
    window = np.outer(*(np.hanning(side) for side in grey.shape[1:]))
    spectra = np.fft.fft2((grey - grey.mean((1, 2), keepdims=True)) * window)
    shifts: list[float] = []
    for before, after in itertools.pairwise(spectra):
        cross = before * after.conj()
        peak = np.fft.ifft2(cross / np.abs(cross).clip(1e-9)).real
        y, x = np.unravel_index(peak.argmax(), peak.shape)
        height, width = peak.shape
        shifts.append(float(np.hypot(min(y, height - y), min(x, width - x))))
    return float(np.mean(shifts))


def test_shake_is_taken_out(tmp_path: Path) -> None:
    frames = shaken(24)
    clip = write_clip(tmp_path / "in.clip", frames, FPS, tones(24, FPS))
    steady = edited(clip, tmp_path / "out.mp4", Stabilise(strength=1))
    assert motion(frames) > 3
    assert motion(steady) < motion(frames) / 3
    assert steady.min(-1)[:, 0].mean() > 20, "no black border"
