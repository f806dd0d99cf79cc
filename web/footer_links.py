"""The end of every page: the terms, whom to write to, and whether clips are marked."""

from __future__ import annotations

from html import escape

from settings import Settings
from web.languages import Language

TEXTS = {
    "terms": "Terms",
    "contact": "Contact",
    "marked": "Clips made here have a visible mark.",
    "watermarked": "Clips made here have a hidden watermark.",
}


def footer_links(settings: Settings) -> list[tuple[str, str]]:
    """(label, address) of each that is set."""
    links: list[tuple[str, str]] = []
    if settings.terms_url:
        links.append((TEXTS["terms"], settings.terms_url))
    if contact := settings.contact:
        links.append((TEXTS["contact"], contact if "://" in contact else f"mailto:{contact}"))
    return links


def footer_html(settings: Settings, language: Language | None = None) -> str:
    """The same as HTML, in one line; empty if nothing is set."""

    def say(text: str) -> str:
        return escape(language.translate(text)) if language else text

    parts = [
        f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{say(label)}</a>'
        for label, address in footer_links(settings)
    ]
    if settings.draws_mark:
        parts.append(f"<span>{say(TEXTS['marked'])}</span>")
    if settings.watermark:
        parts.append(f"<span>{say(TEXTS['watermarked'])}</span>")
    return " ".join(parts)
