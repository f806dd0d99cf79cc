"""What a person does on the page, and what they wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Page, expect

MANY_STEPS = 200
"""As many as a request may ask for: who asks for them stops the clip."""
SLOW_MS = 120_000
"""A loaded machine is slow; a test that waits this long has failed."""

TABS = {"Text to video": "t2v", "Image to video": "i2v", "Video to video": "v2v"}

STORE = """(() => {
  const find = () => {
    const script = document.querySelector('script[type=module][src*="kinora/static/"]');
    if (!script) return setTimeout(find, 10);
    import(script.src).then((page) => Object.assign(window, { page, store: page.store }));
  };
  find();
})();"""
"""For every page and frame of a test: `page` has what our script exports, `store` is its state. The
page itself hands them to nobody."""

Visit = Callable[..., Page]
expect.set_options(timeout=SLOW_MS)


def go(page: Page, url: str) -> Page:
    page.add_init_script(STORE)
    page.goto(url)
    page.wait_for_function("window.store?.tabs.t2v.gradio && document.fonts.status === 'loaded'")
    page.wait_for_function("document.querySelector('#k-t2v .k-outlook-line')?.textContent")
    return page


def write(page: Page, words: str, tab: str = "t2v") -> None:
    page.locator(f"#k-{tab} .k-prompt textarea").fill(words)


def press(page: Page, button: str, tab: str = "t2v") -> None:
    page.locator(f"#k-{tab}").get_by_role("button", name=button, exact=True).click()


def take_time(page: Page, tab: str = "t2v", steps: int = MANY_STEPS) -> None:
    """Asks for so many steps that the clip is not done before a button is pressed."""
    here = page.locator(f"#k-{tab}")
    if not here.locator(".k-grid").is_visible():
        here.get_by_role("button", name="Advanced").click()
    field = here.get_by_label("number input for Steps")
    while True:  # what is typed in the very moment a control appears, Gradio puts back
        field.fill(str(steps))
        page.keyboard.press("Tab")
        if field.input_value() == str(steps):
            return
        page.wait_for_timeout(100)


def start(page: Page, words: str, tab: str = "t2v") -> None:
    """A long clip, in the making and seen."""
    take_time(page, tab)
    write(page, words, tab)
    press(page, "Generate", tab)
    wait_for_preview(page, tab)


def finish(page: Page, tab: str = "t2v") -> None:
    """As "Finish now" does; no error if a slow machine comes when the clip is done."""
    job_id = page.evaluate(f"store.tabs.{tab}.job.value.id")
    here = page.url.split("?")[0].rstrip("/")
    page.request.post(f"{here}/kinora/jobs/{job_id}/finish", headers={"X-Kinora": "1"})


def make_quickly(page: Page, words: str) -> dict[str, Any]:
    """A clip on the stage, whatever it looks like."""
    start(page, words)
    press(page, "Finish now")
    return wait_for_clip(page)


def turn_to(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    page.wait_for_function(f"store.tabs.{TABS[name]}.gradio")


def wait_until_calm(page: Page) -> None:
    """What was to change its place or colour has done so."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    page.wait_for_function(
        "document.getAnimations().every("
        "a => !(a instanceof CSSTransition) || a.playState === 'finished')"
    )


def wait_for_preview(page: Page, tab: str = "t2v", number: int = 1) -> None:
    page.wait_for_function(f"store.tabs.{tab}.preview.value.number >= {number}")


def wait_for_clip(page: Page, tab: str = "t2v") -> dict[str, Any]:
    """Until the clip plays on the stage; returns the job as the page knows it."""
    page.wait_for_selector(f"#k-{tab} .k-video.k-on")
    return page.evaluate(f"store.tabs.{tab}.job.value")


@contextmanager
def same_box(page: Page, tab: str = "t2v") -> Iterator[None]:
    """The stage neither moves nor changes its size meanwhile."""
    box = page.locator(f"#k-{tab} .k-box")
    before = box.bounding_box()
    scrolled = page.evaluate("scrollY")
    yield
    after = box.bounding_box()
    assert before and after
    after["y"] += page.evaluate("scrollY") - scrolled
    assert after == pytest.approx(before, abs=0.5)
