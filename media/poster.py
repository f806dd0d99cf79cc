"""Two stills of a clip: one to show before it plays, one to go on from.

Knows frames and files. Does not know the clip's own file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from media.files import whole


def write_poster(frames: np.ndarray, path: Path) -> None:
    """The middle frame as a JPEG."""
    with whole(path) as part:
        Image.fromarray(frames[len(frames) // 2]).save(part, format="JPEG", quality=88)


def write_last_frame(frames: np.ndarray, path: Path) -> None:
    """The last frame, every pixel as it was decoded: a clip that goes on from it fits exactly."""
    with whole(path) as part:
        Image.fromarray(frames[-1]).save(part, format="PNG")
