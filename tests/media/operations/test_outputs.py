"""Every kind of file: read back by programs that share nothing with ours."""

from __future__ import annotations

import io
import json
import wave
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Literal, get_args

import av
import numpy as np
import pytest
from PIL import Image

from errors import ErrorCode, KinoraError
from media.operations import encoders
from media.operations.chain import Chain, plan_chain
from media.operations.edit_sources import open_source
from media.operations.operation import FrameOperation, FrameTools, StreamInfo
from media.operations.outputs import OUTPUTS, OutputFile, OutputFormat
from media.operations.registry import parse_short_form
from media.operations.run_chain import Hooks, run_chain
from media.provenance.plain_tags import append_xmp
from media.visible_mark import VisibleMark
from tests.media.operations.sources import tones, write_clip
from tests.media.reading import read

FPS, COUNT = Fraction(10), 10
COLOURS = ((200, 60, 40), (40, 160, 70), (60, 80, 190))
COMMENT = json.dumps({"made_by": "Kinora", "prompt": "ein Hund; läuft = schnell"})


def plain_frames(width: int, height: int) -> np.ndarray:
    """Three vertical stripes, with a point at the top that moves."""
    frame = np.zeros((height, width, 3), np.uint8)
    for n, colour in enumerate(COLOURS):
        frame[:, width * n // 3 : width * (n + 1) // 3] = colour
    frames = np.repeat(frame[None], COUNT, 0)
    for n, each in enumerate(frames):
        each[:6, 4 * n : 4 * n + 6] = 230
    return frames


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """With an even and, as True, with an odd size."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        odd: write_clip(folder / f"{odd}.clip", plain_frames(*size), FPS, tones(COUNT, FPS))
        for odd, size in ((False, (96, 64)), (True, (75, 53)))
    }


def chain_of(clip: Path, *operations: str) -> Chain:
    return plan_chain([open_source(clip)], [parse_short_form(each) for each in operations])


def frames_of(path: Path, format: OutputFormat) -> tuple[np.ndarray, list[float]]:
    """RGB frames, and how long each is shown, in seconds, where the file says it."""
    match format:
        case "gif" | "apng" | "webp":
            with Image.open(path) as image:
                frames, lengths = [], []
                for n in range(getattr(image, "n_frames", 1)):
                    image.seek(n)
                    frames.append(np.asarray(image.convert("RGB")))
                    lengths.append(image.info["duration"] / 1000)
                return np.stack(frames), lengths
        case "png-zip":
            with zipfile.ZipFile(path) as archive:
                names = sorted(name for name in archive.namelist() if name.startswith("frame-"))
                images = [Image.open(io.BytesIO(archive.read(name))) for name in names]
                return np.stack([np.asarray(image) for image in images]), []
        case "prores":
            with av.open(str(path)) as clip:
                return np.stack([ten_bit_rgb(frame) for frame in clip.decode(video=0)]), []
        case _:
            return read(path).frames, []


def ten_bit_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Of yuv422p10le, by the BT.709 matrix."""
    planes = [
        np.frombuffer(bytes(plane), "<u2").reshape(plane.height, -1)[:, : plane.width] / 4
        for plane in frame.planes
    ]
    y, cb, cr = planes[0], *(each.repeat(2, 1)[:, : frame.width] for each in planes[1:])
    luma, blue, red = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    rgb = (luma + 1.5748 * red, luma - 0.187324 * blue - 0.468124 * red, luma + 1.8556 * blue)
    return np.stack(rgb, axis=-1) * 255


@pytest.mark.parametrize("is_odd", [False, True])
@pytest.mark.parametrize("format", get_args(OutputFormat))
def test_frames_size_rate_and_colours_are_right_in_every_kind_of_file(
    clips: dict[bool, Path], tmp_path: Path, format: OutputFormat, is_odd: bool
) -> None:
    output = OutputFile(format, comment=COMMENT)
    made = run_chain(chain_of(clips[is_odd]), tmp_path / f"clip{output.kind.suffix}", output)
    frames, lengths = frames_of(made.path, format)
    width, height = (75, 53) if is_odd else (96, 64)
    assert frames.shape[0] == made.info.num_frames == COUNT
    assert frames.shape[1] >= height and frames.shape[2] >= width
    if format != "mp4":  # of which the decoder shows the row and column that players crop
        assert frames.shape[1:3] == (height, width)
    if lengths:
        assert sum(lengths) == pytest.approx(1, abs=0.02)
    allowed = 4 if format in ("gif", "webp") else 2
    for n, colour in enumerate(COLOURS):
        middle = width * (2 * n + 1) // 6
        stripe = frames[:, height // 4 : -height // 4, middle - 4 : middle + 4].mean((0, 1, 2))
        assert np.abs(stripe - colour).max() <= allowed, (format, stripe, colour)
    assert made.size_bytes == made.path.stat().st_size
    assert [path for path in tmp_path.iterdir()] == [made.path]


@pytest.mark.parametrize("format", ["mp4", "webm", "webm-av1", "prores", "png-zip"])
def test_the_sound_is_as_long_as_the_frames(
    clips: dict[bool, Path], tmp_path: Path, format: OutputFormat
) -> None:
    path = tmp_path / "clip"
    run_chain(chain_of(clips[False]), path, OutputFile(format))
    if format == "png-zip":
        with zipfile.ZipFile(path) as archive, wave.open(archive.open("sound.wav")) as sound:
            assert (sound.getframerate(), sound.getnframes()) == (48_000, 48_000)
        return
    with av.open(str(path)) as clip:
        resampler = av.AudioResampler("flt", "mono", 48_000)
        count = sum(
            each.samples for frame in clip.decode(audio=0) for each in resampler.resample(frame)
        )
    assert abs(count / 48_000 - 1) < 0.025  # one packet


def test_files_say_what_made_them(clips: dict[bool, Path], tmp_path: Path) -> None:
    generated = tmp_path / "generated.mp4"
    generated.write_bytes(clips[False].read_bytes())
    append_xmp(generated)
    chain = chain_of(generated)
    for format in ("mp4", "webm", "webm-av1", "prores"):
        made = run_chain(chain, tmp_path / "clip", OutputFile(format, comment=COMMENT))
        with av.open(str(made.path)) as clip:
            tags = {key.lower(): value for key, value in clip.metadata.items()}
        assert tags["comment"] == COMMENT and tags["description"] == "AI generated", format
        assert tags["digitalsourcetype"].endswith("trainedAlgorithmicMedia"), format
    for format in ("apng", "webp", "gif"):
        made = run_chain(chain, tmp_path / "clip", OutputFile(format, comment=COMMENT))
        assert b"trainedAlgorithmicMedia" in made.path.read_bytes()
        with Image.open(made.path) as image:
            assert format == "gif" or "trainedAlgorithmicMedia" in str(image.info.get("xmp"))
            assert format != "apng" or image.info["comment"] == COMMENT
    made = run_chain(chain, tmp_path / "clip", OutputFile("png-zip", comment=COMMENT))
    with zipfile.ZipFile(made.path) as archive:
        assert archive.read("settings.json").decode() == COMMENT
        assert archive.testzip() is None


@pytest.mark.parametrize("format", OUTPUTS)
def test_what_no_model_made_is_not_marked_as_generated(
    clips: dict[bool, Path], tmp_path: Path, format: OutputFormat
) -> None:
    made = run_chain(chain_of(clips[False]), tmp_path / "clip", OutputFile(format, comment=COMMENT))
    assert not made.is_generated
    written = made.path.read_bytes()
    assert b"AlgorithmicMedia" not in written and b"AI generated" not in written
    assert COMMENT.encode() in written or format in ("gif", "webp")


@pytest.mark.parametrize("format", ["mp4", "webm-av1", "png-zip", "webp"])
def test_the_same_edit_makes_the_same_file(
    clips: dict[bool, Path], tmp_path: Path, format: OutputFormat
) -> None:
    made = [run_chain(chain_of(clips[False], "grain"), tmp_path / name, OutputFile(format))
            for name in "ab"]  # fmt: skip
    assert made[0].path.read_bytes() == made[1].path.read_bytes()


def noise(seconds: int) -> np.ndarray:
    values = np.random.default_rng(3).integers(0, 256, (10 * seconds, 36, 64, 3), np.uint8)
    return values.repeat(4, 1).repeat(4, 2)


@pytest.mark.parametrize(("format", "target_mb"), [("mp4", 0.3), ("webm", 0.3), ("webm-av1", 0.2)])
def test_a_size_in_megabytes_is_not_exceeded_and_used(
    tmp_path: Path, format: OutputFormat, target_mb: float
) -> None:
    clip = write_clip(tmp_path / "in.clip", noise(2), FPS, tones(20, FPS))
    counts: list[tuple[int, int]] = []
    made = run_chain(
        chain_of(clip), tmp_path / "out", OutputFile(format, target_mb=target_mb),
        Hooks(on_progress=lambda done, total: counts.append((done, total))),
    )  # fmt: skip
    assert 0.6 * target_mb * 1e6 < made.size_bytes <= target_mb * 1e6
    assert counts[-1] == (40, 40)


def test_an_impossible_size_is_refused_before_any_work(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.clip", noise(1), FPS)
    chain = chain_of(clip, "pad=1920:1080", "speed=0.1")
    with pytest.raises(KinoraError, match="MB are too few for this clip: it needs at least") as no:
        run_chain(chain, tmp_path / "out.mp4", OutputFile(target_mb=0.1))
    assert no.value.code is ErrorCode.INVALID_INPUT
    with pytest.raises(KinoraError, match="A size in MB can be chosen for MP4 or WebM"):
        run_chain(chain, tmp_path / "out.gif", OutputFile("gif", target_mb=5))


def test_a_gif_keeps_what_it_can(tmp_path: Path) -> None:
    fast = Fraction(60)
    clip = write_clip(tmp_path / "in.clip", plain_frames(64, 48), fast, tones(10, fast))
    made = run_chain(chain_of(clip), tmp_path / "out.gif", OutputFile("gif"))
    assert (made.info.num_frames, made.info.fps, made.info.channels) == (5, 30, 0)
    assert made.notes == (
        "GIF has no sound, so it is left out.",
        "GIF shows at most 50 frames a second, so only one of 2 frames is kept: "
        "30 frames a second.",
    )
    assert len(frames_of(made.path, "gif")[0]) == 5


def test_a_long_gif_takes_two_passes_and_looks_the_same(
    clips: dict[bool, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = chain_of(clips[False])
    short = run_chain(chain, tmp_path / "short.gif", OutputFile("gif"))
    monkeypatch.setattr(encoders, "MAX_GIF_BYTES", 1000)
    counts: list[tuple[int, int]] = []
    hooks = Hooks(lambda *each: counts.append(each))
    long = run_chain(chain, tmp_path / "long.gif", OutputFile("gif"), hooks)
    assert counts[-1] == (2 * COUNT, 2 * COUNT)
    assert (frames_of(long.path, "gif")[0] == frames_of(short.path, "gif")[0]).all()


class Invert(FrameOperation):
    """A FrameOperation, as those that need a model."""

    title: ClassVar[str] = "Invert"
    op: Literal["invert"] = "invert"
    fail_at: int | None = None

    def output(self, source: StreamInfo) -> StreamInfo:
        return source

    def change_frames(
        self, frames: Iterator[np.ndarray], source: StreamInfo, tools: FrameTools
    ) -> Iterator[np.ndarray]:
        for n, frame in enumerate(frames):
            if n == self.fail_at:
                raise KinoraError(ErrorCode.OUT_OF_MEMORY)
            tools.models["seen"].append(n)
            yield 255 - frame


@pytest.mark.parametrize("output", [OutputFile(), OutputFile("gif"), OutputFile(target_mb=0.2)])
def test_frames_go_through_python_between_two_processes(
    clips: dict[bool, Path], tmp_path: Path, output: OutputFile
) -> None:
    seen: list[int] = []
    operations = [parse_short_form("reverse"), Invert(), parse_short_form("trim=0:0.5")]
    chain = plan_chain([open_source(clips[True])], operations)
    counts: list[tuple[int, int]] = []
    hooks = Hooks(lambda *each: counts.append(each), models={"seen": seen})
    made = run_chain(chain, tmp_path / "out", output, hooks)
    assert seen[:5] == [0, 1, 2, 3, 4] and len(set(seen)) == len(seen), "each frame once"
    frames, _ = frames_of(made.path, "gif" if output.format == "gif" else "mp4")
    assert len(frames) == 5
    assert np.abs(frames[:, 20:30, 8:16].mean((0, 1, 2)) - (255 - np.array(COLOURS[0]))).max() < 4
    assert counts[-1][0] == counts[-1][1] and counts == sorted(counts)


def test_an_error_of_an_operation_is_that_of_the_edit(
    clips: dict[bool, Path], tmp_path: Path
) -> None:
    chain = plan_chain([open_source(clips[False])], [Invert(fail_at=3)])
    with pytest.raises(KinoraError) as failed:
        run_chain(chain, tmp_path / "out", hooks=Hooks(models={"seen": []}))
    assert failed.value.code is ErrorCode.OUT_OF_MEMORY
    assert not list(tmp_path.iterdir())


def test_the_visible_mark_is_drawn_at_last(clips: dict[bool, Path], tmp_path: Path) -> None:
    mark = VisibleMark("AI", size=0.3, opacity=1)
    chain = chain_of(clips[False], "rotate=180")
    made = run_chain(chain, tmp_path / "out.mp4", OutputFile(mark=mark, quality="high"))
    plain = run_chain(chain, tmp_path / "plain.mp4", OutputFile(quality="high"))
    wanted = mark.draw_on(read(plain.path).frames)
    difference = np.abs(read(made.path).frames.astype(int) - wanted)
    assert np.abs(read(plain.path).frames.astype(int) - wanted).max() > 100
    assert difference.mean() < 3


def test_every_kind_of_file_has_a_name_of_its_own() -> None:
    assert set(OUTPUTS) == set(get_args(OutputFormat))
    assert len({kind.label for kind in OUTPUTS.values()}) == len(OUTPUTS)
