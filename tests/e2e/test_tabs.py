"""Goal G8: a clip does not need the tab it was asked for in, and the tab that returns finds it.

Real tabs of a real browser: closed, reloaded, or put to sleep as a phone does it, with the network
gone and the page's scripts stopped.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, Route, expect

from tests import tiny
from tests.api.conftest import ApiServer
from tests.e2e.person import SLOW_MS, Visit, go, press, start, write
from tests.e2e.server import Server
from tests.goals import Goal, rounds

pytestmark = pytest.mark.slow

WAYS = ("closed", "reloaded", "put to sleep")
ASLEEP = 1
"""So many tabs of a visitor sleep beside the one that is looked at: over HTTP/1.1 a browser has six
lines to a host, and a tab holds two of them while a clip is made (the page's own, and Gradio's)."""
TABS_EACH = 10
NETWORK = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
LIVE = re.compile("^(Step|Decoding|Writing|Finished|[0-9.]+ s)")


@pytest.fixture(scope="module")
def quick_server(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Iterator[Server]:
    """Whose clips take longer than a tab takes to go: a few seconds, half a one where a hundred are
    made."""
    models = tmp_path_factory.mktemp("tabs-models")
    side, steps = rounds(128, 64), rounds(80, 50)
    defaults = tiny.CARD["defaults"] | {  # type: ignore[operator]
        "num_inference_steps": steps, "num_frames": 17, "width": side, "height": side,
    }  # fmt: skip
    limits = tiny.CARD["limits"] | {"max_steps": steps}  # type: ignore[operator]
    tiny.write_card(models, tiny_repo, defaults=defaults, limits=limits)
    running = ApiServer(tmp_path_factory.mktemp("tabs") / "data", models)
    yield running
    running.stop()


@pytest.fixture
def open_tab(browser: Browser, quick_server: Server) -> Iterator[Callable[[], Page]]:
    """Tabs of visitors who open ten each: a browser keeps the page's files for the next one."""
    opened: list[Page] = []
    contexts: list[BrowserContext] = []

    def open_tab() -> Page:
        if len(opened) % TABS_EACH == 0:
            contexts.append(browser.new_context())
            contexts[-1].set_default_timeout(SLOW_MS)
        opened.append(go(contexts[-1].new_page(), quick_server.url))
        return opened[-1]

    yield open_tab
    for context in contexts:
        context.close()


def ask(page: Page, words: str) -> str:
    """The clip's id, as soon as the page knows it."""
    write(page, words)
    press(page, "Generate")
    page.wait_for_function("store.tabs.t2v.job.value?.id")
    return page.evaluate("store.tabs.t2v.job.value.id")


def sleep(page: Page) -> CDPSession:
    """This tab alone. It sleeps until the session it is put to sleep with wakes it."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", NETWORK | {"offline": True})
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    return session


def wake(session: CDPSession) -> None:
    session.send("Page.setWebLifecycleState", {"state": "active"})
    session.send("Network.emulateNetworkConditions", NETWORK | {"offline": False})
    session.detach()


def is_back(page: Page, job_id: str) -> None:
    """The stage shows that clip: waiting, in the making, or playing."""
    page.wait_for_function(
        "id => window.store?.tabs.t2v.job.value?.id === id", arg=job_id, polling=50
    )


def jobs(server: Server) -> dict[str, tuple[str, float]]:
    """The state of each, and when it ended."""
    path = Path(server.environment["KINORA_DATA_DIR"]) / "kinora.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as kept:
        rows = kept.execute("SELECT id, state, ended_at FROM jobs").fetchall()
    return {job_id: (state, ended_at or float("inf")) for job_id, state, ended_at in rows}


@pytest.mark.goal("G8")
def test_every_clip_is_finished_whatever_becomes_of_its_tab(
    open_tab: Callable[[], Page], quick_server: Server, goal: Goal
) -> None:
    left_at: dict[str, float] = {}
    asleep: list[tuple[Page, CDPSession, str]] = []
    found_again = 0

    def wake_the_first() -> int:
        page, session, job_id = asleep.pop(0)
        wake(session)
        is_back(page, job_id)
        page.wait_for_selector("#k-t2v .k-video.k-on")
        page.close()
        return 1

    for number in range(rounds(3, 100)):
        page = open_tab()
        job_id = ask(page, f"a dog, number {number}")
        match WAYS[number % 3]:
            case "closed":
                page.close()
            case "reloaded":
                page.goto(quick_server.url, wait_until="commit")
                left_at[job_id] = time.time()
                page.get_by_role("button", name=re.compile(f"number {number}")).first.wait_for()
                found_again += 1
                page.close()
            case "put to sleep":
                asleep.append((page, sleep(page), job_id))
        left_at.setdefault(job_id, time.time())
        found_again += wake_the_first() if len(asleep) > ASLEEP else 0
    while asleep:
        found_again += wake_the_first()
    ends = time.monotonic() + SLOW_MS / 1000
    while any(end == float("inf") for _, end in jobs(quick_server).values()):
        assert time.monotonic() < ends
        time.sleep(0.1)
    made = jobs(quick_server)
    finished = sum(made[job_id][0] == "succeeded" for job_id in left_at)
    without = sum(made[job_id][1] > at for job_id, at in left_at.items())
    goal.count("clips finished whose tab went away", finished, at_least=len(left_at))
    goal.count("of these unfinished when it went", without, at_least=0.5 * len(left_at))
    goal.count("clips asked for in those tabs", len(made), at_most=len(left_at))
    returned = sum(number % 3 > 0 for number in range(len(left_at)))
    goal.count("tabs that came back and found their clip", found_again, at_least=returned)


@pytest.mark.goal("G8")
@pytest.mark.parametrize("way", ["reloaded", "put to sleep"])
def test_a_tab_that_comes_back_shows_live_progress(visit: Visit, goal: Goal, way: str) -> None:
    """Reloaded: from the moment the page is there. Asleep: from the moment it wakes."""
    took: list[float] = []
    for _ in range(rounds(1, 5)):
        page = visit()
        start(page, "a balloon going up at sunset")
        job_id = page.evaluate("store.tabs.t2v.job.value.id")
        if way == "reloaded":
            page.reload(wait_until="load")
        else:
            session = sleep(page)
            time.sleep(2.0)
            wake(session)
        began = time.perf_counter()
        is_back(page, job_id)
        page.wait_for_function(FRESH, polling=50)  # a tab that slept may draw no frame for a while
        took.append(time.perf_counter() - began)
        expect(page.locator("#k-t2v .k-line")).to_have_text(LIVE)
        press(page, "Discard")
        page.context.close()
    goal.time(f"a tab that was {way} shows live progress", max(took), at_most=2.0)


def test_a_list_that_is_never_answered_is_asked_for_again(
    browser: Browser, quick_server: Server
) -> None:
    """A line that died while the phone slept tells nobody."""
    context = browser.new_context()
    context.set_default_timeout(SLOW_MS)
    page = go(context.new_page(), quick_server.url)
    ask(page, "a boat that comes back")
    page.clock.install()
    unanswered: list[Route] = []
    page.route("**/kinora/jobs", lambda route: unanswered.append(route), times=1)
    page.goto(quick_server.url)
    mine = page.get_by_role("button", name=re.compile("a boat that comes back")).first
    while not unanswered:
        page.wait_for_timeout(50)
    expect(mine).to_be_hidden()
    page.clock.fast_forward("00:25")
    page.clock.fast_forward("00:05")
    expect(mine).to_be_visible()
    context.close()


FRESH = """() => {
  const line = document.querySelector("#k-t2v .k-line")?.textContent ?? "";
  const before = window.lineBefore;
  window.lineBefore = line;
  return /^Step/.test(line) && before !== undefined && before !== line;
}"""
"""The line has moved since it was looked at first: what it shows is not from before."""
