"""`make pictures`: takes the README's pictures of the app. Needs the tests' browser.

Starts its own server, makes a clip through the page and records the page meanwhile.
"""

from __future__ import annotations

import io
import itertools
import os
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from bench.common import server
from settings import ROOT

IMAGES = ROOT / "docs" / "images"
CHROMIUM = os.environ.get("KINORA_CHROMIUM", "/usr/bin/chromium")
WARM_UP = ("a penguin spinning in the snow", 7), ("a butterfly flying up in a meadow", 2)
PROMPT, SEED = "a rocket flying up in a starry night sky", 7
SLOW = "pocket"
"""A model of twenty steps, so that the preview has time to change."""
INTERVAL_MS = 120
HOLD_MS = 4000
"""How long the finished clip is recorded."""
GIF_WIDTH = 480
DONE = "#k-t2v .k-stage[data-state=succeeded]"


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder) / "data", DEFAULT_TEXT_TO_VIDEO_MODEL=SLOW) as (url, _),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(
            viewport={"width": 1280, "height": 960}, color_scheme="dark", device_scale_factor=1.5
        )
        context.set_default_timeout(180_000)
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("#k-t2v .k-stage .k-line")
        page.wait_for_function("document.fonts.ready")
        for prompt, seed in WARM_UP:  # so that the reel is not empty
            make_clip(page, prompt, seed)
        press_generate(page, PROMPT, SEED)
        record(page, IMAGES / "preview.gif")
        page.screenshot(path=IMAGES / "screenshot.png")
        browser.close()
    for picture in IMAGES.iterdir():
        print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size // 1000} kB")


def press_generate(page: Page, prompt: str, seed: int) -> None:
    page.locator("#k-t2v .k-prompt textarea").fill(prompt)
    page.locator("#k-t2v .k-chip-seed").locator("input, textarea").first.fill(str(seed))
    page.locator("#k-t2v").get_by_role("button", name="Generate", exact=True).click()
    page.wait_for_selector("#k-t2v .k-stage:is([data-state=queued], [data-state=running])")


def make_clip(page: Page, prompt: str, seed: int) -> None:
    press_generate(page, prompt, seed)
    page.wait_for_selector(DONE)
    page.wait_for_selector("#k-t2v .k-video.k-on")


def record(page: Page, path: Path) -> None:
    """Writes a GIF of the stage, from the press of the button to some seconds of the clip."""
    stage = page.locator("#k-t2v .k-box")
    frames: list[Image.Image] = []
    moments: list[float] = []
    done_at: float | None = None
    while done_at is None or time.monotonic() < done_at + HOLD_MS / 1000:
        moments.append(time.monotonic())
        frames.append(to_gif_frame(stage.screenshot()))
        if done_at is None and page.locator(DONE).count():
            done_at = time.monotonic()
        page.wait_for_timeout(INTERVAL_MS)
    moments.append(time.monotonic())
    first, *others = frames
    first.save(
        path,
        save_all=True,
        append_images=others,
        duration=[round((b - a) * 1000) for a, b in itertools.pairwise(moments)],
        loop=0,
        optimize=True,
    )


def to_gif_frame(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return image.resize((GIF_WIDTH, round(image.height * GIF_WIDTH / image.width))).quantize(128)


if __name__ == "__main__":
    main()
