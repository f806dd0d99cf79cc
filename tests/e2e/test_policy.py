"""A server with rules: a prompt is refused with what to change, and a clip has a visible mark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.api.conftest import ApiServer
from tests.e2e.conftest import visits
from tests.e2e.person import Visit, make_quickly, press, write
from tests.e2e.server import Server
from tests.e2e.test_accessibility import violations
from tests.e2e.test_verify import look


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    running = ApiServer(
        tmp_path_factory.mktemp("policy") / "data",
        models_dir,
        KINORA_PROMPT_FILTER="true",
        KINORA_MARK_TEXT="Made with AI",
        TERMS_URL="https://example.org/terms",
        CONTACT="help@example.org",
    )
    yield running
    running.stop()


@pytest.fixture
def visit(browser: Browser, strict: Server) -> Iterator[Visit]:
    yield from visits(browser, strict)


@pytest.mark.parametrize(("phone", "dark"), [(False, False), (True, True)], ids=["desk", "phone"])
def test_a_refused_prompt_says_what_to_change_and_another_one_makes_a_marked_clip(
    visit: Visit, axe: str, phone: bool, dark: bool
) -> None:
    page = visit(phone=phone, dark=dark)
    device = "phone" if phone else "desk"
    terms = page.get_by_role("link", name="Terms")
    expect(terms).to_have_attribute("href", "https://example.org/terms")
    expect(page.get_by_role("link", name="Contact")).to_have_attribute(
        "href", "mailto:help@example.org"
    )
    expect(page.get_by_text("Clips made here have a visible mark.")).to_be_visible()

    write(page, "a dog beside a s-w-a-s-t-i-k-a")
    press(page, "Generate")
    expect(page.get_by_text("Leave the symbol or the slogan out").first).to_be_visible()
    look(page, f"policy-{device}-refused")
    assert not list(violations(page, axe))

    if not phone:
        clip = make_quickly(page, "a dog in the snow")
        assert any("Made with AI" in sentence for sentence in clip["adjustments"])
        look(page, "policy-desk-marked")
