"""The end of every page: the terms, whom to write to, and whether clips are marked."""

from __future__ import annotations

from html import escape

from settings import Settings

MARKED = "Clips made here have a visible mark."
WATERMARKED = "Clips made here have a hidden watermark."


def footer_links(settings: Settings) -> list[tuple[str, str]]:
    """(label, address) of each that is set."""
    links: list[tuple[str, str]] = []
    if settings.terms_url:
        links.append(("Terms", settings.terms_url))
    if contact := settings.contact:
        links.append(("Contact", contact if "://" in contact else f"mailto:{contact}"))
    return links


def footer_html(settings: Settings) -> str:
    """The same as HTML, in one line; empty if nothing is set."""
    parts = [
        f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{label}</a>'
        for label, address in footer_links(settings)
    ]
    if settings.draws_mark:
        parts.append(f"<span>{MARKED}</span>")
    if settings.watermark:
        parts.append(f"<span>{WATERMARKED}</span>")
    return " ".join(parts)
