"""The page in another language: chosen by the browser, changed in place, remembered."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.person import Visit, press, wait_for_clip, write
from tests.e2e.test_accessibility import violations
from web.languages import languages

ARABIC = languages()["ar"]
SEEN_TEXTS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const isSeen = element.checkVisibility() && !element.closest("[translate=no], script, style");
    if (isSeen && node.data.trim()) found.push(node.data.trim());
  }
  return found;
}"""


def still_english(page: Page) -> list[str]:
    """Texts that are seen and have another translation."""
    seen: list[str] = page.evaluate(SEEN_TEXTS)
    return [text for text in seen if ARABIC.translate(text) != text]


def direction(page: Page) -> str:
    return page.evaluate("document.documentElement.dir + ' ' + document.documentElement.lang")


def test_the_page_follows_the_browser_and_changes_in_place_and_remembers(
    visit: Visit, axe: str
) -> None:
    page = visit(locale="de-DE")
    expect(page.get_by_role("button", name="Erzeugen", exact=True)).to_be_visible()
    expect(page.get_by_role("tab", name="Bild zu Video")).to_be_visible()
    prompt = page.locator("#k-t2v .k-prompt textarea")
    prompt.fill("ein Hund im Schnee")

    page.get_by_label("Sprache").select_option("ar")
    expect(page.get_by_role("button", name="إنشاء", exact=True)).to_be_visible()
    assert direction(page) == "rtl ar"
    expect(prompt).to_have_value("ein Hund im Schnee")
    page.get_by_role("button", name="متقدم").click()
    assert still_english(page) == []
    assert violations(page, axe) == []

    page.reload()
    expect(page.get_by_role("tab", name="صورة إلى فيديو")).to_be_visible()
    assert direction(page) == "rtl ar"
    page.get_by_label("اللغة").select_option("en")
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()
    assert direction(page) == "ltr en"


def test_a_clip_is_made_in_arabic_on_a_phone(visit: Visit) -> None:
    page = visit(locale="ar", phone=True, dark=True)
    write(page, "a dog in the snow")
    press(page, "إنشاء")
    wait_for_clip(page)
    expect(page.get_by_role("button", name="بذرة أخرى")).to_be_visible()
    expect(page.locator(".k-tile-caption").first).to_have_text("a dog in the snow")
    assert still_english(page) == []
    width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0, "nothing hangs over the edge"
