"""Compares the frames and the sound of a clip with what its request promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.request import Adjustment

if TYPE_CHECKING:
    import numpy as np

    from pipelines.models.cards import ModelCard
    from pipelines.request import FittedRequest
    from pipelines.sound import Sound

SOUND = "sound"


def note_differences(
    fitted: FittedRequest,
    card: ModelCard,
    frames: np.ndarray,
    sound: Sound | None,
    changes: list[Adjustment],
) -> None:
    """Adds an adjustment for each difference: some pipelines round lengths or sizes by themselves.

    `frames`: uint8 [F, H, W, 3], all that were sampled.
    """
    count, height, width = frames.shape[:3]
    if count != fitted.num_frames:
        seconds, promised_s = count / fitted.fps, fitted.num_frames / fitted.fps
        changes.append(
            Adjustment(
                field="num_frames",
                asked=fitted.num_frames,
                used=count,
                sentence=f"The clip has {count} frames ({seconds:.1f} s) instead of "
                f"{fitted.num_frames} ({promised_s:.1f} s): {card.name} sets the length itself.",
            )
        )
    made = {"width": width, "height": height}
    for (field, used), promised in zip(made.items(), fitted.made_size, strict=True):
        if used != promised:
            changes.append(
                Adjustment(
                    field=field,
                    asked=promised,
                    used=used,
                    sentence=f"The {field} is {used} instead of {promised}: "
                    f"{card.name} sets the size itself.",
                )
            )
    if card.rules.sound and sound is None and all(each.field != SOUND for each in changes):
        changes.append(
            Adjustment(
                field=SOUND,
                asked="with sound",
                used="without sound",
                sentence=f"The clip is without sound: {card.name} made none this time.",
            )
        )


def made_otherwise(fitted: FittedRequest, frames: np.ndarray) -> dict[str, dict[str, float]]:
    """What the file says of the clip where its settings do not: `made`, or nothing."""
    count, height, width = frames.shape[:3]
    if (count, (width, height)) == (fitted.num_frames, fitted.made_size):
        return {}
    return {"made": {"num_frames": count, "width": width, "height": height, "fps": fitted.fps}}
