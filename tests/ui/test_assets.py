"""The page's own style and scripts: all of it local, and all of it used."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import shutil
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from settings import ROOT
from ui import assets, verify_page

NAMES_NOT_FETCHED = {
    "http://www.w3.org/2000/svg",
    "http://www.w3.org/1999/xhtml",
    "http://www.w3.org/1998/Math/MathML",
}
IMPORT = r"""^(?:import|export)\b(?:[\w\s{},*$]*\bfrom)?\s*["']([^"']+)["']"""
IMPORT_LATER = r"""\bimport\("(\./[^"]+\.js)"\)"""
WAYS_TO_HTML = (
    "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
    "dangerouslySetInnerHTML", "DOMParser", "createContextualFragment", "setHTML",
)  # fmt: skip


@pytest.fixture
def client() -> TestClient:
    script = assets.Script.read()
    page = Route("/", lambda request: PlainTextResponse("the page"))
    preload = Middleware(assets.PreloadScript, link=script.preload())
    return TestClient(Starlette(routes=[page, script.route()], middleware=[preload]))


def sources(*kinds: str) -> list[Path]:
    """Of our own: the library has tests of its own."""
    found = [path for kind in kinds for path in assets.STATIC.rglob(f"*.{kind}")]
    return [path for path in found if assets.VENDOR not in path.parents]


def test_nothing_in_style_or_script_comes_from_another_host() -> None:
    for path in [*sources("js", "css", "svg"), *assets.VENDOR.glob("*.js")]:
        found = set(re.findall(r"https?://[^\s\"'`)<>]+", path.read_text(encoding="utf-8")))
        assert found <= NAMES_NOT_FETCHED, path.name


def test_scripts_never_turn_text_into_html() -> None:
    for path in sources("js"):
        script = path.read_text(encoding="utf-8")
        for way in WAYS_TO_HTML:
            assert way not in script, f"{path.name} uses {way}"


def test_every_static_file_is_used() -> None:
    modules = assets.modules()
    used, found = set(), {assets.MAIN, verify_page.MAIN}
    while found:
        used |= found
        found = {name for path in found for name in imports_of(path, modules[path])} - used
    assert set(modules) == used
    others = {path.name for path in sources("*") if path.is_file()} - {Path(s).name for s in used}
    styles = {*assets.STYLES, *assets.LATER_STYLES, *verify_page.STYLES}
    types = {"types.d.ts", "globals.d.ts", "editing.d.ts"}
    assert others == {*styles, *types, "favicon.svg"}


def imports_of(path: str, text: str) -> set[str]:
    found = re.findall(IMPORT, text, re.MULTILINE) + re.findall(IMPORT_LATER, text)
    return {posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) for name in found}


def test_the_library_is_the_published_one_with_its_licence() -> None:
    """Byte for byte, but for the addresses of its own modules."""
    known = json.loads((assets.VENDOR / "vendor.json").read_text("utf-8"))
    assert {path.name for path in assets.VENDOR.glob("*.js")} == set(known)
    wanted = json.loads((ROOT / "package.json").read_text("utf-8"))["devDependencies"]
    for name, origin in known.items():
        text = (assets.VENDOR / name).read_text("utf-8")
        for published, ours in origin["replaced"].items():
            assert text.count(ours) == 1
            text = text.replace(ours, published)
        assert hashlib.sha256(text.encode()).hexdigest() == origin["sha256"], name
        assert origin["version"] == wanted[origin["package"]], "the types are of this version"
        licence = (assets.VENDOR / origin["license_file"]).read_text("utf-8")
        assert "copyright" in licence.lower()


def test_every_script_is_checked_for_its_types() -> None:
    for path in sources("js"):
        lines = path.read_text("utf-8").splitlines()
        assert lines[0] == "// @ts-check", path
        assert not any("@ts-ignore" in line or "@ts-nocheck" in line for line in lines), path
        assert len(lines) < 400, path


def test_the_head_cannot_end_its_own_style() -> None:
    head = assets.Script.read().head()
    assert head.count("</script>") == head.count("</style>") == 1


def test_the_address_of_the_script_changes_with_every_module(tmp_path: Path) -> None:
    folder = shutil.copytree(assets.STATIC, tmp_path / "static")
    before = assets.Script.read(folder)
    assert before == assets.Script.read()
    (folder / "components" / "icon.js").write_text("export const Icon = null;\n")
    after = assets.Script.read(folder)
    assert before.version in before.head()
    assert after.version in after.head()
    assert after.version != before.version


def test_the_page_names_its_script_beforehand_and_a_browser_keeps_it(client: TestClient) -> None:
    link = client.get("/").headers["link"]
    found = re.fullmatch(r"<([^>]+)>; rel=modulepreload", link)
    assert found
    answer = client.get(f"/{found[1]}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert "link" not in answer.headers


def test_what_is_opened_later_is_a_script_and_a_style_of_their_own(client: TestClient) -> None:
    script = assets.Script.read()
    assert b"// editing/editing_room.js" not in script.content
    assert b"// editing/open_editing.js" in script.content
    later = {"editing.js": "text/javascript", "editing.css": "text/css"}
    assert set(script.later) == set(later)
    for name, kind in later.items():
        answer = client.get(f"/kinora/static/{script.version}/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert ".k-timeline" not in script.head()


def test_a_script_of_another_version_is_not_kept_and_nothing_else_is_served(
    client: TestClient,
) -> None:
    script = assets.Script.read()
    other = client.get("/kinora/static/000000000000/main.js")
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-store")
    for name in ("base.css", "store.js", "vendor/vendor.json", "..%2Fassets.py", "../assets.py"):
        assert client.get(f"/kinora/static/{script.version}/{name}").status_code == 404
