"""The terms and the contact at the end of the pages."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from settings import Settings
from web.footer_links import TEXTS, footer_html


class Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "a":
            self.found.append(dict(attrs))


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)  # pyright: ignore[reportCallIssue]


def test_without_settings_there_is_nothing() -> None:
    assert footer_html(settings()) == ""


@pytest.mark.parametrize(
    ("contact", "href"),
    [
        ("help@example.org", "mailto:help@example.org"),
        ("https://example.org/contact", "https://example.org/contact"),
    ],
)
def test_terms_and_contact_are_links(contact: str, href: str) -> None:
    html = footer_html(settings(terms_url="https://example.org/terms", contact=contact))
    assert [link["href"] for link in Links(html).found] == ["https://example.org/terms", href]
    assert all(link["rel"] == "noopener noreferrer" for link in Links(html).found)


def test_an_address_cannot_end_its_attribute() -> None:
    address = 'https://example.org/"><script>alert(1)</script>'
    html = footer_html(settings(terms_url=address))
    assert Links(html).tags == ["a"]
    assert Links(html).found[0]["href"] == address


def test_it_says_that_clips_are_marked() -> None:
    assert TEXTS["marked"] in footer_html(settings(mark_text="AI"))
    assert TEXTS["watermarked"] in footer_html(settings(watermark="Kinora"))
