"""In every language the page stays in place while it loads, and axe-core finds nothing serious."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.person import Visit, press, wait_for_clip, write
from tests.e2e.server import Server
from tests.e2e.test_accessibility import violations
from web.languages import languages

MOST_SHIFT = 0.02
SHIFTS = """
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      const moved = entry.sources.map(({ node, previousRect, currentRect }) => [
        node?.parentElement?.outerHTML.slice(0, 200) ?? "", previousRect.y, currentRect.y,
        previousRect.x, currentRect.x,
      ]);
      window.shifts.push({ value: entry.value, moved });
    }
  }).observe({ type: "layout-shift", buffered: true });
"""


def shift(page: Page) -> float:
    """What has moved since the page was opened, as a browser counts it."""
    page.wait_for_timeout(300)
    found = page.evaluate("window.shifts")
    if found:
        print(page.url, found)
    return sum(each["value"] for each in found)


def look(page: Page, name: str) -> None:
    """Where KINORA_SCREENSHOTS names a folder, what the test has seen is kept there."""
    if folder := os.environ.get("KINORA_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def open_address(page: Page, url: str) -> None:
    page.goto("about:blank")
    page.goto(url)


CASES = [("en-GB", False, True), ("ar", True, False)]


@pytest.mark.parametrize(("locale", "phone", "dark"), CASES)
def test_nothing_moves_by_itself(
    visit: Visit, server: Server, locale: str, phone: bool, dark: bool
) -> None:
    page = visit(script=SHIFTS, locale=locale, phone=phone, dark=dark)
    name = f"{locale[:2]}-{'phone' if phone else 'desk'}-{'dark' if dark else 'light'}"
    assert shift(page) <= MOST_SHIFT
    look(page, f"{name}-start")
    page.locator("#k-t2v .k-prompt textarea").press_sequentially("a dog in the snow")
    press(page, "Generate" if locale != "ar" else "إنشاء")
    wait_for_clip(page)
    assert shift(page) <= MOST_SHIFT
    look(page, f"{name}-clip")

    open_address(page, f"{server.url}/#clips")
    expect(page.locator(".k-gallery [role=gridcell], .k-gallery .k-item").first).to_be_visible()
    assert shift(page) <= MOST_SHIFT
    look(page, f"{name}-gallery")

    open_address(page, f"{server.url}/verify")
    expect(page.locator(".k-choose")).to_be_visible()
    assert shift(page) <= MOST_SHIFT
    look(page, f"{name}-verify")


def test_no_serious_violation_in_any_language(visit: Visit, axe: str) -> None:
    page = visit(locale="en-GB")
    loaded: list[str] = page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")
    assert not [url for url in loaded if "/kinora/languages/" in url], "English costs no request"
    write(page, "a dog in the snow")
    press(page, "Generate")
    wait_for_clip(page)
    found: list[str] = []
    for tag in languages():
        page.locator(".k-language select").select_option(tag)
        page.wait_for_function(f"document.documentElement.lang === '{tag}'")
        found += [f"{tag}: {each}" for each in violations(page, axe)]
    assert not found, "\n".join(found)
