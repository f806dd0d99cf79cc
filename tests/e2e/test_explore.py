"""Drafts, comparisons and batches in a real browser: type, press, watch, pick, get."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.e2e.person import Visit, press, same_box, wait_for_clip, write

STAGE = "#k-t2v .k-stage"


def choose(page: Page, name: str) -> None:
    """Opens the choice beside Generate."""
    page.locator("#k-t2v .k-times").click()
    role = "menuitem" if name.endswith("…") else "menuitemradio"
    page.get_by_role(role, name=name, exact=True).click()


def wait_for_grid(page: Page, clips: int) -> None:
    """Until so many clips of the grid are ready."""
    page.wait_for_function(f"store.tabs.t2v.batch.value?.ready >= {clips}")


def test_drafts_are_watched_picked_and_rendered(visit: Visit) -> None:
    page = visit()
    outlook = page.locator("#k-t2v .k-outlook-line")
    choose(page, "×4")
    expect(page.locator("#k-t2v .k-times")).to_have_text("×4")
    expect(outlook).to_have_text(
        re.compile(r"^4 drafts: about \d+ .*the one you pick: about \d+.*128×128, 2\.1 s$")
    )
    write(page, "a dog in the snow")
    with same_box(page):
        press(page, "Generate")
        cells = page.locator("#k-t2v .k-cell")
        expect(cells).to_have_count(4)
        page.wait_for_selector("#k-t2v .k-cell canvas")  # a moving preview
        page.get_by_role("button", name="Discard draft 4").click()
        expect(cells.nth(3)).to_contain_text("Discarded")
        wait_for_grid(page, 3)
    expect(page.locator("#k-t2v .k-line")).to_contain_text("3 of 4 drafts ready, 1 discarded")
    expect(page.locator("#k-t2v [role=status]")).to_have_text("3 of 4 drafts ready, 1 discarded.")

    second = page.get_by_role("button", name="Draft 2, ready")
    second.press("Enter")
    render = page.get_by_role("button", name="Render it fully")
    expect(render).to_be_focused()
    expect(page.locator("#k-t2v .k-surprises")).to_contain_text("In full: about")
    expect(page.locator("#k-t2v .k-surprises")).to_contain_text("another composition")
    page.keyboard.press("Escape")
    expect(second).to_be_focused()
    page.keyboard.press("Enter")
    draft = wait_for_clip(page)
    page.keyboard.press("Enter")
    page.wait_for_function(
        f"store.tabs.t2v.job.value?.id && store.tabs.t2v.job.value.id !== '{draft['id']}'"
    )
    full = wait_for_clip(page)
    assert full["used"]["seed"] == draft["used"]["seed"]
    assert (draft["width"], full["width"]) == (64, 128)
    assert draft["used"]["num_inference_steps"] < full["used"]["num_inference_steps"] == 30
    press(page, "Back to the drafts")
    expect(page.locator(STAGE)).to_have_attribute("data-state", "grid")


def test_a_reload_brings_the_grid_back(visit: Visit) -> None:
    page = visit()
    choose(page, "×2")
    write(page, "a balloon at sunset")
    press(page, "Generate")
    expect(page.locator("#k-t2v .k-cell")).to_have_count(2)
    page.reload()
    expect(page.locator("#k-t2v .k-cell")).to_have_count(2)
    expect(page.locator("#k-t2v .k-times")).to_have_text("×2")
    wait_for_grid(page, 2)
    expect(page.locator(".k-tile")).to_have_count(2)
    page.reload()
    expect(page.locator("#k-t2v .k-line")).to_have_text(
        "2 drafts ready: choose the one to render fully"
    )


def test_more_drafts_than_are_allowed_are_refused_where_the_eye_is(visit: Visit) -> None:
    page = visit()
    choose(page, "×8")
    write(page, "a cat")
    press(page, "Generate")
    expect(page.locator("#k-t2v .k-trouble")).not_to_be_empty()
    expect(page.locator(STAGE)).to_have_attribute("data-state", "rest")


def test_two_settings_are_compared_in_a_grid_that_plays_in_step(visit: Visit) -> None:
    page = visit()
    write(page, "dog")
    choose(page, "Compare…")
    panel = page.get_by_role("dialog", name="Compare")
    panel.get_by_label("Side by side: setting").select_option(label="Guidance")
    panel.get_by_label("Guidance: values").fill("2, 4")
    panel.get_by_label("One below the other: setting").select_option(label="Words")
    panel.get_by_label("Words to replace").fill("dog")
    plan = panel.get_by_role("status")
    panel.get_by_label("Replace them with").fill("cat,")  # and nothing
    expect(plan).to_contain_text(re.compile(r"4 clips, about \d+ "))
    expect(plan).to_contain_text(
        "2, dog → nothing: Say what should happen in the clip: the prompt is empty."
    )
    panel.get_by_role("button", name="Compare", exact=True).click()

    expect(panel).to_be_hidden()
    cells = page.locator("#k-t2v .k-cell")
    expect(cells).to_have_count(6)
    expect(page.locator("#k-t2v .k-axis")).to_have_text(
        ["GuidancePrompt", "2", "4", "dog → dog", "dog → cat", "dog → nothing"]
    )
    expect(cells.nth(5)).to_contain_text("the prompt is empty")
    wait_for_grid(page, 4)
    expect(page.locator("#k-t2v .k-line")).to_have_text("4 clips ready")
    page.wait_for_function("""() => {
      const times = [...document.querySelectorAll("#k-t2v .k-cell video")]
        .map((video) => video.currentTime);
      return times.length === 4 && Math.max(...times) > 0.5
        && Math.max(...times) - Math.min(...times) < 0.5;
    }""")

    cells.first.get_by_role("button").press("Enter")
    wait_for_clip(page)
    expect(page.get_by_role("button", name="Back to the grid")).to_be_focused()
    page.keyboard.press("Escape")
    expect(cells.first.get_by_role("button")).to_be_focused()
    for name, suffix in (("Contact sheet", "png"), ("Grid video", "mp4"), ("Zip", "zip")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert re.fullmatch(rf"kinora-[0-9a-f]{{8}}\.{suffix}", download.value.suggested_filename)


def test_a_comparison_that_cannot_be_made_says_why_before_the_press(visit: Visit) -> None:
    page = visit()
    choose(page, "Compare…")
    panel = page.get_by_role("dialog", name="Compare")
    panel.get_by_label("Side by side: setting").select_option(label="Steps")
    steps = panel.get_by_label("Steps: values")
    steps.fill("2, 4")
    expect(panel.get_by_role("status")).to_contain_text("the prompt is empty")
    expect(panel.get_by_role("button", name="Compare", exact=True)).to_be_disabled()
    steps.fill("2, many")
    expect(panel.get_by_role("status")).to_contain_text("steps")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
