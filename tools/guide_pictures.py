"""`make pictures`: takes the pictures of docs/user-guide.md. Needs the tests' browser.

Starts its own server and does what the guide describes, through the page.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from bench.common import server
from tools.pictures import CHROMIUM, IMAGES, make_clip, press_generate

SLOW = "pocket"
"""A model of twenty steps, so that there is a preview to take a picture of."""
WIDTH = 900
MOST_BYTES = 100_000
TIMEOUT_MS = 90_000
CLIPS = (
    ("a penguin spinning in the snow", 7),
    ("a butterfly flying up in a meadow", 2),
    ("a red car driving to the right on a road", 4),
    ("a boat moving to the left on the sea", 3),
)
PROMPT, SEED = "a rocket flying up in a starry night sky", 7
STAGE = "#k-t2v .k-stage"


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder) / "data", KINORA_MAX_JOBS_PER_VISITOR="100") as (url, _),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = open_page(browser, url)
        take(page, "start")
        for prompt, seed in CLIPS:
            make_clip(page, prompt, seed)
        take_clip_in_the_making(page)
        take_finished_clip(page)
        clip = page.request.get(page.locator(f"{STAGE} .k-video.k-on").get_attribute("src") or "")
        take_share_panel(page)
        take_drafts(page)
        take_picture_tab(page)
        take_gallery(page, url)
        take_verification(page, url, clip.body())
        take_arabic_phone(browser, url)
        browser.close()


def open_page(browser: Browser, url: str, *, phone: bool = False, **options: str) -> Page:
    context = browser.new_context(
        viewport={"width": 390, "height": 780} if phone else {"width": 1180, "height": 820},
        device_scale_factor=2 if phone else 1,
        is_mobile=phone,
        has_touch=phone,
        color_scheme="dark" if phone else "light",
        locale=options.get("locale", "en-US"),
    )
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(f"{STAGE} .k-line")
    page.wait_for_function("document.querySelector('#k-t2v .k-outlook-line')?.textContent")
    page.wait_for_function("document.fonts.status === 'loaded'")
    return page


def take_clip_in_the_making(page: Page) -> None:
    press_generate(page, PROMPT, SEED)
    page.wait_for_selector("#k-t2v.k-started .k-finish")
    page.wait_for_timeout(500)
    take(page, "running")
    page.wait_for_selector(f"{STAGE}[data-state=succeeded]")
    page.wait_for_selector("#k-t2v .k-video.k-on")


def take_finished_clip(page: Page) -> None:
    here = page.locator("#k-t2v")
    here.get_by_role("button", name="Settings").first.click()
    page.wait_for_timeout(400)
    take(page, "clip")
    here.get_by_role("button", name="Settings").first.click()


def take_share_panel(page: Page) -> None:
    page.locator("#k-t2v").get_by_role("button", name="Share", exact=True).click()
    dialog = page.locator("dialog.k-panel[open]")
    dialog.get_by_label("Title").fill("A rocket at night")
    dialog.get_by_role("button", name="Make a link").click()
    dialog.get_by_alt_text("QR code of the link").wait_for()
    take(page, "share", dialog)
    page.keyboard.press("Escape")


def take_drafts(page: Page) -> None:
    here = page.locator("#k-t2v")
    here.locator(".k-times").click()
    page.get_by_role("menuitemradio", name="×4").click()
    here.locator(".k-prompt textarea").fill("a dog running to the right in the snow")
    here.get_by_role("button", name="Generate", exact=True).click()
    page.wait_for_function("document.querySelectorAll('#k-t2v .k-cell video').length === 4")
    page.wait_for_timeout(1000)
    take(page, "drafts")
    here.locator(".k-times").click()
    page.get_by_role("menuitemradio", name="One clip").click()


def take_picture_tab(page: Page) -> None:
    page.get_by_role("tab", name="Image to video").click()
    page.locator("#k-i2v").get_by_role("button", name="Start from a picture").first.click()
    page.locator("#k-i2v").get_by_role("button", name="Remove the picture").wait_for()
    page.wait_for_timeout(1000)
    take(page, "picture")
    page.get_by_role("tab", name="Text to video").click()


def take_gallery(page: Page, url: str) -> None:
    page.goto(f"{url}/#clips")
    items = page.locator(".k-gallery .k-item")
    items.first.wait_for()
    page.wait_for_timeout(1500)
    take(page, "gallery")
    items.nth(1).click()
    page.locator(".k-clip-view h2:visible").first.wait_for()
    page.wait_for_timeout(1000)
    take(page, "one-clip")


def take_verification(page: Page, url: str, clip: bytes) -> None:
    page.goto(f"{url}/verify")
    page.get_by_role("button", name="Choose a clip or a picture").wait_for()
    file = {"name": "rocket.mp4", "mimeType": "video/mp4", "buffer": clip}
    page.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    page.locator(".k-report").wait_for()
    take(page, "verify", page.locator("main"))


def take_arabic_phone(browser: Browser, url: str) -> None:
    page = open_page(browser, url, phone=True, locale="ar")
    page.locator("#k-t2v .k-prompt textarea").fill(CLIPS[0][0])
    page.locator("#k-t2v").get_by_role("button", name="إنشاء", exact=True).click()
    page.wait_for_selector("#k-t2v .k-video.k-on")
    page.wait_for_timeout(1000)
    take(page, "arabic", width=390)


def take(page: Page, name: str, part: Locator | None = None, width: int = WIDTH) -> None:
    """Writes guide-NAME.webp, as good as fits into `MOST_BYTES`."""
    page.mouse.move(1, 1)
    image = Image.open(io.BytesIO((part or page).screenshot())).convert("RGB")
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)))
    for quality in range(85, 30, -10):
        file = io.BytesIO()
        image.save(file, "WEBP", quality=quality, method=6)
        if file.tell() <= MOST_BYTES:
            break
    path = IMAGES / f"guide-{name}.webp"
    path.write_bytes(file.getvalue())
    print(f"{path.name}  {len(file.getvalue()) // 1000} kB")


if __name__ == "__main__":
    main()
