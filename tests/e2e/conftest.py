"""A real server with the tiny pipeline, and a real browser to look at it."""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserContext, BrowserType, Error, Page, sync_playwright

from tests import tiny
from tests.e2e.chromium import CHROMIUM, CHROMIUM_ARGS
from tests.e2e.person import MANY_STEPS, SLOW_MS, Visit, go
from tests.e2e.server import Server
from tests.programs import program
from web.identity import COOKIE

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("e2e")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a test failed, its report says what stood on each page that was open then."""
    report = yield
    browser = getattr(item, "funcargs", {}).get("browser")
    if report.when == "call" and report.failed and browser is not None:
        for page in [page for context in browser.contexts for page in context.pages]:
            report.sections.append((f"what stood on {page.url}", what_stands(page)))
    return report


def what_stands(page: Page) -> str:
    page.set_default_timeout(5_000)
    try:
        return page.evaluate(STANDS)
    except Error as error:
        return f"it does not answer: {error}"


STANDS = r"""async () => {
  const slow = (ms) => new Promise((done) => setTimeout(() => done("no answer"), ms));
  const list = fetch(location.origin + "/kinora/jobs").then((r) => r.text());
  return [
    `document ${document.readyState}, script ${typeof window.store}`,
    `on the stage: ${JSON.stringify(window.store?.tabs.t2v.job.value ?? null)}`,
    `the list: ${(await Promise.race([list, slow(3000)])).slice(0, 2000)}`,
    document.body.innerText.slice(0, 2000),
  ].join("\n");
}"""


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Path:
    """The tiny pipeline, which can be asked for so many steps that there is time to stop it."""
    folder = tmp_path_factory.mktemp("e2e-models")
    defaults = tiny.CARD["defaults"] | {  # type: ignore[operator]
        "width": 128, "height": 128, "num_frames": 17, "num_inference_steps": 30,
    }  # fmt: skip
    limits = tiny.CARD["limits"] | {"max_steps": MANY_STEPS}  # type: ignore[operator]
    # a draft takes longer than the pause between two states of a grid, so its preview is seen
    drafts = {"steps": 60}
    tiny.write_card(folder, tiny_repo, defaults=defaults, limits=limits, drafts=drafts)
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("e2e") / "data", models_dir)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[BrowserType]:
    assert Path(CHROMIUM).exists(), f"no Chromium at {CHROMIUM}: `make debian`, or KINORA_CHROMIUM"
    with sync_playwright() as running:
        yield running.chromium


@pytest.fixture(scope="session")
def browser(chromium: BrowserType) -> Iterator[Browser]:
    started = chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
    yield started
    started.close()


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    """Opens the page as a new visitor."""
    yield from visits(browser, server)


def visits(browser: Browser, server: Server) -> Iterator[Visit]:
    """Opens pages at an address, as a new visitor or one that is there, with a script of the test.

    At the end: no script failed, nothing left for elsewhere.
    """
    contexts: list[BrowserContext] = []
    trouble: list[str] = []
    foreign: list[str] = []

    def open_page(
        at: str = "", *, visitor: str = "", script: str = "", phone: bool = False,
        dark: bool = False, **options: Any,
    ) -> Page:  # fmt: skip
        context = browser.new_context(
            viewport={"width": 390, "height": 844} if phone else {"width": 1280, "height": 860},
            color_scheme="dark" if dark else "light",
            has_touch=phone,
            is_mobile=phone,
            **options,
        )
        contexts.append(context)
        context.set_default_timeout(SLOW_MS)
        if visitor:
            context.add_cookies([{"name": COOKIE, "value": visitor, "url": server.url}])
        context.add_init_script(script)
        page = context.new_page()
        watch(page, server.url, trouble, foreign)
        return go(page, server.url + at)

    yield open_page
    for context in contexts:
        context.close()
    assert not foreign, f"requests left for other hosts: {foreign}"
    assert not trouble, f"the page's scripts complained: {trouble}"


def watch(page: Page, home: str, trouble: list[str], foreign: list[str]) -> None:
    page.on("pageerror", lambda error: trouble.append(str(error)))

    def hear(line: Any) -> None:
        # a refused request is the test's own business; the browser mentions it here too
        if line.type == "error" and not line.text.startswith("Failed to load resource"):
            trouble.append(line.text)

    def note(request: Any) -> None:
        if not request.url.startswith((home, "data:", "blob:")):
            foreign.append(request.url)

    page.on("console", hear)
    page.on("request", note)


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide, with a red ball left and a yellow one right."""
    path = tmp_path_factory.mktemp("pictures") / "balls.png"
    image = Image.new("RGB", (640, 320), "#7fb8ff")
    ink = ImageDraw.Draw(image)
    ink.ellipse((20, 90, 160, 230), fill="#ff2222")
    ink.ellipse((480, 90, 620, 230), fill="#ffee00")
    image.save(path)
    return path


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility checker's source, installed from npm on first use."""
    script = ROOT / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        subprocess.run(
            [program("npm"), "ci", "--ignore-scripts", "--no-audit"], cwd=ROOT, check=True
        )
    return script.read_text(encoding="utf-8")
