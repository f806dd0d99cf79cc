from __future__ import annotations

import pytest

from pipelines.models.negative_prompts import empty_negative_prompt


@pytest.mark.parametrize(
    ("of", "passed"),
    [
        ("EasyAnimatePipeline", ""),  # iterates over it
        ("EasyAnimateInpaintPipeline", ""),
        ("WanPipeline", None),
        ("AnimateDiffPipeline", None),
        ("CosmosTextToWorldPipeline", None),  # has a default of its own for None
        ("HunyuanSkyreelsImageToVideoPipeline", None),  # "" would switch true CFG on
        ("NoSuchPipeline", None),
    ],
)
def test_an_empty_negative_prompt_is_passed_where_none_is_not_understood(
    of: str, passed: str | None
) -> None:
    assert empty_negative_prompt(of) == passed
