"""Evaluates clips from the command line."""

from __future__ import annotations

from pathlib import Path

from errors import ErrorCode, KinoraError
from jobs.evaluation import Evaluation, evaluate_pixels
from settings import Settings

CLIP_INPUT_SIDE = 336
"""CLIP models read pictures of 224 or 336 pixels."""


def evaluate(clip: Path, prompt: str | None, settings: Settings) -> Evaluation:
    """`prompt` defaults to the one stored in the clip. Raises KinoraError."""
    from media.metadata import read_comment
    from media.small_frames import read_small_frames

    if not clip.is_file():
        raise KinoraError(ErrorCode.INVALID_INPUT, f"There is no file {clip}.")
    found = evaluate_pixels(clip)
    if prompt is None:
        settings_inside = (read_comment(clip) or {}).get("settings")
        stored = settings_inside.get("prompt") if isinstance(settings_inside, dict) else None
        prompt = stored if isinstance(stored, str) else ""
    if settings.clip_model is None or not prompt.strip():
        return found
    from media.clip_metrics import MOST_FRAMES
    from pipelines.engine.clip_score import score

    frames = read_small_frames(clip, CLIP_INPUT_SIDE, MOST_FRAMES)
    return found.model_copy(
        update={
            "clip_score": score(frames, prompt, settings),
            "clip_model": settings.clip_model,
        }
    )


def lines(clip: Path, found: Evaluation) -> list[str]:
    """What is printed of one clip."""

    def value(name: str, number: float | None, unit: str = "") -> str:
        return f"    {name:<22}" + ("too few frames" if number is None else f"{number:g}{unit}")

    rows = [
        f"{clip}  {found.frames} frames",
        value("motion smoothness", found.motion_smoothness),
        value("temporal consistency", found.temporal_consistency),
        value("flicker", found.flicker, " of 255 levels"),
    ]
    if found.clip_score is not None:
        rows.append(value("CLIP score", found.clip_score, f" of 100 ({found.clip_model})"))
    return rows
