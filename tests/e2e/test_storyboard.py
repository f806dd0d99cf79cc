"""A storyboard in a real browser: a prompt becomes three shots, one is redone, others move."""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.person import SLOW_MS, Visit, wait_until_calm, write
from tests.e2e.test_accessibility import violations
from tests.e2e.test_gallery import SHIFT

STORY = "A dog runs in the snow. It jumps over a fence. A cat watches from a window."
PREVIEWED = """() => [...document.querySelectorAll('.k-shot-preview')]
  .some((canvas) => canvas.width !== 300)"""
"""A canvas is 300 pixels wide until something is drawn."""
TEXT_ONLY = """() => {
  const draft = JSON.parse(sessionStorage.getItem("kinora-storyboard"));
  sessionStorage.setItem("kinora-storyboard", JSON.stringify({ ...draft, takes_image: false }));
}"""
SHOTS = os.environ.get("KINORA_SCREENSHOTS")


def look(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"storyboard-{name}.png")


def begin(page: Page, story: str = STORY) -> None:
    write(page, story)
    page.locator("#k-t2v").get_by_role("button", name="Make a storyboard").click()
    expect(page.locator(".k-shot")).to_have_count(3)


def wait_for_film(page: Page) -> None:
    ready = page.locator(".k-board-line")
    expect(ready).to_contain_text("The film is ready", timeout=SLOW_MS)


def clips_of(page: Page) -> list[str | None]:
    return [
        page.locator(".k-shot video").nth(n).get_attribute("src")
        for n in range(page.locator(".k-shot video").count())
    ]


def test_a_storyboard_of_three_shots_with_one_redone(visit: Visit, axe: str) -> None:
    page = visit()
    expect(page.get_by_role("button", name="Make a storyboard")).to_have_count(0)
    begin(page)
    prompts = page.locator(".k-shot-prompt")
    expect(prompts.nth(1)).to_have_value("It jumps over a fence.")
    page.get_by_label("Shot 2: How it follows the shot before it").select_option("continue")
    page.get_by_label("Shot 3: How it follows the shot before it").select_option("crossfade")
    for number in (1, 2, 3):
        page.get_by_label(f"Shot {number}: Length in seconds").fill("1")
        page.keyboard.press("Tab")
    expect(page.locator(".k-board-line")).to_contain_text("About ")
    look(page, "planned")
    assert not violations(page, axe)

    reads: list[str] = []
    page.on("request", lambda request: reads.append(request.url))
    page.evaluate(SHIFT.replace("buffered: true", "buffered: false"))
    page.get_by_role("button", name="Make the film").click()
    page.wait_for_function(PREVIEWED)
    expect(page.locator(".k-shot video").first).to_be_visible(timeout=SLOW_MS)
    look(page, "working")
    wait_for_film(page)
    expect(page.locator(".k-shot video")).to_have_count(3)
    for which in (".k-film video", ".k-shot:nth-child(2) video"):
        page.wait_for_function(
            "async (which) => { const video = document.querySelector(which); video.muted = true;"
            " await video.play(); return video.readyState >= 2 && video.currentTime > 0.2; }",
            arg=which,
        )
    assert page.evaluate("shift") < 0.02, "the film has had its place from the start"
    polls = [url for url in reads if re.search(r"/kinora/films/[0-9a-f]{32}$", url)]
    assert len(polls) <= 2, "its states come as events"
    wait_until_calm(page)
    look(page, "ready")
    assert not violations(page, axe)
    before, film = clips_of(page), page.locator(".k-film video").get_attribute("src")

    prompts.nth(2).fill("A bird watches from a tree.")
    expect(page.locator(".k-shot").nth(2)).to_contain_text("Changed")
    page.get_by_role("button", name="Shot 3: Redo").click()
    page.wait_for_function(
        "(film) => { const now = document.querySelector('.k-film video');"
        " return now && now.getAttribute('src') !== film; }",
        arg=film,
    )
    wait_for_film(page)
    after = clips_of(page)
    assert after[:2] == before[:2], "the others are kept"
    assert after[2] != before[2]

    # the order, by keyboard; then back and a reload
    prompts.nth(2).press("Alt+ArrowLeft")
    expect(prompts.nth(1)).to_have_value("A bird watches from a tree.")
    expect(prompts.nth(1)).to_be_focused()
    page.get_by_role("button", name="Apply changes").click()
    expect(page.get_by_role("button", name="Apply changes")).to_have_count(0)
    wait_for_film(page)
    page.reload()
    expect(prompts.nth(1)).to_have_value("A bird watches from a tree.")
    expect(page.locator(".k-film video")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".k-board")).to_have_count(0)
    expect(page.locator("#k-t2v .k-stage")).to_be_visible()

    # from any of its clips the storyboard is found again
    page.get_by_role("button", name="All clips").click()
    page.locator(".k-item").first.click()
    page.locator(".k-clip-about").get_by_role("button", name="Storyboard").click()
    expect(prompts.nth(1)).to_have_value("A bird watches from a tree.")


def test_shots_are_added_and_removed_on_a_phone_in_the_dark(visit: Visit, axe: str) -> None:
    page = visit(phone=True, dark=True)
    begin(page)
    page.get_by_role("button", name="Shot 1: Remove").click()
    page.get_by_role("button", name="Add a shot").click()
    last = page.locator(".k-shot-prompt").last
    expect(last).to_be_focused()
    expect(page.get_by_role("button", name="Make the film")).to_be_disabled()
    last.fill("A fish swims away.")
    expect(page.get_by_role("button", name="Make the film")).to_be_enabled()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    wait_until_calm(page)
    look(page, "phone")
    assert not violations(page, axe)
    expect(page.get_by_role("option", name="Continues")).to_have_count(3)
    page.evaluate(TEXT_ONLY)  # as it is for a model that takes no picture
    page.reload()
    expect(page.locator(".k-shot-prompt").last).to_have_value("A fish swims away.")
    expect(page.get_by_role("option", name="Continues")).to_have_count(0)
    expect(page.get_by_role("button", name="Start from a picture")).to_have_count(0)
    page.get_by_role("button", name="Back").click()
    expect(page.locator("#k-t2v .k-stage")).to_be_visible()
