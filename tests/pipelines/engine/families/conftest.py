"""What does not hold yet of single families, by name."""

from __future__ import annotations

import pytest

LOOPS_OVER_PART = "[ltx-long-"
"""Its loop is over all timesteps but the last, which the count of steps does not know yet."""
COUNTING = (
    "test_every_step_is_counted_once",
    "test_previews_run_from_the_first_step_to_the_clip",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name.startswith(COUNTING) and LOOPS_OVER_PART in item.name:
            item.add_marker(pytest.mark.xfail(strict=True, reason="one step too many is expected"))
