"""The README, the pages in docs/ and the changelog are true."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from settings import ROOT, VERSION, Settings
from tools import tables

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# -- the pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_generated_tables_are_fresh(name: str) -> None:
    assert tables.updated(name) == text(f"docs/{name}.md"), "run `make docs`"


@pytest.mark.parametrize("name", [name for name, _, _ in Settings.table()])
def test_every_setting_is_documented(name: str) -> None:
    assert f"| `{name}` |" in text("docs/settings.md")


def test_every_top_level_package_is_in_the_tree_of_the_architecture() -> None:
    tree = text("docs/architecture.md").split("```text")[1].split("```")[0]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    packages |= {path.name for path in ROOT.glob("*.py")} | {"presets", "requirements.txt"}
    for name in packages:
        assert re.search(rf"^{re.escape(name)}/?\s", tree, re.MULTILINE), name
    for name in re.findall(r"^([\w.-]+)/?\s", tree, re.MULTILINE):
        assert (ROOT / name).exists(), name


def test_every_file_and_heading_that_a_page_links_to_is_there() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
            linked = page.parent / target if target else page
            assert linked.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors(linked.read_text()), f"{page.name}: {target}#{anchor}"


def anchors(markdown: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}


def test_every_file_of_ours_that_a_page_names_is_there() -> None:
    """docs/LOG.md is a diary: it names what was there then."""
    names = re.compile(
        r"`((?:[a-z][\w-]*/)+[\w-]+\.(?:py|js|md|yml|lock|sh)|(?:[a-z][\w-]*/){2,})`"
    )
    for page in PAGES:
        if page.name != "LOG.md":
            for name in names.findall(page.read_text()):
                assert (ROOT / name).exists(), f"{page.name}: {name}"


# -- the README ----------------------------------------------------------------------------------


def test_the_readme_begins_with_what_a_space_needs() -> None:
    _, header, _ = text("README.md").split("---\n", 2)
    space = yaml.safe_load(header)
    assert text("README.md").startswith("---\n")
    assert space["sdk"] == "gradio"
    assert space["app_file"] == "app.py"
    assert isinstance(space["python_version"], str)
    assert space["license"] == "apache-2.0"
    assert space["startup_duration_timeout"]
    assert f"gradio[mcp]>={space['sdk_version']}" in text("requirements.txt")


def test_the_readme_is_one_screen_to_the_first_clip() -> None:
    _, _, page = text("README.md").split("---\n", 2)
    first_screen = "\n".join(page.strip().splitlines()[:20])
    for line in ("sudo apt install git make python3-venv", "git clone --depth 1", "make run"):
        assert line in first_screen
    assert len(page.splitlines()) < 100


# -- commands ------------------------------------------------------------------------------------


def test_every_make_command_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([\w./-]+):", text("Makefile"), re.MULTILINE))
    named = set(re.findall(r"^# {1,2}make ([\w-]+)", text("Makefile"), re.MULTILINE))
    for page in PAGES:
        if page.name != "LOG.md":
            named |= set(re.findall(r"(?:^|`)make ([\w-]+)", page.read_text(), re.MULTILINE))
    assert {"run", "test", "check", "fix", "bench", "docs", "space", "lock", "audit"} <= named
    assert named <= targets
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "make run" in done.stdout
    assert "make test" in text(".ci/run")


def test_packages_for_debian_are_one_word_a_line() -> None:
    """The list is handed to apt-get as it is: a comment would be a package."""
    for line in text("packages.txt").splitlines():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", line)


# -- the version ---------------------------------------------------------------------------------


def test_the_version_is_the_same_wherever_it_is_named() -> None:
    """tests/api/test_schema.py looks at the OpenAPI document."""
    released = re.findall(r"^## \[(\d\S*)\]", text("CHANGELOG.md"), re.MULTILINE)
    project = re.findall(r'^version = "(.+)"$', text("pyproject.toml"), re.MULTILINE)
    assert released[0] == VERSION
    assert project == [VERSION]


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    headings = re.findall(r"^## (.+)$", text("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", each) for each in headings[1:])
