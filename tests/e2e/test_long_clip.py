"""Long clips on the page: chosen at Length, made in parts, finished early."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.person import Visit, finish, press, wait_for_clip, write

LISTEN = """() => {
  const stage = document.querySelector('#k-t2v');
  window.said = [];
  new MutationObserver(() => window.said.push(stage.querySelector('.k-line')?.textContent ?? ''))
    .observe(stage, {childList: true, characterData: true, subtree: true});
}"""


def begin(page: Page, length: str) -> None:
    """Returns while the first part is made."""
    page.locator("#k-t2v").get_by_label("Length").click()
    page.get_by_role("option", name=length).click()
    write(page, "a dog running to the right in the snow")
    page.evaluate(LISTEN)
    press(page, "Generate")
    page.wait_for_function("window.said.some(line => line.startsWith('Part 1 of '))")


def test_a_long_clip_is_made_in_parts_with_one_progress(visit: Visit) -> None:
    page = visit()
    page.locator("#k-t2v").get_by_label("Length").click()
    page.get_by_role("option", name="6.0 s · 3 parts").click()
    expect(page.locator("#k-t2v .k-outlook-line")).to_have_text(
        re.compile(r"^About \d+.* here · 128×128, 6\.0 s in 3 parts$")
    )
    expect(page.locator("#k-t2v")).to_contain_text("The clip is made in 3 parts")
    begin(page, "6.0 s · 3 parts")
    job = wait_for_clip(page)
    said = page.evaluate("window.said")
    assert any(re.match(r"Part 2 of 3, step \d+ of 90", line) for line in said)
    assert job["state"] == "succeeded"
    assert page.locator("#k-t2v video").evaluate("v => v.duration") == pytest.approx(6, abs=0.1)


def test_on_a_phone_a_part_is_made_again_and_finish_now_keeps_those_that_are_there(
    visit: Visit,
) -> None:
    page = visit(phone=True, dark=True)
    begin(page, "30 s · 15 parts")
    page.get_by_role("button", name="Redo this part").click()
    page.wait_for_function("window.said.some(line => line.startsWith('Part 2 of '))")
    finish(page)
    job = wait_for_clip(page)
    assert job["finished_early"] is True
    assert 1.9 < job["duration_s"] < 20
    expect(page.locator("#k-t2v")).to_contain_text("The clip was finished after part")
    again = re.compile(r"Part 1 was discarded and made again with another seed")
    expect(page.locator("#k-t2v")).to_contain_text(again)
