"""The theme: all of it local."""

from __future__ import annotations

from ui import theme


def test_the_theme_asks_no_other_host_for_fonts() -> None:
    assert theme.build()._stylesheets == []
