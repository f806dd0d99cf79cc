"""A finished clip is shared, watched by another person, and taken back; and its end is noticed."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.e2e.person import Visit, finish, make_quickly, press, start, wait_for_clip
from tests.e2e.server import Server
from tests.e2e.test_accessibility import violations

DIALOG = "dialog.k-panel[open]"


def open_panel(page: Page) -> None:
    page.locator("#k-t2v").get_by_role("button", name="Share", exact=True).press("Enter")
    expect(page.locator(DIALOG)).to_be_visible()


def test_a_link_is_made_watched_by_another_person_and_revoked(
    visit: Visit, browser: Browser, server: Server, axe: str
) -> None:
    page = visit()
    make_quickly(page, "a rocket at night")
    open_panel(page)
    dialog = page.locator(DIALOG)
    dialog.get_by_label("Title").fill("My <b>rocket</b>")
    dialog.get_by_label("Hide the prompt").check()
    assert not violations(page, axe)
    dialog.get_by_role("button", name="Make a link").press("Enter")
    expect(dialog.get_by_role("button", name="Copy")).to_be_focused()
    link = dialog.get_by_label("Link to the clip").input_value()
    assert re.fullmatch(rf"{re.escape(server.url)}/c/[\w-]{{22}}", link)
    drawn = dialog.get_by_alt_text("QR code of the link")
    assert drawn.evaluate("image => image.complete && image.naturalWidth > 50")
    assert not violations(page, axe)

    with browser.new_context(java_script_enabled=False) as context:
        watcher = context.new_page()
        assert watcher.goto(link).status == 200  # type: ignore[union-attr]
        expect(watcher.get_by_role("heading", level=1)).to_have_text("My <b>rocket</b>")
        assert "a rocket at night" not in watcher.content()
        expect(watcher.locator("video")).to_have_js_property("readyState", 4)
        assert context.cookies() == []

    dialog.get_by_label("Hide the prompt").uncheck()
    expect(dialog.get_by_role("status")).to_have_text("Saved.")
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        watcher = context.new_page()
        watcher.goto(link)
        expect(watcher.get_by_text("a rocket at night", exact=True)).to_be_visible()
        assert not violations(watcher, axe)
        assert watcher.evaluate("document.documentElement.scrollWidth") <= 390
        dialog.get_by_role("button", name="Revoke").press("Enter")
        expect(dialog.get_by_role("status")).to_contain_text("Revoked")
        assert watcher.goto(link + "?again").status == 404  # type: ignore[union-attr]
        expect(watcher.get_by_role("heading")).to_have_text("There is no clip here")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.locator("#k-t2v").get_by_role("button", name="Share")).to_be_focused()


def test_the_tab_shows_progress_and_the_end_and_the_choices_are_remembered(visit: Visit) -> None:
    page = visit(permissions=["notifications"])
    start(page, "a bird")
    expect(page).to_have_title(re.compile(r"^\d+ % · Kinora$"))
    assert page.evaluate("document.querySelector('link[rel~=icon]').href").startswith("data:")
    press(page, "When it is done")
    sound = page.get_by_label("Play a quiet sound")
    sound.check()
    page.keyboard.press("Escape")
    page.evaluate("""() => {
      window.sounded = 0;
      const create = OscillatorNode.prototype.start;
      OscillatorNode.prototype.start = function (...more) {
        window.sounded += 1;
        return create.apply(this, more);
      };
      Object.defineProperty(document, "hasFocus", { value: () => false });
    }""")
    finish(page)
    wait_for_clip(page)
    expect(page).to_have_title("Ready · Kinora")
    page.wait_for_function("window.sounded === 2")
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(page).to_have_title("Kinora")
    assert "favicon" in page.evaluate("document.querySelector('link[rel~=icon]').href")
    page.reload()
    page.wait_for_function("window.store?.tabs.t2v.gradio")
    assert page.evaluate("localStorage.getItem('kinora-notices')") == (
        '{"notification":false,"sound":true}'
    )
