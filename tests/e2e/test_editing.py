"""A clip is edited beside the stage, and several are joined on the timeline, with music, by mouse,
by keyboard and on a phone."""

from __future__ import annotations

import functools
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.e2e.conftest import visits
from tests.e2e.gallery_data import FPS, FRAMES, prepare
from tests.e2e.person import Visit, wait_for_clip
from tests.e2e.server import Server
from tests.e2e.test_accessibility import violations
from tests.media.operations.measure import has_sound
from tests.media.reading import read

ME = "e" * 32
CLIPS = 4
LENGTH_S = FRAMES / FPS
PANEL, TIMELINE = "dialog.k-edit[open]", "dialog.k-timeline[open]"
SHIFT = """() => {
  window.shift = 0;
  const isTile = ({ node }) => node?.parentElement?.closest(".k-part-reel");
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      if (!entry.hadRecentInput && !entry.sources.every(isTile)) window.shift += entry.value;
  }).observe({ type: "layout-shift" });
}"""
"""Without the list of clips: a new one is put first there."""
MAKE = re.compile(r"/kinora/operations$")
LOADED = "performance.getEntriesByType('resource').map((each) => each.name).join(' ')"

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def studio(server: Server, models_dir: Path) -> Server:
    """With a few clips of one visitor: those of the tests come after them."""
    prepare(Path(server.environment["KINORA_DATA_DIR"]), models_dir, ME, CLIPS)
    return server


@pytest.fixture
def open_page(browser: Browser, studio: Server) -> Iterator[Open]:
    for visit in visits(browser, studio):
        yield functools.partial(open_as_me, visit)


def open_as_me(visit: Visit, hash_: str = "#clips?sort=oldest", **options: object) -> Page:
    page = visit(f"/{hash_}", visitor=ME, **options)
    expect(page.locator(".k-gallery .k-item").first).to_be_visible()
    return page


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("music") / "tune.wav", "sine=frequency=440:duration=2")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip from elsewhere, one second of another shape."""
    pattern = f"testsrc2=size=96x64:rate={FPS}:duration=1"
    return draw(tmp_path_factory.mktemp("film") / "film.mp4", pattern)


def draw(path: Path, pattern: str) -> Path:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", pattern]
    subprocess.run([*command, str(path)], check=True, timeout=60)
    return path


def open_editor(page: Page) -> Locator:
    """From the first clip of the gallery: the gallery closes, the clip is on the stage."""
    page.locator(".k-gallery .k-item").first.click()
    page.locator(".k-clip-verbs").get_by_role("button", name="Edit", exact=True).click()
    panel = page.locator(PANEL)
    expect(panel).to_be_visible()
    expect(panel.get_by_role("slider", name="End")).to_be_visible()
    return panel


def open_timeline(page: Page, count: int) -> Locator:
    tiles = page.locator(".k-gallery .k-item")
    for number in range(count):
        tiles.nth(number).locator(".k-item-check").dispatch_event("click")
    page.get_by_role("button", name="Join", exact=True).click()
    timeline = page.locator(TIMELINE)
    expect(timeline.locator("[data-clip]")).to_have_count(count)
    return timeline


def made(page: Page, tmp_path: Path) -> Any:
    """The clip that the edit on the stage becomes, as a file and read."""
    page.wait_for_function("store.tabs.t2v.job.value?.is_edit")
    job = wait_for_clip(page)
    assert job["is_edit"]
    here = page.url.split("#")[0].rstrip("/")
    path = tmp_path / "made.mp4"
    path.write_bytes(page.request.get(f"{here}/kinora/jobs/{job['id']}/clip").body())
    return read(path)


def test_a_clip_is_trimmed_and_slowed_beside_the_stage_and_the_editor_is_loaded_then(
    open_page: Open, tmp_path: Path, axe: str
) -> None:
    page = open_page()
    assert "editing." not in page.evaluate(LOADED)
    panel = open_editor(page)
    assert {"editing.js", "editing.css"} <= set(re.findall(r"editing\.\w+", page.evaluate(LOADED)))
    make = panel.get_by_role("button", name="Make", exact=True)
    expect(make).to_be_disabled()
    expect(panel.get_by_text("Choose what to change.")).to_be_visible()
    stage, side = page.locator("#k-t2v .k-box").bounding_box(), panel.bounding_box()
    assert stage and side
    assert stage["x"] + stage["width"] <= side["x"], "the panel is beside the stage"

    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    edit = page.locator("#k-t2v").get_by_role("button", name="Edit", exact=True)
    expect(edit).to_be_focused()
    edit.press("Enter")
    page.get_by_role("button", name="All clips").click()
    expect(panel, "the gallery has no panel beside it").to_have_count(0)
    page.keyboard.press("Escape")
    page.evaluate(SHIFT)
    edit.press("Enter")
    end = panel.get_by_role("slider", name="End")
    end.focus()
    for _ in range(FRAMES // 2):
        page.keyboard.press("ArrowLeft")
    expect(end).to_have_attribute("aria-valuenow", str(FRAMES // 2))
    preview = panel.locator("video.k-monitor-preview.k-on")
    expect(preview).to_have_js_property("readyState", 4)
    expect(panel.get_by_text(f"{LENGTH_S / 2:g} s, 128 × 128")).to_be_visible()
    panel.get_by_role("button", name="Change the speed").click()
    expect(panel.get_by_label("Speed", exact=True)).to_be_focused()
    expect(panel.get_by_text(f"{LENGTH_S:g} s, 128 × 128")).to_be_visible()
    panel.get_by_role("button", name="Title", exact=True).click()
    expect(panel.get_by_text("Fill in “Text” first.")).to_be_visible()
    expect(make).to_be_disabled()
    assert not violations(page, axe)
    panel.get_by_role("button", name="Title: remove").click()
    page.route(MAKE, lambda route: route.abort())
    make.click()
    expect(panel.get_by_text("Kinora cannot be reached right now.")).to_be_visible()
    expect(end, "all that was set is still there").to_have_attribute(
        "aria-valuenow", str(FRAMES // 2)
    )
    page.unroute(MAKE)
    page.route(MAKE, late)
    make.click()
    expect(panel).to_have_count(0)
    expect(page.locator("#k-t2v .k-box")).to_be_focused()
    page.wait_for_function("store.tabs.t2v.job.value?.is_edit")
    assert page.evaluate("shift") < 0.02, "the page moves with the press, not with the answer"
    assert len(made(page, tmp_path).frames) == FRAMES


def test_clips_are_trimmed_ordered_faded_and_joined_with_music(
    open_page: Open, tmp_path: Path, music: Path, film: Path, axe: str
) -> None:
    page = open_page()
    timeline = open_timeline(page, 3)
    clips = timeline.locator("[data-clip]")
    second = clips.nth(1).get_attribute("data-clip")
    box, target = clips.nth(1).bounding_box(), clips.nth(0).bounding_box()
    assert box and target
    drag(page, middle(box), (target["x"] + 20, target["y"] + target["height"] / 2))
    expect(clips.nth(0)).to_have_attribute("data-clip", str(second))

    end = timeline.get_by_role("slider", name="End of clip 1")
    grip = end.bounding_box()
    assert grip
    drag(page, middle(grip), (grip["x"] - target["width"] / 2, grip["y"] + 20))
    kept = int(end.get_attribute("aria-valuenow") or 0)
    assert abs(kept - FRAMES / 2) <= 2
    timeline.get_by_role("button", name="Joint between clips 2 and 3").click()
    timeline.get_by_label("How the clips follow each other").select_option("crossfade")
    timeline.get_by_label("Length of the joint").fill("1")
    timeline.locator("input[accept='audio/*']").set_input_files(music)
    expect(timeline.get_by_text(music.name)).to_be_visible()
    timeline.locator("input[accept='video/*']").set_input_files(film)
    expect(clips).to_have_count(4)
    expect(timeline.get_by_text("Clip 4 is 96 x 64; it is scaled to 128 x 128")).to_be_visible()
    total = (kept + 2 * FRAMES + FPS) / FPS - 1
    expect(timeline.get_by_text(f"/ {total:.2f} s")).to_be_visible()
    assert not violations(page, axe)

    timeline.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(PLAYS_ON, arg=1.0)
    timeline.get_by_role("button", name="Pause").click()
    timeline.get_by_role("button", name="Make", exact=True).click()
    expect(timeline).to_have_count(0)
    joined = made(page, tmp_path)
    assert len(joined.frames) == round(total * FPS)
    assert has_sound(tmp_path / "made.mp4")
    expect(page.locator("#k-tabs")).to_be_visible()


def test_the_timeline_works_by_keyboard_alone(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    tiles = page.locator(".k-gallery .k-item")
    tiles.first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    join = page.get_by_role("button", name="Join", exact=True)
    tab_to(page, join)
    page.keyboard.press("Enter")
    timeline = page.locator(TIMELINE)
    clips = timeline.locator("[data-clip]")
    expect(clips).to_have_count(2)
    first = str(clips.first.get_attribute("data-clip"))
    tab_to(page, clips.first)
    page.keyboard.press("Alt+ArrowRight")
    expect(clips.nth(1)).to_have_attribute("data-clip", first)
    expect(clips.nth(1)).to_be_focused()
    expect(timeline.get_by_text("Clip 2 of 2", exact=True)).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(clips.nth(0)).to_be_focused()
    tab_to(page, timeline.get_by_role("slider", name="Start of clip 1"))
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    tab_to(page, timeline.get_by_role("button", name="Joint between clips 1 and 2"))
    page.keyboard.press("Enter")
    tab_to(page, timeline.get_by_label("How the clips follow each other"))
    page.keyboard.press("ArrowDown")
    expect(timeline.get_by_label("Length of the joint")).to_be_visible()
    tab_to(page, timeline.get_by_role("button", name="Make", exact=True))
    page.keyboard.press("Enter")
    expect(timeline).to_have_count(0)
    assert len(made(page, tmp_path).frames) == 2 * FRAMES - 4 - FPS // 2


def test_on_a_phone_everything_has_a_button_and_nothing_hangs_over(
    open_page: Open, axe: str
) -> None:
    page = open_page(phone=True, dark=True)
    timeline = open_timeline(page, 2)
    clips = timeline.locator("[data-clip]")
    first = str(clips.first.get_attribute("data-clip"))
    timeline.get_by_role("button", name="Move later").click()
    expect(clips.nth(1)).to_have_attribute("data-clip", first)
    timeline.get_by_role("button", name="End one frame earlier").click()
    end = timeline.get_by_role("slider", name="End of clip 2")
    expect(end).to_have_attribute("aria-valuenow", str(FRAMES - 1))
    assert not violations(page, axe)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.press("Escape")
    expect(timeline).to_have_count(0)
    page.get_by_role("button", name="Clear selection").click()
    panel = open_editor(page)
    panel.get_by_role("button", name="Start one frame later").click()
    expect(panel.get_by_text(f"{(FRAMES - 1) / FPS:.2f} s, 128 × 128")).to_be_visible()
    make = panel.get_by_role("button", name="Make", exact=True).bounding_box()
    assert make
    assert make["y"] + make["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not violations(page, axe)


def late(route: Route) -> None:
    """An answer so long after the press that a browser counts what moves then."""
    time.sleep(0.7)
    route.continue_()


PLAYS_ON = """(least) => {
  const playing = [...document.querySelectorAll("[data-player]")].some((video) => !video.paused);
  const music = document.querySelector(".k-timeline audio");
  const time = Number(document.querySelector(".k-timeline .k-player-time").value);
  return playing && !music.paused && music.currentTime > 0 && time > least;
}"""


def middle(box: Any) -> tuple[float, float]:
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=8)
    page.mouse.up()


def tab_to(page: Page, target: Locator) -> None:
    """Presses Tab until the element has the focus."""
    expect(target).to_be_visible()
    for _ in range(60):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("Tab does not reach it")
