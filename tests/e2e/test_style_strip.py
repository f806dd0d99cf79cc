"""The strip of styles: thumbnails where the model made them, names otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests import tiny
from tests.e2e.component_page import Here, component_pages
from tests.e2e.conftest import visits
from tests.e2e.person import Visit
from tests.e2e.server import Server
from tests.e2e.test_accessibility import violations
from tests.e2e.test_components import Open, answer, mount, triggered
from tests.forks import Forks

CARD = {"id": "m", "name": "M", "prompt": True, "last_image": False, "lora": False, "loras": []}
THUMBNAIL = ".k-style-thumbnail"
IS_LOADED = "image => image.complete && image.naturalWidth > 0"


def style(name: str, **different: Any) -> dict[str, Any]:
    """As the server shows one."""
    words = {"example": "", "prompt": "{prompt}", "negative_prompt": ""}
    return {"id": name.lower(), "name": name, "own": False, "thumbnail": None} | words | different


@pytest.fixture(scope="module")
def open_page(browser: Browser) -> Iterator[Open]:
    with component_pages(browser) as pages:
        yield pages


@pytest.fixture
def here(open_page: Open) -> Iterator[Here]:
    with open_page() as (page, answers):
        answers.styles = [
            style("Mine", own=True),
            style("Cinematic", thumbnail="c.webp"),
            style("Anime"),
            style("VHS", thumbnail="broken.webp"),
        ]
        mount(page, "facts", CARD)
        mount(page, "style", None)
        mount(page, "strip", None)
        page.get_by_role("button", name="Style: none").click()
        expect(page.get_by_role("radio")).to_have_count(5)
        yield page, answers


def size(part: Locator) -> tuple[float, float]:
    found = part.bounding_box()
    assert found is not None
    return found["width"], found["height"]


def test_thumbnails_and_names_are_one_group_of_choices(here: Here) -> None:
    page, _ = here
    assert page.get_by_role("radio").all_inner_texts() == [
        "none", "Mine", "Cinematic", "Anime", "VHS",
    ]  # fmt: skip
    expect(page.locator(THUMBNAIL)).to_have_count(2)
    cinematic = page.get_by_role("radio", name="Cinematic", exact=True)
    expect(cinematic.locator(THUMBNAIL)).to_have_attribute("loading", "lazy")
    page.get_by_role("radio", name="none").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(cinematic).to_be_focused()
    page.keyboard.press("Enter")
    expect(cinematic).to_be_checked()
    assert triggered(page, "style") == [["chosen", None]]


def test_a_thumbnail_has_its_place_before_and_without_its_file(here: Here) -> None:
    page, _ = here
    whole, broken = (page.get_by_role("radio", name=name) for name in ("Cinematic", "VHS"))
    page.wait_for_function(f"({IS_LOADED})(document.querySelector('{THUMBNAIL}'))")
    expect(broken.locator("img")).to_have_count(0)
    expect(broken.locator(THUMBNAIL)).to_have_count(1)
    assert size(broken) == size(whole)
    expect(broken).to_have_text("VHS")


def test_the_strip_follows_the_model(here: Here) -> None:
    page, answers = here
    answers.styles = [style("Cinematic"), style("Anime", thumbnail="a.webp")]
    answer(page, "facts", CARD | {"id": "n", "name": "N"})
    expect(page.get_by_role("radio", name="Anime").locator(THUMBNAIL)).to_have_count(1)
    expect(page.locator(THUMBNAIL)).to_have_count(1)
    answers.styles = [style("Cinematic"), style("Anime")]
    answer(page, "facts", CARD | {"id": "pocket", "name": "Pocket"})
    expect(page.locator(THUMBNAIL)).to_have_count(0)
    expect(page.get_by_role("radio")).to_have_text(["none", "Cinematic", "Anime"])


# -- in the whole app ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def styles_server(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("style-models")
    tiny.write_card(models, tiny_repo)
    tiny.write_card(models, tiny_repo, id="other", name="Other", shows_styles=False)
    running = Server(tmp_path_factory.mktemp("styles") / "data", models)
    yield running
    running.stop()


@pytest.fixture
def visit(browser: Browser, styles_server: Server) -> Iterator[Visit]:
    yield from visits(browser, styles_server)


def open_strip(page: Page) -> None:
    page.locator("#k-t2v .k-style-chip").click()
    expect(page.locator("#k-t2v [role=radio]").nth(5)).to_be_visible()


def test_what_the_operator_made_is_on_the_page(
    visit: Visit, styles_server: Server, forks: Forks, axe: str
) -> None:
    command = ["style-thumbnails", "--model", "pocket", "--style", "cinematic", "--style", "anime"]
    done = forks.run_text(command, styles_server.environment)
    assert done.returncode == 0, done.stderr
    page = visit()
    expect(page.locator("#k-t2v .k-tile")).to_have_count(0)  # they are nobody's clips
    open_strip(page)
    pictures = page.locator(f"#k-t2v {THUMBNAIL}")
    expect(pictures).to_have_count(2)
    page.wait_for_function(f"({IS_LOADED})(document.querySelector('#k-t2v {THUMBNAIL}'))")
    assert violations(page, axe) == []
    page.get_by_role("radio", name="Cinematic", exact=True).click()
    expect(page.locator("#k-t2v .k-style-chip")).to_have_accessible_name("Style: Cinematic")

    page.get_by_role("button", name="Model: Tiny").click()
    page.get_by_role("option", name="Other").click()
    expect(pictures).to_have_count(0)
    expect(page.get_by_role("radio", name="Cinematic", exact=True)).to_be_checked()

    phone = visit(phone=True)
    open_strip(phone)
    expect(phone.locator(f"#k-t2v {THUMBNAIL}")).to_have_count(2)
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
