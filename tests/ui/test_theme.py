"""The page's own style and scripts: all of it local, and all of it used."""

from __future__ import annotations

import posixpath
import re

from ui import assets, theme

NAMES_NOT_FETCHED = {"http://www.w3.org/2000/svg"}


def test_nothing_in_style_or_script_comes_from_another_host() -> None:
    for path in assets.STATIC.iterdir():
        found = set(re.findall(r"https?://[^\s\"'`)<>]+", path.read_text(encoding="utf-8")))
        assert found <= NAMES_NOT_FETCHED, path.name


def test_scripts_never_turn_text_into_html() -> None:
    for path in assets.STATIC.glob("*.js"):
        script = path.read_text(encoding="utf-8")
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in script, f"{path.name} uses {way}"


def test_every_static_file_is_used() -> None:
    scripts = assets.Scripts.read().files
    imported = {name for path, text in scripts.items() for name in imports_of(path, text.decode())}
    assert set(scripts) == imported | {assets.MAIN}
    others = {path.name for path in assets.STATIC.iterdir() if path.is_file()} - {*scripts}
    assert others == {*assets.STYLES, "favicon.svg"}


def imports_of(path: str, text: str) -> set[str]:
    """By their paths below `static`. What is imported is named as it is: nothing is looked up."""
    found = re.findall(r"""^(?:import|export)\b[^"';]*?["']([^"']+)["']""", text, re.MULTILINE)
    assert all(name.startswith(("./", "../")) for name in found), path
    return {posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) for name in found}


def test_the_head_cannot_end_its_own_script() -> None:
    head = assets.Scripts.read().head()
    assert head.count("</script>") == head.count("</style>") == 1


def test_the_address_of_the_scripts_changes_with_any_of_them() -> None:
    scripts = assets.Scripts.read()
    assert scripts.version in scripts.head()
    assert scripts.version in scripts.preloads()
    assert scripts.preloads().count("rel=modulepreload") == len(scripts.files)


def test_the_theme_asks_no_other_host_for_fonts() -> None:
    assert theme.build()._stylesheets == []
