"""The private dialect of earlier versions stays out of code, logs and text for users."""

from __future__ import annotations

from collections import Counter

import pytest

from tools.words import (
    KINDS,
    LEFT_OUT,
    ON_DISK_OR_WIRE,
    REDIS_KEYS,
    Kind,
    count,
    found_in,
    sources,
)

PLAIN: dict[Kind, float] = {"code": 1.0, "logs": 0.0, "text": 1.0}
"""Per 1,000 lines. In code, starlette has 0.2, httpx 0.4, huggingface_hub 0.9, redis-py 2.6."""

LIMITS: dict[str, dict[Kind, float]] = {
    "api": PLAIN,
    "bench": PLAIN,
    "cli": PLAIN,
    "deployment": PLAIN,
    "docs": PLAIN,
    "jobs": PLAIN,
    "media": PLAIN,
    "pipelines": PLAIN,
    "presets": PLAIN,
    "setting_groups": PLAIN,
    "tools": PLAIN,
    "top": PLAIN,
    "training": PLAIN,
    "ui": PLAIN,
    "web": PLAIN,
}
"""By package; each is to become PLAIN."""


def test_every_package_keeps_to_plain_words() -> None:
    over: list[str] = []
    files = list(sources(None))
    for package, kinds in count(files).items():
        for kind in KINDS:
            if kinds[kind].per_1000 > LIMITS[package][kind]:
                most = ", ".join(f"{word} {n}" for word, n in kinds[kind].words.most_common(5))
                over.append(f"{package}, {kind}: {kinds[kind].per_1000:.1f} per 1,000 ({most})")
    assert not over, "see `python -m tools.words --list`: " + "; ".join(over)


SAMPLE = '''"""Tells whoever asks."""
# a comment: the news
def told(given: int, lentFolder: str) -> None:
    """If given, goes on."""
    log.warning("The supervisor stumbled: %s", "asked")
    raise ValueError("Somebody has a clip in mind")
'''


def test_names_comments_docstrings_logs_and_sentences_are_told_apart() -> None:
    found = Counter((each.kind, each.word) for each in found_in("jobs/sample.py", SAMPLE))
    assert found == Counter(
        [
            *(("code", word) for word in ("tells", "whoever", "asks", "news", "told")),
            *(("code", word) for word in ("given", "lent", "goes on")),
            *(("logs", "stumbled"), ("text", "somebody"), ("text", "in mind")),
        ]
    )


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("row.asked = 3", []),
        ("adjust(asked=3)", []),
        ('row["asked"]', []),
        ("class Row:\n    asked: int", []),
        ("asked = 3", ["code"]),
        ('say("you asked for 3")', ["text"]),
        ('redis.get(f"kinora:asked:{ticket}")', []),
        ('redis.get("what was asked")', ["text"]),
    ],
)
def test_a_name_on_disk_or_wire_is_allowed_where_it_is_that_name(
    line: str, kinds: list[Kind]
) -> None:
    assert [each.kind for each in found_in("jobs/sample.py", line)] == kinds


def test_a_page_may_quote_a_name_on_disk_or_wire() -> None:
    line = "The folder `lent/<hash>` and the field `asked` of what was asked."
    assert [each.word for each in found_in("docs/page.md", line)] == ["asked"]


def test_a_paragraph_of_markdown_counts_by_the_lines_it_fills() -> None:
    counts = count([("docs/page.md", "plain words " * 50 + "\n\n" + "whoever")])
    assert counts["docs"]["text"].lines == 7
    assert counts["docs"]["text"].words == {"whoever": 1}


def test_every_exception_has_a_reason() -> None:
    tables = (LEFT_OUT, ON_DISK_OR_WIRE, REDIS_KEYS)
    assert all(reason.strip() for table in tables for reason in table.values())
