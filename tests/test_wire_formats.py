"""Programs that were written against an earlier version go on working: no name, order, type or
default of an interface changes without `python -m tests.wire_formats`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.doors import Doors
from tests.wire_formats import GOLDEN, wire_formats

KNOWN: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    doors = Doors(tmp_path_factory.mktemp("doors"))
    yield wire_formats(doors)
    doors.close()


@pytest.mark.parametrize("part", KNOWN)
def test_what_programs_see_is_what_they_saw(present: dict[str, Any], part: str) -> None:
    assert present[part] == KNOWN[part]
    assert [*present[part]] == [*KNOWN[part]], "the order"
    for name, known in KNOWN[part].items():
        assert [*present[part][name]] == [*known], f"the order of {name}"
