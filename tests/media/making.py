"""Clips as phones, cameras and screen recorders write them: known colours, timestamps and sound."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
TO_2020 = np.array([  # ITU-R BT.2087
    [0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956],
])  # fmt: skip
TO_P3 = np.array([[0.8225, 0.1775, 0.0], [0.0332, 0.9668, 0.0], [0.0171, 0.0724, 0.9105]])
PATCH = 16


def light_of(srgb: np.ndarray) -> np.ndarray:
    """sRGB numbers, 0 to 255, to linear light."""
    value = np.asarray(srgb, float) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def gamma_of(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def as_hlg(srgb: np.ndarray, nits: float = 203.0) -> np.ndarray:
    """SDR colours in an HLG signal by ITU-R BT.2100, white at `nits` on a display of 1000."""
    shown = light_of(srgb) @ TO_2020.T * nits / 1000
    luma = (shown @ [0.2627, 0.6780, 0.0593])[..., None]
    scene = shown * np.maximum(luma, 1e-9) ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    high = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high).clip(0, 1)


def as_pq(srgb: np.ndarray, nits: float = 203.0) -> np.ndarray:
    """SDR colours in a PQ signal by SMPTE ST 2084."""
    power = (light_of(srgb) @ TO_2020.T * nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def as_wide(srgb: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """SDR colours in the numbers of a wider gamut."""
    return gamma_of(light_of(srgb) @ matrix.T)


def patches(signal: np.ndarray, columns: int) -> np.ndarray:
    """R'G'B' of [N, 3] in 0..1 as squares in rows."""
    rows = signal.reshape(-1, columns, 3)
    return rows.repeat(PATCH, 0).repeat(PATCH, 1)


def in_yuv(
    picture: np.ndarray, matrix: str, *, bits: int = 8, full: bool = False, half: bool = True
) -> bytes:
    """Planes of Y, Cb and Cr by the definition; colour in half the resolution."""
    kr, kb = KR_KB[matrix]
    red, green, blue = np.moveaxis(picture, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    blues, reds = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    if half:
        blues, reds = (plane[::2, ::2] for plane in (blues, reds))
    most, step = 2**bits - 1, 2 ** (bits - 8)
    if full:
        planes = [luma * most, blues * most + 128 * step, reds * most + 128 * step]
    else:
        planes = [
            (16 + 219 * luma) * step, (128 + 224 * blues) * step, (128 + 224 * reds) * step
        ]  # fmt: skip
    kind = np.uint8 if bits == 8 else "<u2"
    return b"".join(plane.round().clip(0, most).astype(kind).tobytes() for plane in planes)


def write_raw(
    path: Path, pixels: bytes, size: tuple[int, int], pix_fmt: str, *how: str, tags: str = ""
) -> Path:
    """Four equal frames at 8 a second, tagged as told and not otherwise."""
    named = ("colorspace", "color_primaries", "color_trc", "range")
    words = [f"{name}={tag}" for name, tag in zip(named, tags.split(), strict=False) if tag != "-"]
    filters = ("-vf", f"setparams={':'.join(words)}") if words else ()
    subprocess.run(
        [FFMPEG, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", pix_fmt,
         "-video_size", f"{size[0]}x{size[1]}", "-framerate", "8", "-i", "pipe:0", *filters,
         *how, str(path)], input=pixels * 4, check=True,
    )  # fmt: skip
    return path


def grey(value: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def write_timed(
    path: Path,
    values: Sequence[int],
    times: Sequence[Fraction],
    ends: Fraction,
    *,
    tick: Fraction = Fraction(1, 90_000),
    sound: np.ndarray | None = None,
    sound_begins: Fraction = Fraction(0),
    sound_codec: str = "aac",
    layout: str = "mono",
    codec: str = "libx264",
) -> Path:
    """Grey pictures, each at its own time; the last one lasts until `ends`."""
    with av.open(str(path), "w") as clip:
        video = clip.add_stream(codec, rate=60)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.options = {"preset": "ultrafast", "crf": "8", "bf": "0"}
        video.codec_context.time_base = tick
        audio = None
        if sound is not None:
            audio = clip.add_stream(sound_codec, rate=48_000, layout=layout)
        places = [round(time / tick) for time in (*times, ends)]
        lasting = {}
        for n, value in enumerate(values):
            frame = av.VideoFrame.from_ndarray(grey(value), format="rgb24")
            frame.pts, frame.time_base = places[n], tick
            lasting[places[n]] = places[n + 1] - places[n]
            for packet in video.encode(frame):
                packet.duration = lasting[packet.pts or 0]
                clip.mux(packet)
        for packet in video.encode(None):
            packet.duration = lasting[packet.pts or 0]
            clip.mux(packet)
        if audio is not None and sound is not None:
            form = audio.codec_context.format.name
            whole = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(sound, np.float32), format="fltp", layout=layout
            )
            whole.rate = 48_000
            whole.pts, whole.time_base = round(sound_begins * 48_000), Fraction(1, 48_000)
            size = audio.codec_context.frame_size or 1024
            resampler = av.AudioResampler(form, layout, 48_000, frame_size=size)
            for part in (*resampler.resample(whole), *resampler.resample(None)):
                clip.mux(audio.encode(part))
            clip.mux(audio.encode(None))
    return path


def shown_values(path: Path) -> tuple[list[Fraction], list[int]]:
    """When each picture of a file appears, and its grey, by PyAV."""
    times: list[Fraction] = []
    values: list[int] = []
    with av.open(str(path)) as clip:
        for frame in clip.decode(video=0):
            times.append(Fraction(frame.pts or 0) * (frame.time_base or 0))
            luma = frame.to_ndarray(format="gray")[8:-8, 8:-8].mean()
            values.append(round(float(luma)))
    return times, values
