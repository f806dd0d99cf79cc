"""The gallery in a real browser, with ten thousand clips: find, watch, select, keep, delete."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import visits
from tests.e2e.gallery_data import FRAMES, prepare
from tests.e2e.person import Visit, wait_for_clip
from tests.e2e.server import Server
from tests.e2e.test_accessibility import violations

ME = "f" * 32
CLIPS = 10_000
SHIFT = """() => {
  window.shift = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
}"""
PLAYING = """() => [...document.querySelectorAll(".k-gallery video")]
  .filter((video) => !video.paused).length"""

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    """A server with the clips of one visitor."""
    data = tmp_path_factory.mktemp("gallery") / "data"
    prepare(data, models_dir, ME, CLIPS)
    running = Server(data, models_dir)
    yield running
    running.stop()


@pytest.fixture
def open_gallery(browser: Browser, full: Server) -> Iterator[Open]:
    """Opens the page as the visitor with the clips, and their gallery."""
    for visit in visits(browser, full):
        yield functools.partial(open_as_me, visit)


def open_as_me(visit: Visit, hash_: str = "#clips", **options: object) -> Page:
    page = visit(f"/{hash_}", visitor=ME, script=f"({SHIFT})()", **options)
    if hash_ == "#clips":
        expect(items(page).first).to_be_visible()
    return page


def items(page: Page) -> Locator:
    return page.locator(".k-gallery .k-item")


def said(page: Page, text: str) -> None:
    expect(page.locator(".k-gallery-facts [role=status]")).to_have_text(text)


def selected(page: Page) -> int:
    count = page.locator(".k-selection-count")
    return int(count.inner_text().split()[-1].replace(",", "")) if count.is_visible() else 0


def test_all_clips_have_an_address_and_a_grid_that_grows_as_it_scrolls(open_gallery: Open) -> None:
    page = open_gallery("")
    page.get_by_role("button", name="All clips").click()
    expect(page).to_have_url(re.compile(r"/#clips$"))
    said(page, "Clips: 10,000")
    # half a second after the press, a slow machine counts the change of view itself as a shift
    page.evaluate("window.shift = 0")
    expect(page.locator("#k-tabs")).to_be_hidden()
    few = items(page).count()
    for _ in range(6):
        page.locator(".k-scroller").evaluate("box => { box.scrollTop = box.scrollHeight }")
        page.wait_for_function(
            "([...document.querySelectorAll('.k-item')].pop()?.dataset.index ?? 0) > 0"
        )
        page.wait_for_timeout(150)
    deepest = page.locator(".k-item").last.get_attribute("aria-posinset")
    assert int(deepest or 0) > 200
    assert items(page).count() < 2 * few, "only what is seen is in the page"
    assert page.evaluate(PLAYING) == 0
    page.locator(".k-scroller").evaluate("box => { box.scrollTop = 0 }")
    items(page).nth(1).hover()
    page.wait_for_function(f"({PLAYING})() === 1")
    items(page).nth(2).hover()
    page.wait_for_timeout(300)
    assert page.evaluate(PLAYING) == 1, "the one that is pointed at"
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    assert page.evaluate("shift") < 0.02

    items(page).nth(1).click()
    expect(page).to_have_url(re.compile(r"/#clips/[0-9a-f]{32}$"))
    page.reload()
    expect(page.locator(".k-player video")).to_be_visible()
    page.go_back()
    expect(items(page).first).to_be_visible()
    page.go_back()
    expect(page.locator("#k-tabs")).to_be_visible()
    page.go_forward()
    expect(items(page).first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#k-tabs")).to_be_visible()
    expect(page.get_by_role("button", name="All clips")).to_be_visible()


def test_clips_are_found_as_one_types_and_by_filters_that_survive_a_reload(
    open_gallery: Open,
) -> None:
    page = open_gallery()
    page.keyboard.press("/")
    page.keyboard.type("balloon nowhere")
    expect(page.get_by_text("No clip fits.")).to_be_visible()
    said(page, "Clips: 0")
    search = page.get_by_role("searchbox", name="Search prompts and settings")
    search.fill("seed:5 balloon")
    expect(page.get_by_text("No clip fits.")).to_be_hidden()
    expect(items(page).first).to_contain_text("balloon")
    page.get_by_label("Model", exact=True).select_option(value="beta/two")
    with page.expect_response(lambda answer: "sort=longest" in answer.url) as answer:
        page.get_by_label("Order").select_option(label="Longest first")
    shown = f"Clips: {answer.value.json()['total']:,}"
    said(page, shown)
    expect(page).to_have_url(re.compile(r"search=seed%3A5\+balloon&model=beta%2Ftwo&sort=longest"))
    page.reload()
    said(page, shown)
    expect(page.get_by_label("Model", exact=True)).to_have_value("beta/two")
    expect(search).to_have_value("seed:5 balloon")
    page.get_by_label("State").select_option(label="Failed")
    said(page, "Clips: 0")
    page.get_by_role("button", name="Show all").click()
    said(page, "Clips: 10,000")
    expect(page.locator(".k-gallery-facts")).to_contain_text("Files: 90 MB")
    before = items(page).first.bounding_box()
    page.get_by_role("button", name="Large pictures").click()
    after = items(page).first.bounding_box()
    assert before and after
    assert after["width"] > 1.5 * before["width"]


def test_many_are_selected_by_click_shift_drag_and_keyboard_and_kept(open_gallery: Open) -> None:
    page = open_gallery()
    first, third = items(page).nth(0), items(page).nth(2)
    first.hover()
    first.locator(".k-item-check").click()
    third.click(modifiers=["Shift"])
    assert selected(page) == 3
    third.click()  # while some are selected, a click selects
    assert selected(page) == 2
    page.keyboard.press("Escape")
    assert selected(page) == 0

    box, end = items(page).nth(1).bounding_box(), items(page).nth(3).bounding_box()
    assert box and end
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(end["x"] + 20, end["y"] + 40, steps=4)
    page.mouse.up()
    assert selected(page) == 3, "what the drawn box touches"
    expect(page).to_have_url(re.compile(r"#clips$"))
    page.keyboard.press("Escape")

    first.focus()  # from here on the keyboard alone
    for key in ("Space", "ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert selected(page) == 3
    expect(items(page).nth(2)).to_be_focused()
    page.keyboard.press("s")
    expect(page.locator(".k-item .k-item-starred")).to_have_count(3)
    toolbar = page.get_by_role("toolbar", name="Selected clips")
    toolbar.get_by_role("button", name="Add to collection").press("Enter")
    toolbar.get_by_label("New collection").fill("Best of May")
    page.keyboard.press("Enter")
    expect(toolbar.get_by_label("New collection")).to_be_hidden()
    with page.expect_download() as download:
        toolbar.get_by_role("button", name="Zip").press("Enter")
    with ZipFile(download.value.path()) as archive:
        assert len(archive.namelist()) == 4
        assert archive.testzip() is None
    page.keyboard.press("Escape")
    page.get_by_label("Collection", exact=True).select_option(label="Best of May (3)")
    said(page, "Clips: 3")
    page.get_by_role("button", name="Starred").click()
    said(page, "Clips: 3")
    items(page).nth(0).focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("s")
    page.get_by_role("button", name="Show all").click()
    said(page, "Clips: 10,000")
    items(page).nth(0).focus()
    page.keyboard.press("Control+a")
    page.wait_for_function(
        "document.querySelector('.k-selection-count')?.textContent.includes('10,000')"
    )


def test_a_deletion_is_undone_within_ten_seconds_also_after_a_reload(open_gallery: Open) -> None:
    page = open_gallery()
    names = [items(page).nth(n).get_attribute("id") for n in range(3)]
    items(page).nth(1).focus()
    page.keyboard.press("Delete")
    expect(page.locator(f"#{names[1]}")).to_have_count(0)
    said(page, "Clips: 9,999")
    page.reload()
    expect(items(page).first).to_be_visible()
    expect(page.locator(f"#{names[1]}")).to_have_count(0)
    undo = page.locator(".k-undo")
    expect(undo).to_contain_text("Deleted: 1")
    undo.get_by_role("button", name="Undo").click()
    expect(items(page).nth(1)).to_have_attribute("id", names[1] or "")
    said(page, "Clips: 10,000")
    expect(undo).to_be_hidden()


def test_one_clip_is_stepped_named_and_leads_on(open_gallery: Open) -> None:
    page = open_gallery()
    items(page).nth(1).focus()
    page.keyboard.press("Enter")
    video = page.locator(".k-player video")
    page.wait_for_function("document.querySelector('.k-player video')?.readyState >= 2")
    page.get_by_role("button", name="Pause").click()
    time = page.get_by_role("slider", name="Time")
    time.fill("7")
    expect(page.locator(".k-player-frame")).to_have_text(f"Frame 8 of {FRAMES}")
    page.locator(".k-clip-view h2:visible").first.click()
    page.keyboard.press(".")
    expect(page.locator(".k-player-frame")).to_have_text(f"Frame 9 of {FRAMES}")
    page.keyboard.press(",")
    page.keyboard.press(",")
    expect(time).to_have_attribute("aria-valuetext", f"Frame 7 of {FRAMES}")
    assert 6 / 8 < video.evaluate("video => video.currentTime") < 7 / 8
    page.get_by_label("Speed").select_option("0.25")
    assert video.evaluate("video => video.playbackRate") == 0.25
    page.get_by_role("button", name="Loop").click()
    assert not video.evaluate("video => video.loop")
    expect(page.locator(".k-clip-about")).to_contain_text("Guidance")

    title = page.get_by_label("Title")
    title.fill("The <b>best</b> one")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Next clip").click()
    expect(title).to_have_value("")
    page.get_by_role("button", name="Previous clip").click()
    expect(title).to_have_value("The <b>best</b> one")
    page.keyboard.press("Escape")
    expect(items(page).nth(1)).to_contain_text("The <b>best</b> one")
    expect(items(page).nth(1)).to_be_focused()

    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.k-player video')?.readyState >= 2")
    page.get_by_role("button", name="Use as picture").click()
    expect(page.get_by_role("tab", name="Image to video")).to_have_attribute(
        "aria-selected", "true"
    )
    page.wait_for_function("store.tabs.i2v.picture.value?.width === 128")


def test_a_clip_that_was_made_again_is_of_the_family(open_gallery: Open) -> None:
    page = open_gallery("")
    page.locator("#k-t2v .k-prompt textarea").fill("a dog in the snow")
    page.locator("#k-t2v").get_by_role("button", name="Generate", exact=True).click()
    first = wait_for_clip(page)
    page.get_by_role("button", name="All clips").click()
    page.locator(f"#k-item-{first['id']}").click()
    page.get_by_role("button", name="Another seed").click()
    page.wait_for_function(f"(store.tabs.t2v.job.value?.id ?? '{first['id']}') !== '{first['id']}'")
    second = wait_for_clip(page)
    page.goto(f"{page.url.partition('#')[0]}#clips/{first['id']}")
    family = page.locator(".k-family")
    expect(family).to_contain_text("Variation")
    family.get_by_role("button").click()
    expect(page).to_have_url(re.compile(f"#clips/{second['id']}$"))
    expect(page.locator(".k-family")).to_contain_text("Made from")
    for job in (first, second):  # as it was, for the other stories
        page.request.delete(
            f"{page.url.partition('#')[0]}kinora/jobs/{job['id']}", headers={"X-Kinora": "1"}
        )


def test_clips_are_compared_in_step(open_gallery: Open) -> None:
    page = open_gallery()
    for n in (0, 2, 3):
        items(page).nth(n).click(modifiers=["Control"])
    page.get_by_role("button", name="Compare").click()
    expect(page).to_have_url(re.compile(r"#clips/compare/\w{32},\w{32},\w{32}"))
    videos = page.locator(".k-compared video")
    expect(videos).to_have_count(3)
    page.wait_for_function(
        "[...document.querySelectorAll('.k-compared video')].every(v => v.readyState >= 2)"
    )
    page.get_by_role("button", name="Pause all clips").press("Space")
    page.get_by_role("slider", name="Time").fill("1")
    page.keyboard.press(".")
    times = videos.evaluate_all("all => all.map((video) => video.currentTime)")
    assert len(set(times)) == 1
    assert times[0] == pytest.approx(1 + 1.5 / 8, abs=0.1)
    page.reload()
    expect(videos).to_have_count(3)
    page.keyboard.press("Escape")
    expect(items(page).first).to_be_visible()


@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, True)], ids=["light", "phone"])
def test_nothing_serious_for_axe_in_the_gallery(
    open_gallery: Open, axe: str, dark: bool, phone: bool
) -> None:
    page = open_gallery(dark=dark, phone=phone)
    found = violations(page, axe)
    for n in (0, 1):
        items(page).nth(n).locator(".k-item-check").evaluate("check => check.click()")
    page.get_by_role("button", name="Add to collection").click()
    found += violations(page, axe)
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".k-compared video")).to_have_count(2)
    found += violations(page, axe)
    page.get_by_role("button", name="All clips", exact=True).click()
    page.get_by_role("button", name="Clear selection").click()
    items(page).nth(1).click()
    expect(page.locator(".k-player video")).to_be_visible()
    found += violations(page, axe)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("shift") < 0.02
    assert not found, "\n".join(found)
