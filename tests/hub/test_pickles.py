"""A repository that offers a part of itself only as a pickle is refused, and nothing is fetched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from errors import ErrorCode, KinoraError
from tests.goals import Goal
from tests.hub.conftest import Child
from tests.hub.server import TestHub

WEIGHTS = {
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "transformer": "transformer/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}
PICKLED = {"text_encoder": "text_encoder/pytorch_model.bin"}


@pytest.mark.goal("G24")
def test_a_repository_with_pickles_only_is_refused(
    hub: TestHub,
    child: Child,
    tiny_repo: Path,
    settings: Callable[..., dict[str, Any]],
    goal: Goal,
) -> None:
    refused, fetched = 0, 0
    for part, weights in WEIGHTS.items():
        repo = f"pickled/{part}"
        pickle = PICKLED.get(part, f"{part}/diffusion_pytorch_model.bin")
        data = (tiny_repo / weights).read_bytes()
        hub.add(repo, tiny_repo, add={pickle: data}, drop=weights)
        with pytest.raises(KinoraError) as caught:
            child.ask("get", model="pocket", task="t2v", settings=settings(repo))
        assert caught.value.code is ErrorCode.MODEL_REFUSED
        assert caught.value.details["reason"] == "pickle_only"
        assert "can run any code" in caught.value.message
        refused += 1
        fetched += hub.bytes_sent(rf"{repo}/.+\.(safetensors|bin)")
    goal.count("repositories with a pickle refused", refused, at_least=len(WEIGHTS))
    goal.count("bytes of their weights fetched", fetched, at_most=0)
