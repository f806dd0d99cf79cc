"""The page's own style and script: all of it local."""

from __future__ import annotations

import re

from ui import theme

NAMES_NOT_FETCHED = {"http://www.w3.org/2000/svg"}


def test_nothing_in_style_or_script_comes_from_another_host() -> None:
    for path in theme.STATIC.iterdir():
        found = set(re.findall(r"https?://[^\s\"'`)<>]+", path.read_text(encoding="utf-8")))
        assert found <= NAMES_NOT_FETCHED, path.name


def test_scripts_never_turn_text_into_html() -> None:
    for path in theme.STATIC.glob("*.js"):
        script = path.read_text(encoding="utf-8")
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in script, f"{path.name} uses {way}"


def test_every_static_file_is_used() -> None:
    used = {*theme.STYLES, *theme.SCRIPTS, "favicon.svg"}
    assert {path.name for path in theme.STATIC.iterdir()} == used


def test_the_head_cannot_end_its_own_script() -> None:
    head = theme.head()
    assert head.count("</script>") == head.count("</style>") == 1


def test_the_theme_asks_no_other_host_for_fonts() -> None:
    assert theme.build()._stylesheets == []
