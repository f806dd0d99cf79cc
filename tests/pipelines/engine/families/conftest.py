"""Which checks of the family matrix run for which specimen."""

from __future__ import annotations

import re

import pytest

from tests.zoo import specimens

ALWAYS = ("test_frames_equal", "test_the_clip_sounds", "test_in_half_precision")
FRAMES_ONLY = tuple(each.name for each in specimens() if each.frames_only)
CASE = re.compile(rf"\[({'|'.join(map(re.escape, FRAMES_ONLY))})-(t2v|i2v|v2v|flf)\]$")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    matrix = [item for item in items if item.path.name == "test_families.py"]
    left_out = {i for i in matrix if CASE.search(i.name) and not i.name.startswith(ALWAYS)}
    items[:] = [item for item in items if item not in left_out]
    for item in matrix:
        if item.name.startswith("test_previews_run") and "[ltx-long-i2v]" in item.name:
            # its loop leaves out the last timestep, so the clip keeps some noise that previews lack
            item.add_marker(pytest.mark.xfail(strict=True, reason="the clip is a step noisier"))
