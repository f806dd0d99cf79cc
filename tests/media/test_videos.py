"""A stranger's clip is measured before it is decoded, and only our own copy is ever used."""

from __future__ import annotations

import random
import socketserver
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from errors import ErrorCode, KinoraError
from media.videos import VideoLimits, find_video, load_frames, store_video
from pipelines.request import Focus

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SOUND = ("-f", "lavfi", "-i", "sine=duration=1")


def made(path: Path, *options: str, size: str = "160x96", rate: int = 12, more: str = "") -> Path:
    """A second of a moving test card with a tone, as other programs write it."""
    card = f"testsrc=size={size}:rate={rate}:duration=1{more}"
    command = [FFMPEG, "-y", "-loglevel", "error", "-f", "lavfi", "-i", card, *SOUND, *options]
    subprocess.run([*command, str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    h264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")
    mp4 = made(folder / "h264.mp4", *h264, "-metadata", "title=where I live")
    turned = folder / "turned.mp4"
    subprocess.run(
        [FFMPEG, "-y", "-loglevel", "error", "-display_rotation", "90", "-i", mp4, "-c", "copy",
         turned], check=True,
    )  # fmt: skip
    return {
        "h264": mp4,
        "turned": turned,
        "vp9": made(folder / "vp9.webm", "-c:v", "libvpx-vp9", "-cpu-used", "8", "-c:a", "libopus"),
        "vp8": made(folder / "vp8.webm", "-c:v", "libvpx", "-cpu-used", "8", "-c:a", "libvorbis"),
        "wide pixels": made(folder / "sar.mp4", *h264, more=",setsar=2"),
        "1080p60": made(folder / "large.mp4", *h264, size="1920x1080", rate=60),
        "120 fps": made(folder / "fast.mp4", *h264, rate=120),
    }


@pytest.mark.parametrize(
    ("name", "shape", "fps", "frames"),
    [
        ("h264", (160, 96), 12, 12),
        ("vp9", (160, 96), 12, 12),
        ("vp8", (160, 96), 12, 12),
        ("turned", (96, 160), 12, 12),
        ("wide pixels", (320, 96), 12, 12),
        ("1080p60", (1280, 720), 60, 60),
        ("120 fps", (160, 96), 60, 60),
    ],
)
def test_usual_clips_are_kept_upright_square_and_small_with_their_sound(
    clips: dict[str, Path], tmp_path: Path, name: str, shape: tuple[int, int], fps: int, frames: int
) -> None:
    stored = store_video(clips[name], tmp_path)
    assert (stored.width, stored.height) == shape
    assert stored.fps == fps
    assert stored.num_frames == pytest.approx(frames, abs=1)
    assert stored.sent_size == ((1920, 1080) if name == "1080p60" else shape)
    kept = tmp_path / f"{stored.id}.mp4"
    assert b"where I live" not in kept.read_bytes()
    with av.open(str(kept)) as clip:
        assert [stream.type for stream in clip.streams] == ["video", "audio"]
        assert len(list(clip.decode(video=0))) == stored.num_frames
    assert find_video(stored.id, tmp_path) == stored
    assert store_video(clips[name], tmp_path) == stored, "the same bytes, the same name"
    assert len(list(tmp_path.iterdir())) == 2


def test_frames_come_at_the_pace_and_in_the_shape_that_is_asked(
    clips: dict[str, Path], tmp_path: Path
) -> None:
    stored = store_video(clips["h264"], tmp_path)
    frames = load_frames(stored.id, tmp_path, fps=6, num_frames=9, width=64, height=64)
    assert [frame.size for frame in frames] == [(64, 64)] * 9
    pixels = [np.asarray(frame).tobytes() for frame in frames]
    assert len(set(pixels[:6])) == 6, "6 a second, each another moment"
    assert len(set(pixels[5:])) == 1, "the last one is held"
    left = load_frames(
        stored.id, tmp_path, fps=6, num_frames=1, width=64, height=64, focus=Focus(x=0, y=0.5)
    )
    assert np.asarray(left[0]).tobytes() != pixels[0]


def test_the_frames_are_the_clips_own_colours(tmp_path: Path) -> None:
    source = tmp_path / "red.mp4"
    subprocess.run(
        [FFMPEG, "-y", "-loglevel", "error", "-f", "lavfi", "-i",
         "color=0xc03020:size=64x64:rate=4:duration=1,scale=out_color_matrix=bt709,setparams="
         "colorspace=bt709:color_primaries=bt709:color_trc=bt709", "-pix_fmt", "yuv420p", source],
        check=True,
    )  # fmt: skip
    stored = store_video(source, tmp_path)
    (frame,) = load_frames(stored.id, tmp_path, fps=4, num_frames=1, width=32, height=32)
    assert np.abs(np.asarray(frame).astype(int) - [0xC0, 0x30, 0x20]).max() <= 3


# -- what is refused -----------------------------------------------------------------------------


def refused(source: Path, folder: Path, limits: VideoLimits | None = None) -> KinoraError:
    with pytest.raises(KinoraError) as error:
        store_video(source, folder, limits or VideoLimits())
    assert not [p for p in folder.rglob("*") if p.is_file()], "nothing is left of it"
    return error.value


@pytest.mark.parametrize(
    ("name", "limits", "says"),
    [
        ("h264", VideoLimits(max_bytes=2000), "at most 0.002 MB are accepted"),
        ("1080p60", VideoLimits(max_pixels=1280 * 720), "1920 x 1080"),
        ("h264", VideoLimits(max_seconds=0.3), "lasts 1 s"),
    ],
)
def test_too_much_is_refused_before_it_is_decoded(
    clips: dict[str, Path], tmp_path: Path, name: str, limits: VideoLimits, says: str
) -> None:
    error = refused(clips[name], tmp_path / "kept", limits)
    assert error.code is ErrorCode.TOO_LARGE
    assert says in error.message


def test_a_clip_that_takes_too_long_is_given_up(clips: dict[str, Path], tmp_path: Path) -> None:
    began = time.monotonic()
    error = refused(clips["1080p60"], tmp_path / "kept", VideoLimits(timeout_s=0.15))
    assert "too long to read" in error.message
    assert time.monotonic() - began < 5


def test_a_file_that_lies_about_its_size_is_held_to_the_limit_all_the_same(
    clips: dict[str, Path], tmp_path: Path
) -> None:
    """The container says 16x16; the coded pictures are 1920x1080."""
    data = bytearray(clips["1080p60"].read_bytes())
    sample = data.index(b"avc1", data.index(b"stsd"))
    data[sample + 28 : sample + 32] = struct.pack(">HH", 16, 16)
    liar = tmp_path / "liar.mp4"
    liar.write_bytes(data)
    refused(liar, tmp_path / "kept", VideoLimits(max_pixels=640 * 480))


def test_other_codecs_and_things_that_are_no_clips_are_refused_by_name(tmp_path: Path) -> None:
    prores = made(tmp_path / "prores.mov", "-c:v", "prores_ks")
    assert "prores" in refused(prores, tmp_path / "kept").message
    silent = tmp_path / "sound.mp4"
    subprocess.run([FFMPEG, "-y", "-loglevel", "error", *SOUND, "-c:a", "aac", silent], check=True)
    assert "no video track" in refused(silent, tmp_path / "kept").message
    gif = made(tmp_path / "x.gif", "-map", "0:v")
    assert "This is a GIF" in refused(gif, tmp_path / "kept").message


def malformed(sound: list[bytes]) -> Iterator[bytes]:
    rng = random.Random(20)
    for data in sound:
        for _ in range(4):
            yield data[: rng.randrange(len(data))]
        for _ in range(8):
            broken = bytearray(data)
            for _ in range(rng.choice([1, 5, 40])):
                place = rng.randrange(min(2000, len(broken)) if rng.random() < 0.5 else len(broken))
                broken[place] ^= 1 << rng.randrange(8)
            yield bytes(broken)
    yield b""
    yield b"\0\0\0\x18ftypisom"
    yield b"\0\0\0\x18ftypisom" + b"\0\0\0\0moov" * 5000  # atoms within atoms
    yield b"\x1aE\xdf\xa3" + b"\xff" * 5000
    yield b"\0\0\0\x18ftypavif" + rng.randbytes(500)
    for _ in range(5):
        yield b"\0\0\0\x18ftypisom" + rng.randbytes(3000)
        yield b"\x1aE\xdf\xa3" + rng.randbytes(3000)


def test_malformed_clips_end_in_a_sentence_or_a_clip_never_in_a_crash(
    clips: dict[str, Path], tmp_path: Path
) -> None:
    sound = [clips[name].read_bytes() for name in ("h264", "vp9", "turned")]
    kept, told = tmp_path / "kept", []
    for number, data in enumerate(malformed(sound)):
        source = tmp_path / f"{number}.mp4"
        source.write_bytes(data)
        began = time.monotonic()
        try:
            stored = store_video(source, kept)
            load_frames(stored.id, kept, fps=8, num_frames=5, width=32, height=32)
            told.append("a clip")
        except KinoraError as error:
            assert error.code in (ErrorCode.INVALID_VIDEO, ErrorCode.TOO_LARGE)
            assert str(tmp_path) not in error.message
            told.append(error.code.value)
        assert time.monotonic() - began < 20
    assert told.count("invalid_video") >= 15
    assert not list(kept.glob("*.part"))


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """Counts who calls: nobody should."""
    heard: list[bytes] = []

    class Hear(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heard.append(self.request.recv(100))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hear) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], heard
        server.shutdown()


def test_no_file_makes_us_call_anywhere_or_read_another(
    listener: tuple[int, list[bytes]], clips: dict[str, Path], tmp_path: Path
) -> None:
    port, heard = listener
    url = f"http://127.0.0.1:{port}/x.ts"
    secret = clips["h264"]
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXTINF:1,\nfile://{secret}\n"
    for number, text in enumerate([
        playlist,
        f"ffconcat version 1.0\nfile '{secret}'\nfile '{url}'\n",
        f"<?xml version='1.0'?><MPD><BaseURL>{url}</BaseURL></MPD>",
        "\0\0\0\x18ftypisom\0\0\0\0isom" + playlist,
        "v=0\nc=IN IP4 127.0.0.1\nm=video 1234 RTP/AVP 96\n",
    ]):  # fmt: skip
        source = tmp_path / f"{number}.mp4"
        source.write_text(text)
        refused(source, tmp_path / "kept")
    # an MP4 whose samples live in another file
    data = bytearray(secret.read_bytes())
    place = data.index(b"url \0\0\0\1")
    data[place : place + 8] = b"url \0\0\0\0"
    (tmp_path / "dref.mp4").write_bytes(data)
    try:
        store_video(tmp_path / "dref.mp4", tmp_path / "kept")
    except KinoraError as error:
        assert error.code is ErrorCode.INVALID_VIDEO
    assert heard == []


@pytest.mark.parametrize("name", ["x", "../../etc/passwd", "a" * 64, "A" * 64])
def test_only_what_was_stored_here_is_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(KinoraError) as error:
        find_video(name, tmp_path)
    assert error.value.code is ErrorCode.NOT_FOUND
