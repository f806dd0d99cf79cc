"""The README, the pages in docs/ and the changelog are true."""

from __future__ import annotations

import re

from settings import ROOT, VERSION


def test_the_version_is_the_same_wherever_it_is_named() -> None:
    """tests/api/test_schema.py looks at the OpenAPI document."""
    released = re.findall(r"^## \[(\d\S*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    project = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert released[0] == VERSION
    assert project == [VERSION]


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", each) for each in headings[1:])
