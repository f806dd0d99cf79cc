"""A shared clip is reported without an account and without script, and the operator acts on it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.server import ADMIN_KEY, Server
from tests.e2e.test_accessibility import violations

SECRET = {"Authorization": "Bearer a-maker-in-the-browser-0123456789"}
WORDS = 'a rocket "> <script>alert(1)</script>'


@pytest.fixture
def link(server: Server) -> Iterator[str]:
    """A share link that was made by a program."""
    with httpx.Client(base_url=server.url, headers=SECRET, trust_env=False, timeout=60) as maker:
        sent = {"prompt": WORDS, "num_inference_steps": 2}
        job_id = maker.post("/api/generate", json=sent).json()["job_id"]
        until = time.monotonic() + 120
        while maker.get(f"/api/jobs/{job_id}").json()["state"] != "succeeded":
            assert time.monotonic() < until
            time.sleep(0.1)
        yield maker.put(f"/api/jobs/{job_id}/share", json={}).json()["url"]


def fits(page: Page) -> bool:
    width = page.viewport_size["width"]  # type: ignore[index]
    return page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_clip_is_reported_removed_and_restored(
    browser: Browser, server: Server, link: str, axe: str
) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        watcher = context.new_page()
        watcher.goto(link)
        watcher.get_by_role("link", name="Report this clip").click()
        watcher.get_by_role("button", name="Send report").click()  # the browser wants a reason
        expect(watcher).to_have_url(f"{link}/report")
        watcher.get_by_label("It shows me or another real person without consent").check()
        watcher.get_by_label("What should they know?").fill(f"That is my rocket. {WORDS}")
        watcher.get_by_role("button", name="Send report").press("Enter")
        expect(watcher.get_by_role("heading")).to_have_text("Thank you for the report")
        assert context.cookies() == []
    with browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark") as dark:
        form = dark.new_page()
        form.goto(f"{link}/report")
        assert not violations(form, axe) and fits(form)

    with browser.new_context() as context:
        page = context.new_page()
        page.on("dialog", lambda dialog: pytest.fail("a script of a stranger has run"))
        page.goto(f"{server.url}/admin")
        page.get_by_label("Key").fill("not-the-key-of-the-operator")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_have_text("That is not the operator's key.")
        assert not violations(page, axe)
        page.get_by_label("Key").fill(ADMIN_KEY)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("1 open report")
        assert not violations(page, axe)
        page.get_by_role("link", name="1 report").click()
        expect(page.get_by_text("That is my rocket.")).to_be_visible()
        expect(page.locator("video")).to_have_js_property("readyState", 4)
        page.set_viewport_size({"width": 390, "height": 844})
        assert not violations(page, axe) and fits(page)
        page.get_by_label("Note for the log").fill("a test")
        page.get_by_role("button", name="Remove clip").click()
        expect(page.get_by_text("Removed on")).to_be_visible()
        expect(page.locator("video")).to_have_js_property("readyState", 4)
        assert httpx.get(link, trust_env=False).status_code == 404
        page.get_by_role("button", name="Restore clip").click()
        expect(page.get_by_role("button", name="Remove clip")).to_be_visible()
        assert httpx.get(link, trust_env=False).status_code == 200
        page.get_by_role("link", name="Log", exact=True).click()
        expect(page.get_by_text("restored (operator)").first).to_be_visible()
        assert not violations(page, axe) and fits(page)
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Key")).to_be_visible()
        assert context.cookies() == []
