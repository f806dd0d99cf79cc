"""Checks of test_families.py that must fail until the engine sees every kind of step.

To be deleted with the change that does: then the checks pass, and fail here.
"""

from __future__ import annotations

import re

import pytest

NOT_SEEN: dict[str, re.Pattern[str]] = {
    # a scheduler for each latent frame: no step is seen
    "skyreels-v2-df": re.compile("every_step|previews|cancel|finish_now"),
    "skyreels-v2-df-long": re.compile("every_step|previews|cancel|finish_now"),
    # the total of a round is taken for that of the clip
    "helios-base": re.compile("every_step"),
    "helios-mid": re.compile("every_step"),
    "framepack": re.compile("every_step"),
    "framepack-f1": re.compile("every_step"),
    # a scheduler without `index_for_timestep`: every run fails
    "helios-distilled": re.compile("(?!.*(sounds))"),
}


@pytest.fixture(autouse=True)
def _expected_to_fail(request: pytest.FixtureRequest) -> None:
    callspec = getattr(request.node, "callspec", None)
    name, *_ = callspec.params.get("case", ("",)) if callspec else ("",)
    if name in NOT_SEEN and NOT_SEEN[name].search(request.node.originalname):
        request.applymarker(pytest.mark.xfail(strict=True, reason="steps that are not seen"))
