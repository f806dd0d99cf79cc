"""Styles, suggestions, wildcards, looks and improved prompts in a real browser."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.person import Visit, press, wait_for_clip, write

FINAL = "#k-t2v .k-final-words"


def open_styles(page: Page) -> None:
    page.locator("#k-t2v .k-style-chip").click()
    expect(page.get_by_role("radio", name="Film noir", exact=True)).to_be_visible()


def test_a_style_is_seen_in_the_words_before_and_after_the_press(visit: Visit) -> None:
    page = visit()
    chip = page.locator("#k-t2v .k-style-chip")
    expect(chip).to_have_accessible_name("Style: none")
    open_styles(page)
    page.get_by_role("radio", name="Film noir", exact=True).click()
    expect(chip).to_have_accessible_name("Style: Film noir")
    write(page, "a dog")
    expect(page.locator(FINAL)).to_contain_text("With the style: a dog, film noir")
    press(page, "Generate")
    job = wait_for_clip(page)
    assert job["prompt"].startswith("a dog, film noir")
    assert job["prompt_origin"]["prompt"] == "a dog"
    assert job["prompt_origin"]["style"] == "film-noir"
