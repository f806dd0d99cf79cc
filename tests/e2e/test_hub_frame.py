"""In the frame of the Hub's page: with partitioned cookies, and with cookies blocked in two ways.

A download from a frame goes without the frame's cookies, a frame is as high as its page, and some
browsers keep no cookie there at all; none of that may cost anybody a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, BrowserType, Frame, Page, expect

from tests.e2e.chromium import CHROMIUM
from tests.e2e.hub_page import SPACE, SPACE_PAGE, Cookies, Hub, SpaceServer, browsing, hub_around
from tests.e2e.person import SLOW_MS, STORE

DESKTOP, PHONE = {"width": 1280, "height": 720}, {"width": 390, "height": 844}
KEEPING: list[Cookies] = ["kept", "third-party blocked"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    kinora = SpaceServer(folder / "data", models_dir)
    try:
        with hub_around(kinora, folder) as running:
            yield running
    finally:
        kinora.stop()


Browse = Callable[..., BrowserContext]


@pytest.fixture
def browse(chromium: BrowserType, hub: Hub, tmp_path: Path) -> Iterator[Browse]:
    """A browser with the given cookie setting. At the end: no script and no policy complained."""
    complaints: list[str] = []
    hub.seen.clear()

    with ExitStack() as open_browsers:

        def browse(cookies: Cookies, *, phone: bool = False) -> BrowserContext:
            size = PHONE if phone else DESKTOP
            options: dict[str, Any] = {"viewport": size, "screen": size}
            if phone:
                options |= {"is_mobile": True, "has_touch": True}
            profile = tmp_path / cookies.replace(" ", "-")
            context = open_browsers.enter_context(
                browsing(chromium, hub, profile, cookies, executable_path=CHROMIUM, **options)
            )
            context.set_default_timeout(SLOW_MS)
            context.add_init_script(STORE)
            context.on("weberror", lambda each: complaints.append(str(each.error)))
            context.on(
                "console",
                lambda line: complaints.append(line.text) if line.type == "error" else None,
            )
            return context

        yield browse
        said = list(complaints)  # what is cut off when a browser closes is nobody's complaint
    assert not said


def open_space(context: BrowserContext, address: str = SPACE_PAGE) -> tuple[Page, Frame]:
    """The Hub's page (or the Space's own), and Kinora in it."""
    page = context.pages[0]
    page.goto(address)
    return page, kinora_in(page)


def kinora_in(page: Page) -> Frame:
    page.wait_for_function("document.readyState === 'complete'")
    (frame,) = [frame for frame in page.frames if frame.url.startswith(SPACE)]
    frame.wait_for_function("window.store?.tabs.t2v.gradio")
    frame.wait_for_function("document.querySelector('#k-t2v .k-outlook-line')?.textContent")
    return frame


def make(frame: Frame, words: str = "a dog running to the right in the snow") -> dict[str, Any]:
    frame.locator("#k-t2v .k-prompt textarea").fill(words)
    button(frame).click()
    frame.wait_for_selector("#k-t2v .k-video.k-on")
    return frame.evaluate("store.tabs.t2v.job.value")


def button(frame: Frame) -> Any:
    return frame.locator("#k-t2v").get_by_role("button", name="Generate", exact=True)


def download(page: Page, frame: Frame) -> bytes:
    with page.expect_download() as started:
        frame.get_by_role("link", name="Download").click()
    assert started.value.suggested_filename.startswith("kinora-")
    assert started.value.suggested_filename.endswith(".mp4")
    return Path(started.value.path()).read_bytes()


def sees(page: Page, what: Any) -> bool:
    """Whether all of it is in the window of the outer page, without scrolling."""
    box = what.bounding_box()
    size = page.viewport_size
    assert box and size
    return box["y"] >= 0 and box["y"] + box["height"] <= size["height"]


# -- generate, reload, download ------------------------------------------------------------------


@pytest.mark.parametrize("cookies", KEEPING)
def test_in_the_frame_a_clip_is_made_downloaded_at_any_size_and_there_after_a_reload(
    browse: Browse, hub: Hub, cookies: Cookies
) -> None:
    context = browse(cookies)
    page, frame = open_space(context)
    expect(frame.locator("#k-t2v .k-cookieless")).to_be_hidden()
    job = make(frame)
    clip = download(page, frame)
    assert (clip[4:8], len(clip)) == (b"ftyp", job["size_bytes"])
    (fetched,) = [each for each in hub.asked("/clip") if "download" in each.url.query]
    assert "kinora_visitor" in fetched.cookies, "as the Hub's own cookie of a private Space"

    # the browser fetches a large clip by itself: without the frame's cookies
    hub.seen.clear()
    frame.evaluate("store.tabs.t2v.job.value.size_bytes = 5e8")
    assert download(page, frame) == clip
    (fetched,) = [each for each in hub.asked("/clip") if "download" in each.url.query]
    assert "cookie" not in fetched.headers, "what the signature is there for"

    page.reload()
    frame = kinora_in(page)
    frame.locator(".k-tile-open").click()
    frame.wait_for_selector("#k-t2v .k-video.k-on")
    assert frame.evaluate("store.tabs.t2v.job.value.id") == job["id"]

    # anybody opens one by its signed address
    played, poster = frame.locator("#k-t2v video").evaluate("v => [v.currentSrc, v.poster]")
    tab = context.new_page()  # as "Open video in new tab" and a copied address do
    for address in (played, poster):
        answer = tab.goto(address)
        assert answer
        assert answer.ok, address
    with httpx.Client(base_url=hub.kinora.url, trust_env=False) as anyone:
        signed = played.removeprefix(SPACE)
        part = anyone.get(signed, headers={"Range": "bytes=4-7", "Sec-Fetch-Site": "cross-site"})
        assert (part.status_code, part.content) == (206, b"ftyp")
        assert anyone.get(signed.split("?")[0]).status_code == 404


def test_with_all_cookies_blocked_it_is_said_first_and_the_clip_is_there_all_the_same(
    browse: Browse, hub: Hub, picture: Path
) -> None:
    context = browse("all blocked")
    page, frame = open_space(context)
    notice = frame.locator("#k-t2v .k-cookieless")
    expect(notice).to_contain_text("only until this page is closed or reloaded")
    assert sees(page, notice), "before anything is pressed"
    assert sees(page, button(frame))
    job = make(frame)
    assert frame.locator("#k-t2v video").evaluate("v => v.videoWidth") == 128
    expect(frame.locator(".k-tile")).to_have_count(1)
    clip = download(page, frame)
    assert (clip[4:8], len(clip)) == (b"ftyp", job["size_bytes"])
    assert not any("cookie" in each.headers for each in hub.seen), "none was kept, none was sent"

    frame.get_by_role("tab", name="Image to video").click()
    frame.wait_for_function("store.tabs.i2v.gradio")
    frame.locator("#k-i2v .k-file").first.set_input_files(picture)
    shown = frame.locator("#k-i2v img.k-picture")
    frame.wait_for_function("document.querySelector('#k-i2v img.k-picture')?.naturalWidth")
    assert shown.evaluate("i => i.naturalWidth") == 640

    with context.expect_page() as opened:
        notice_here = frame.locator("#k-i2v .k-cookieless")
        notice_here.get_by_role("link", name="Open Kinora in its own tab").click()
    own = kinora_in(opened.value)
    expect(own.locator("#k-t2v .k-cookieless")).to_contain_text("Allow cookies")
    make(own)
    opened.value.close()

    page.reload()  # as was said, the clip is not here any more; and no half of it is
    frame = kinora_in(page)
    expect(frame.locator("#k-t2v .k-cookieless")).to_be_visible()
    expect(frame.locator(".k-tile")).to_have_count(0)
    make(frame)


# -- how high the frame is -----------------------------------------------------------------------


@pytest.mark.parametrize("phone", [False, True])
def test_the_button_is_in_the_first_view_whatever_the_frame_does(
    browse: Browse, phone: bool
) -> None:
    context = browse("kept", phone=phone)
    for header in ("", "?header=mini"):  # as high as its page, as high as the window
        page, frame = open_space(context, SPACE_PAGE + header)
        page.wait_for_timeout(500)  # a frame that grows with its page would do so now
        assert sees(page, button(frame)), header
        stage = frame.locator("#k-t2v .k-box").bounding_box()
        assert stage, header
        assert stage["height"] >= 200, header
        height = frame.evaluate("innerHeight")
        chips = frame.locator("#k-t2v .k-chips").bounding_box()
        assert chips, header
        assert chips["height"] < 48, f"one line, {header}"
        frame.locator("#k-t2v").get_by_role("button", name="Model: ").click()
        option = frame.locator(".k-picker-layer .k-picker-option").first
        option.wait_for()
        assert sees(page, option), f"the list opens where it can be seen, {header}"
        page.wait_for_timeout(500)
        after = frame.evaluate("innerHeight")
        assert after == height, f"stage and frame do not chase each other, {header}"
    if not phone:  # at its own address the Space has the Hub's header, and nobody complains
        page, frame = open_space(context, SPACE)
        expect(page.locator("#huggingface-space-header")).to_be_visible()
        assert sees(page, button(frame))
