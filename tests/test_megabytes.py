"""Sizes in sentences: in the unit of the settings, and never as 1.02e+03."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import KinoraError, megabytes
from media.operations.processes import check_size
from tests.test_walls import ROOMS, sources

EXPONENT = re.compile(r":[^{}]*g\} (?:kB|MB)")
"""A size with a format that may become an exponent."""


@given(st.integers(0, 10**15))
def test_any_size_is_written_as_people_write_it(size: int) -> None:
    words = megabytes(size)
    assert re.fullmatch(r"\d+(\.\d{1,3})?", words)
    assert abs(float(words) * 1e6 - size) <= (51_000 if size >= 1e6 else 501)


def test_the_limit_in_a_sentence_is_that_of_the_setting(tmp_path: Path) -> None:
    file = tmp_path / "clip"
    with file.open("wb") as made:
        made.truncate(1_100_000_000)  # sparse: takes no space
    with pytest.raises(KinoraError, match="The file would be larger than 1024 MB, the limit of"):
        check_size(file, 1_024_000_000)


def test_no_sentence_has_a_size_with_an_exponent() -> None:
    found = [path for path in sources(*ROOMS) if EXPONENT.search(path.read_text(encoding="utf-8"))]
    assert not found
