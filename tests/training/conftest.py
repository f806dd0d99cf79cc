"""What the tests of the training share: the tokenizer, and a few renderings of every motion."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from training.tokenizer import build_tokenizer
from training.world.motions import MOTIONS
from training.world.render import RenderedClip, render

cv2.setNumThreads(1)
torch.set_num_threads(1)

CLIPS_A_MOTION = 12


@pytest.fixture(scope="session")
def words() -> PreTrainedTokenizerFast:
    return build_tokenizer()


@pytest.fixture(scope="session")
def films() -> dict[str, list[RenderedClip]]:
    """By motion: clips of any subject in any place, from seeds that no training draws."""
    return {
        motion.name: [
            render(np.random.default_rng((31, m, i)), motion=motion) for i in range(CLIPS_A_MOTION)
        ]
        for m, motion in enumerate(MOTIONS)
    }
