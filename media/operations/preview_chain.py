"""A preview of an edit, small and short, and an estimate of the whole."""

from __future__ import annotations

from dataclasses import dataclass

from errors import KinoraError
from media.operations.chain import Chain, plan_chain
from media.operations.encoders import needs_first_pass
from media.operations.outputs import OutputFile, OutputFormat, choose_bitrates, fit_output
from media.operations.trim import Trim
from pipelines.request import Quality

PREVIEW_S = 3.0
PREVIEW_SIDE = 480
PREVIEW_FILE = OutputFile(quality="low")

DECODE_S = 0.004
"""Seconds for a megapixel of frames, as measured by `python -m bench operations` on two cores."""
ENCODE_S: dict[OutputFormat, float] = {
    "mp4": 0.015,
    "webm": 0.08,
    "webm-av1": 0.05,
    "gif": 0.06,
    "apng": 0.1,
    "webp": 0.15,
    "png-zip": 0.06,
    "prores": 0.03,
}
START_S = 0.3
"""Of a process."""
BITS_PER_PIXEL: dict[OutputFormat, dict[Quality, float]] = {
    "mp4": {"low": 0.05, "medium": 0.15, "high": 0.4},
    "webm": {"low": 0.04, "medium": 0.1, "high": 0.35},
    "webm-av1": {"low": 0.03, "medium": 0.08, "high": 0.2},
    "gif": {"low": 2.5, "medium": 3.0, "high": 3.5},
    "apng": {"low": 12.0, "medium": 12.0, "high": 12.0},
    "webp": {"low": 0.4, "medium": 0.7, "high": 1.5},
    "png-zip": {"low": 12.0, "medium": 12.0, "high": 12.0},
    "prores": {"low": 2.2, "medium": 3.2, "high": 4.8},
}
"""Of ordinary clips, to say the order of magnitude before there is a file."""
SOUND_BITS = 160_000


@dataclass(frozen=True)
class EditEstimate:
    seconds: float
    megabytes: float


def plan_preview(chain: Chain, seconds: float = PREVIEW_S, max_side: int = PREVIEW_SIDE) -> Chain:
    """The same operations on smaller copies of the clips, up to the first seconds of the result.

    It is written as PREVIEW_FILE.
    """
    longest = max(max(each.info.width, each.info.height) for each in chain.sources)
    ratio = min(1.0, max_side / longest)
    operations = [step.operation.scaled(ratio) for step in chain.steps]
    if chain.info.duration_s > seconds:
        operations.append(Trim(end_s=seconds))
    sources = [each.scaled(ratio) for each in chain.sources]
    try:
        return plan_chain(sources, operations, files=chain.files)
    except KinoraError:  # lengths in pixels that make no sense in a small size
        operations = [step.operation for step in chain.steps] + operations[len(chain.steps) :]
        return plan_chain(chain.sources, operations, files=chain.files)


def estimate_chain(chain: Chain, output: OutputFile) -> EditEstimate:
    """Time on two cores without a GPU, and the size of the file.

    Raises KinoraError(INVALID_INPUT) for what the file cannot hold.
    """
    info, _ = fit_output(chain.info, output)
    pixels = info.width * info.height * info.num_frames
    passes = 2 if needs_first_pass(chain.info, output) else 1
    seconds = START_S * passes
    for source in chain.sources:
        frames = source.info.num_frames * source.info.width * source.info.height / 1e6
        seconds += frames * DECODE_S * passes
    for step in chain.steps:
        for source in step.sources:
            frames = source.num_frames * source.width * source.height / 1e6
            seconds += frames * step.operation.cost(source) * passes
    format = "mp4" if output.format == "lossless" else output.format
    seconds += pixels / 1e6 * ENCODE_S[format] * passes
    if output.target_mb is not None:
        choose_bitrates(info, output)
        return EditEstimate(round(seconds, 1), output.target_mb)
    bits = pixels * BITS_PER_PIXEL[format][output.quality]
    bits += SOUND_BITS * float(info.duration_s) if info.channels else 0
    return EditEstimate(round(seconds, 1), round(bits / 8e6, 2))
