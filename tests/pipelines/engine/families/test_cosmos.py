"""Cosmos and the packages that it needs; its clips are in test_families.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import ErrorCode, KinoraError
from pipelines.engine.families.base import Inputs
from pipelines.engine.families.cosmos import Cosmos
from pipelines.engine.manager import PipelineManager
from pipelines.models.cards import load_cards
from pipelines.models.fit import Limits, fit
from pipelines.models.packages import check_packages
from pipelines.request import GenerationRequest, Task
from settings import Settings
from tests.pipelines.engine.families.case import Person, picture
from tests.zoo import write_card
from tests.zoo.cosmos import FORBIDDEN, SPECIMENS, packages

COSMOS_2, COSMOS_25 = SPECIMENS


def manager_for(folder: Path) -> PipelineManager:
    """Of a repository without any file: whatever is looked for in it fails by another name."""
    write_card(COSMOS_25, folder / "cards", folder / "repo")
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "data",
        models_dir=folder / "cards",
    )
    return PipelineManager(load_cards(settings.models_dir), settings)


def test_without_its_packages_it_is_refused_before_anything_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(KinoraError) as refused:
        manager_for(tmp_path).get(COSMOS_25.name, Task.TEXT_TO_VIDEO)
    assert refused.value.code is ErrorCode.MODEL_REFUSED
    assert "cosmos_guardrail and torchvision" in refused.value.message
    assert refused.value.details["reason"] == "missing_package"


def test_with_its_packages_it_is_looked_for(tmp_path: Path) -> None:
    with packages(), pytest.raises(KinoraError) as refused:
        manager_for(tmp_path).get(COSMOS_25.name, Task.TEXT_TO_VIDEO)
    assert refused.value.details["reason"] == "no_files"


def test_only_models_that_need_them_are_checked(tmp_path: Path) -> None:
    from tests.zoo.easyanimate import SPECIMENS as OTHERS

    write_card(OTHERS[0], tmp_path, tmp_path)
    (card,) = load_cards(tmp_path).values()
    check_packages(card)


def test_the_end_of_a_clip_is_given_as_a_clip_and_not_as_a_picture(tmp_path: Path) -> None:
    write_card(COSMOS_2, tmp_path, tmp_path)
    (card,) = load_cards(tmp_path).values()
    asked = GenerationRequest.model_validate({"prompt": "a dog", "seed": 1, "image": "0" * 64})
    fitted = fit(asked, card, Limits())
    lead = tuple(picture(32, 32, n) for n in range(5))
    arguments = Cosmos().call_arguments(card, fitted, Inputs(image=lead[-1], lead=lead))
    assert arguments["video"] == list(lead)
    assert "image" not in arguments
    assert arguments["fps"] == card.defaults.fps


@pytest.mark.slow
def test_the_guardrail_sees_every_prompt_and_every_frame(tmp_path: Path) -> None:
    from pipelines.engine.denoise import SampledFrames, denoise

    COSMOS_25.build(tmp_path / "repo")
    with packages():
        manager = manager_for(tmp_path)
        loaded = manager.get(COSMOS_25.name, Task.TEXT_TO_VIDEO)
        asked = GenerationRequest.model_validate({"prompt": "a dog", "seed": 1})
        fitted = fit(asked, loaded.card, Limits())
        sampled = denoise(loaded, fitted, Inputs(), Person(), lambda _step: None)
        assert isinstance(sampled, SampledFrames)
        assert not sampled.frames[:, 0].any()  # the stand-in blackens the first row
        assert sampled.frames[:, 1:].any()
        forbidden = fitted.model_copy(update={"prompt": FORBIDDEN})
        with pytest.raises(KinoraError, match="unsafe text"):
            denoise(loaded, forbidden, Inputs(), Person(), lambda _step: None)
