"""What each operation should do, on arrays: an implementation that shares nothing with ffmpeg."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from media.operations.change_speed import Speed
from media.operations.crop import Crop
from media.operations.freeze import Freeze
from media.operations.looping import Loop
from media.operations.operation import Operation
from media.operations.pad import Pad
from media.operations.reverse import Reverse
from media.operations.rotate import Rotate
from media.operations.split import Split
from media.operations.trim import Trim

SILENT = -1


@dataclass(frozen=True)
class Expected:
    frames: np.ndarray
    """[F, H, W, 3] float."""
    fps: Fraction
    heard: list[int | None]
    """Per frame, the source's frame whose tone is heard; SILENT; None if it cannot be said."""


def nearest(time_s: float, fps: Fraction) -> int:
    return int(np.floor(time_s * float(fps) + 0.5 + 1e-9))


def apply(operation: Operation, clip: Expected) -> Expected:
    order = list(range(len(clip.frames)))
    match operation:
        case Trim(start_s=start, end_s=end):
            until = len(order) if end is None else nearest(end, clip.fps)
            return chosen(clip, order[nearest(start, clip.fps) : until])
        case Split(at_s=at, keep=keep):
            cut = nearest(at, clip.fps)
            return chosen(clip, order[:cut] if keep == "before" else order[cut:])
        case Reverse():
            return chosen(clip, order[::-1])
        case Speed(factor=factor):
            ratio = Fraction(factor).limit_denominator(1000)
            count = max(1, int(len(order) / ratio + Fraction(1, 2)))
            nearest_ones = [math.ceil((n + Fraction(1, 2)) * ratio) - 1 for n in range(count)]
            picked = chosen(clip, nearest_ones)
            return replace(picked, heard=[None] * count)
        case Freeze(at_s=at, hold_s=hold):
            frame = len(order) - 1 if at is None else int(at * float(clip.fps) + 0.01)
            held = max(1, nearest(hold, clip.fps))
            order[frame + 1 : frame + 1] = [frame] * held
            made = chosen(clip, order)
            made.heard[frame + 1 : frame + 1 + held] = [SILENT] * held
            return made
        case Loop(style="boomerang", times=times):
            return chosen(clip, (order + order[-2:0:-1]) * times)
        case Loop(style="repeat", times=times):
            return chosen(clip, order * times)
        case Loop(times=times, fade_s=fade_s):
            return crossfaded(clip, max(1, nearest(fade_s, clip.fps)), times)
        case Crop():
            made = operation.output(info(clip))
            x = (info(clip).width - made.width) // 4 * 2 if operation.x is None else operation.x
            y = (info(clip).height - made.height) // 4 * 2 if operation.y is None else operation.y
            part = clip.frames[:, y : y + made.height, x : x + made.width]
            return replace(clip, frames=part)
        case Pad():
            return padded(clip, operation)
        case Rotate(degrees=degrees, mirror=mirror):
            frames = np.rot90(clip.frames, -degrees // 90, axes=(1, 2))
            frames = {
                "none": frames,
                "horizontal": frames[:, :, ::-1],
                "vertical": frames[:, ::-1],
            }[mirror]
            return replace(clip, frames=frames)
    raise AssertionError(operation)


def chosen(clip: Expected, order: list[int]) -> Expected:
    return Expected(clip.frames[order], clip.fps, [clip.heard[n] for n in order])


def crossfaded(clip: Expected, fade: int, times: int) -> Expected:
    count = len(clip.frames)
    share = ((np.arange(fade) + 1) / (fade + 1))[:, None, None, None]
    blended = clip.frames[count - fade :] * (1 - share) + clip.frames[:fade] * share
    frames = np.concatenate([clip.frames[fade : count - fade], blended])
    heard = [*clip.heard[fade : count - fade], *([None] * fade)]
    return Expected(np.concatenate([frames] * times), clip.fps, heard * times)


def padded(clip: Expected, operation: Pad) -> Expected:
    made = operation.output(info(clip))
    number = int(operation.colour.removeprefix("#"), 16)
    colour = np.array([number >> 16, number >> 8 & 255, number & 255], float)
    canvas = np.broadcast_to(colour, (len(clip.frames), made.height, made.width, 3)).copy()
    _, height, width, _ = clip.frames.shape
    x, y = (made.width - width) // 4 * 2, (made.height - height) // 4 * 2
    canvas[:, y : y + height, x : x + width] = clip.frames
    return replace(clip, frames=canvas)


def info(clip: Expected):  # noqa: ANN201
    from media.operations.operation import StreamInfo

    count, height, width, _ = clip.frames.shape
    return StreamInfo(width, height, clip.fps, count)


def is_plain(frame: np.ndarray, radius: int = 6) -> np.ndarray:
    """[H, W]: whether all pixels around one have the same colour; outside of the frame counts."""
    padded_frame = np.pad(frame, ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    size = 2 * radius + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded_frame, (size, size), axis=(0, 1))
    return (np.ptp(windows.reshape(*frame.shape[:2], 3, -1), axis=-1) < 0.5).all(-1)
