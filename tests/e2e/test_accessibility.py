"""axe-core finds nothing serious, in any state, light or dark; and the page works by keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.person import (
    Visit,
    finish,
    press,
    start,
    take_time,
    wait_for_clip,
    wait_for_preview,
    wait_until_calm,
)

SERIOUS = ("serious", "critical")


def violations(page: Page, axe: str) -> list[str]:
    wait_until_calm(page)  # colours in transition have no contrast yet
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{v['impact']} {v['id']}: {node['html'][:160]} | {node.get('failureSummary', '')[:200]}"
        for v in found["violations"]
        if v["impact"] in SERIOUS
        for node in v["nodes"]
    ]


@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, True)], ids=["light", "phone"])
def test_no_serious_violation_at_rest_while_running_and_after(
    visit: Visit, axe: str, dark: bool, phone: bool
) -> None:
    page = visit(dark=dark, phone=phone)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 11, 20)" if dark else "rgb(251, 250, 255)")
    advanced, advice = (page.get_by_role("button", name=n) for n in ("Advanced", "What to write"))
    advanced.click()
    advice.click()
    press(page, "Generate")
    expect(page.locator("#k-t2v .k-trouble")).not_to_be_empty()
    found = violations(page, axe)
    advanced.click()
    page.get_by_role("button", name="Generate", exact=True).hover()
    found += violations(page, axe)
    start(page, "a butterfly in a meadow")
    found += violations(page, axe)
    finish(page)
    wait_for_clip(page)
    page.get_by_role("button", name="Settings").first.click()
    found += violations(page, axe)
    press(page, "Continue")
    expect(page.get_by_role("tab", name="Image to video")).to_have_attribute(
        "aria-selected", "true"
    )
    found += violations(page, axe)
    assert not found, "\n".join(found)


def test_a_clip_is_made_without_a_mouse(visit: Visit) -> None:
    page = visit()
    take_time(page)
    page.locator("#k-t2v .k-prompt textarea").focus()
    page.keyboard.type("a bird")
    page.keyboard.press("Control+Enter")
    wait_for_preview(page)
    page.locator("#k-t2v .k-finish").focus()
    page.keyboard.press("Enter")
    wait_for_clip(page)
    page.get_by_role("link", name="Download").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Again", exact=True)).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_whoever_asks_for_less_motion_gets_a_still_page(visit: Visit) -> None:
    page = visit(reduced_motion="reduce")
    aura = page.locator("#k-t2v .k-aura")
    page.wait_for_timeout(1500)  # a still aura is painted once a second
    first = aura.evaluate("canvas => canvas.toDataURL()")
    page.wait_for_timeout(1500)
    assert aura.evaluate("canvas => canvas.toDataURL()") == first
