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
from ui import assets

NAMES_NOT_FETCHED = {
    "http://www.w3.org/2000/svg",
    "http://www.w3.org/1999/xhtml",
    "http://www.w3.org/1998/Math/MathML",
}
IMPORT = r"""^(?:import|export)\b(?:[\w\s{},*$]*\bfrom)?\s*["']([^"']+)["']"""
WAYS_TO_HTML = (
    "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
    "dangerouslySetInnerHTML", "DOMParser", "createContextualFragment", "setHTML",
)  # fmt: skip


@pytest.fixture
def client() -> TestClient:
    scripts = assets.Scripts.read()
    page = Route("/", lambda request: PlainTextResponse("the page"))
    preload = Middleware(assets.PreloadScripts, link=scripts.preloads())
    return TestClient(Starlette(routes=[page, scripts.route()], middleware=[preload]))


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
    scripts = assets.Scripts.read().files
    used, found = set(), {assets.MAIN}
    while found:
        used |= found
        found = {name for path in found for name in imports_of(path, scripts[path].decode())} - used
    assert set(scripts) == used
    others = {path.name for path in sources("*") if path.is_file()} - {Path(s).name for s in used}
    assert others == {*assets.STYLES, "favicon.svg", "types.d.ts", "globals.d.ts"}


def imports_of(path: str, text: str) -> set[str]:
    """By their paths below `static`. What is imported is named as it is: nothing is looked up."""
    found = re.findall(IMPORT, text, re.MULTILINE)
    assert all(name.startswith(("./", "../")) for name in found), path
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


def test_the_head_cannot_end_its_own_script() -> None:
    head = assets.Scripts.read().head()
    assert head.count("</script>") == head.count("</style>") == 1


def test_the_address_of_the_scripts_changes_with_any_of_them(tmp_path: Path) -> None:
    folder = shutil.copytree(assets.STATIC, tmp_path / "static")
    before = assets.Scripts.read(folder)
    assert before == assets.Scripts.read()
    (folder / "components" / "icon.js").write_text("export const Icon = null;\n")
    after = assets.Scripts.read(folder)
    assert before.version in before.head()
    assert after.version in after.head()
    assert after.version != before.version


def test_the_page_names_every_script_beforehand(client: TestClient) -> None:
    scripts = assets.Scripts.read()
    link = client.get("/").headers["link"]
    addresses = re.findall(r"<([^>]+)>; rel=modulepreload", link)
    assert len(addresses) == len(scripts.files)
    assert len(link) < 4000, "a proxy has 8 kB for all headers of an answer"
    for address in addresses:
        answer = client.get(f"/{address}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert "link" not in answer.headers


def test_scripts_of_another_version_are_not_kept_and_nothing_else_is_served(
    client: TestClient,
) -> None:
    scripts = assets.Scripts.read()
    other = client.get("/kinora/static/000000000000/main.js")
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-store")
    for name in ("base.css", "types.d.ts", "vendor/vendor.json", "..%2Fassets.py", "../assets.py"):
        assert client.get(f"/kinora/static/{scripts.version}/{name}").status_code == 404
