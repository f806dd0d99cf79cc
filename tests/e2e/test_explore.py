"""Drafts, comparisons and batches in a real browser: type, press, watch, pick, get."""

from __future__ import annotations

import re
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.person import (
    Visit,
    press,
    same_box,
    take_time,
    turn_to,
    wait_for_clip,
    write,
)
from tests.e2e.test_accessibility import violations

STAGE = "#k-t2v .k-stage"


def choose(page: Page, name: str, tab: str = "t2v") -> None:
    """Opens the choice beside Generate."""
    page.locator(f"#k-{tab} .k-times").click()
    role = "menuitem" if name.endswith("…") else "menuitemradio"
    page.get_by_role(role, name=name, exact=True).click()


def wait_for_grid(page: Page, clips: int) -> None:
    """Until so many clips of the grid are ready."""
    page.wait_for_function(f"window.store?.tabs.t2v.batch.value?.ready >= {clips}")


def test_drafts_are_watched_picked_and_rendered(visit: Visit) -> None:
    page = visit()
    take_time(page, steps=80)  # more than a draft has, and few enough to render one in full
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
    expect(page.locator(f"{STAGE} [role=status]")).to_have_text("3 of 4 drafts ready, 1 discarded.")

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
    assert draft["used"]["num_inference_steps"] < full["used"]["num_inference_steps"] == 80
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
    expect(page.locator("#k-t2v .k-prompt textarea")).to_have_value("a balloon at sunset")
    expect(page.locator("#k-t2v").get_by_label("Seed", exact=True)).to_have_value("")
    wait_for_grid(page, 2)
    expect(page.get_by_role("button", name="Drafts: a balloon at sunset, ready")).to_be_visible()
    expect(page.locator(".k-tile")).to_have_count(1)
    page.reload()
    expect(page.locator("#k-t2v .k-line")).to_have_text(
        "2 drafts ready: choose the one to render fully"
    )


def test_a_comparison_comes_back_with_its_settings_and_later_from_the_list(
    visit: Visit, axe: str
) -> None:
    page = visit()
    here = page.locator("#k-t2v")
    write(page, "a balloon at sunset")
    choose(page, "Compare…")
    panel = page.get_by_role("dialog", name="Compare")
    panel.get_by_label("Side by side: setting").select_option(label="Steps")
    panel.get_by_label("Steps: values").fill("2, 4")
    panel.get_by_role("button", name="Compare", exact=True).click()
    wait_for_grid(page, 2)
    page.reload()
    wait_for_grid(page, 2)
    expect(here.locator(".k-prompt textarea")).to_have_value("a balloon at sunset")
    expect(here.get_by_label("Seed", exact=True)).to_have_value("")

    write(page, "a dog")
    press(page, "Generate")
    wait_for_clip(page)
    page.get_by_role("button", name="Grid: a balloon at sunset, ready").press("Enter")
    expect(page.locator(STAGE)).to_have_attribute("data-state", "grid")
    expect(here.locator(".k-axis")).to_have_text(["Steps", "2", "4", ""])
    assert not violations(page, axe)
    bin_of_all = page.get_by_role("button", name="Delete all: Grid: a balloon at sunset")
    bin_of_all.press("Enter")
    page.get_by_role("button", name="Press again to delete all of these clips").press("Enter")
    expect(here.locator(".k-cell")).to_have_count(0)
    expect(page.locator(".k-tile")).to_have_count(1)


def test_drafts_that_are_refused_leave_the_grid_before_them(visit: Visit) -> None:
    page = visit()
    take_time(page)
    choose(page, "Batch…")
    panel = page.get_by_role("dialog", name="Batch")
    panel.get_by_label("Prompts, one a line").fill("a cat\n" * 29)
    panel.get_by_role("button", name="Start").click()
    expect(page.locator("#k-t2v .k-cell")).to_have_count(29)
    choose(page, "×2")
    write(page, "a cat")
    press(page, "Generate")
    expect(page.locator("#k-t2v .k-trouble")).to_contain_text("start 1 instead of 2")
    expect(page.locator(STAGE)).to_have_attribute("data-state", "grid")
    expect(page.locator("#k-t2v .k-cell")).to_have_count(29)
    press(page, "Stop all")
    expect(page.locator("#k-t2v .k-line")).to_contain_text("discarded")


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
        ["GuidancePrompt", "2", "4", "dog", "dog → cat", "dog → nothing"]
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


def test_a_list_of_prompts_becomes_a_batch_that_is_stopped_and_retried_one_by_one(
    visit: Visit,
) -> None:
    page = visit()
    choose(page, "Batch…")
    panel = page.get_by_role("dialog", name="Batch")
    prompts = panel.get_by_label("Prompts, one a line")
    plan = panel.get_by_role("status").last
    prompts.fill("a dog\n\n" + "a " * 3000)
    expect(plan).to_contain_text("Line 3: ")
    expect(panel.get_by_role("button", name="Start")).to_be_disabled()
    prompts.fill("a dog\n\na cat\na bird")
    expect(plan).to_contain_text("3 clips")
    panel.get_by_role("button", name="Start").click()

    cells = page.locator("#k-t2v .k-cell")
    expect(cells).to_have_count(3)
    page.get_by_role("button", name="Discard clip 3: a bird").click()
    page.get_by_role("button", name="Try clip 3: a bird again").click()
    expect(page.get_by_role("button", name="Clip 3: a bird, ready")).to_be_visible()
    wait_for_grid(page, 3)
    expect(page.locator("#k-t2v .k-line")).to_have_text("3 clips ready")
    with page.expect_download() as download:
        page.get_by_role("link", name="Zip").click()
    with ZipFile(download.value.path()) as archive:
        names = archive.namelist()
    assert [name.split("-")[2] for name in names if name.endswith(".mp4")] == ["dog", "cat", "bird"]
    assert "batch.json" in names


def test_a_dropped_csv_is_refused_by_line_and_column_then_made_and_stopped(
    visit: Visit, tmp_path: Path
) -> None:
    page = visit()
    choose(page, "Batch…")
    panel = page.get_by_role("dialog", name="Batch")
    table = tmp_path / "clips.csv"
    table.write_text("prompt,steps,seed\na dog,200,1\na cat,many,2\n", encoding="utf-8")
    panel.get_by_label("Add a CSV").last.set_input_files(table)
    plan = panel.get_by_role("status").last
    expect(plan).to_contain_text("line 3, column “steps”")
    table.write_text("prompt,steps,seed\na dog,200,1\na cat,200,2\n", encoding="utf-8")
    panel.get_by_label("Add a CSV").last.set_input_files(table)
    expect(plan).to_contain_text("2 clips")
    panel.get_by_role("button", name="Start").click()
    expect(page.locator("#k-t2v .k-cell")).to_have_count(2)
    press(page, "Stop all")
    expect(page.locator("#k-t2v .k-line")).to_have_text("0 of 2 clips ready, 2 discarded")
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()


def test_pictures_and_a_zip_of_them_become_clips(
    visit: Visit, picture: Path, tmp_path: Path
) -> None:
    page = visit()
    turn_to(page, "Image to video")
    choose(page, "Batch…", "i2v")
    panel = page.get_by_role("dialog", name="Batch")
    zipped = tmp_path / "more.zip"
    with ZipFile(zipped, "w") as archive:
        for n in (1, 2):
            archive.write(picture, f"{n}.png")
    files = panel.get_by_label("Add pictures, a zip or a CSV").last
    files.set_input_files([picture, zipped])
    expect(panel).to_contain_text("3 pictures")
    panel.get_by_label("Prompts, one a line").fill("the balls roll\nthey jump")
    plan = panel.get_by_role("status").last
    expect(plan).to_contain_text("2 prompts do not fit 3 pictures")
    panel.get_by_label("Prompts, one a line").fill("the balls roll")
    expect(plan).to_contain_text("3 clips")
    panel.get_by_role("button", name="Start").click()
    expect(page.locator("#k-i2v .k-cell")).to_have_count(3)
    page.wait_for_function("store.tabs.i2v.batch.value?.ready === 3")


def test_whoever_asks_for_less_motion_gets_clips_that_stand_still(visit: Visit) -> None:
    page = visit(reduced_motion="reduce")
    choose(page, "×2")
    write(page, "a dog")
    press(page, "Generate")
    wait_for_grid(page, 2)
    times = "[...document.querySelectorAll('#k-t2v .k-cell video')].map((v) => v.currentTime)"
    page.wait_for_timeout(500)
    assert page.evaluate(times) == [0, 0]
    page.get_by_role("button", name="Play all clips").click()
    page.wait_for_function(f"{times}.every((time) => time > 0)")


@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, True)], ids=["light", "phone"])
def test_nothing_serious_for_axe_in_the_menu_the_panels_and_the_grid(
    visit: Visit, axe: str, dark: bool, phone: bool
) -> None:
    page = visit(dark=dark, phone=phone)
    page.locator("#k-t2v .k-times").click()
    found = violations(page, axe)
    page.keyboard.press("Escape")
    for name in ("Compare", "Batch"):
        choose(page, f"{name}…")
        expect(page.get_by_role("dialog", name=name)).to_be_visible()
        found += violations(page, axe)
        page.keyboard.press("Escape")
    choose(page, "×2")
    write(page, "a dog")
    press(page, "Generate")
    expect(page.locator("#k-t2v .k-cell")).to_have_count(2)
    found += violations(page, axe)
    wait_for_grid(page, 2)
    found += violations(page, axe)
    page.get_by_role("button", name="Draft 1, ready").click()
    expect(page.locator("#k-t2v .k-surprises")).to_contain_text("In full")
    found += violations(page, axe)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not found, "\n".join(found)
