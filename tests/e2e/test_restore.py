"""Settings that come back: a clip dropped or pasted on the page, and a link to one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from media.encode import encode
from tests import tiny
from tests.e2e.conftest import visits
from tests.e2e.person import MANY_STEPS, Visit, make_quickly, press, wait_for_clip, write
from tests.e2e.server import Server
from tests.e2e.test_accessibility import violations
from tests.finished import frames_of

DROP = """([place, name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const target = document.querySelector(place);
  for (const kind of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(
      new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }),
    );
  }
}"""
PASTE = """([text]) => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", text);
  const target = document.activeElement ?? document.body;
  target.dispatchEvent(
    new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }),
  );
}"""
NOTE = "#k-t2v .k-restored"
PROMPT = "#k-t2v .k-prompt textarea"


@pytest.fixture(scope="module")
def able_server(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Iterator[Server]:
    """Its model works over clips, too."""
    models = tmp_path_factory.mktemp("restore-models")
    card: Any = tiny.CARD
    tiny.write_card(
        models,
        tiny_repo,
        defaults=card["defaults"]
        | {"width": 128, "height": 128, "num_frames": 17, "num_inference_steps": 30},
        limits=card["limits"] | {"max_steps": MANY_STEPS},
        tasks=["t2v", "i2v", "v2v"],
        classes={"v2v": "LTXConditionPipeline"},
    )
    running = Server(tmp_path_factory.mktemp("restore") / "data", models)
    yield running
    running.stop()


@pytest.fixture
def visit(browser: Browser, able_server: Server) -> Iterator[Visit]:
    yield from visits(browser, able_server)


def drop(page: Page, clip: bytes, name: str = "a clip.mp4", place: str = "#k-wordmark") -> None:
    kind = "video/webm" if name.endswith(".webm") else "video/mp4"
    page.evaluate(DROP, [place, name, kind, base64.b64encode(clip).decode()])


def seed_of(page: Page) -> str:
    return page.locator("#k-t2v .k-chip-seed input").input_value()


def test_a_clip_that_is_dropped_brings_its_settings_back(visit: Visit, axe: str) -> None:
    page = visit()
    job = make_quickly(page, "a butterfly in the rain")
    answer = page.request.get(f"{page.url}kinora/jobs/{job['id']}/clip")
    page.reload()
    page.wait_for_function("window.store?.tabs.t2v.gradio")
    write(page, "something else")
    drop(page, answer.body(), place="#k-t2v .k-box")
    note = page.locator(NOTE)
    expect(note).to_contain_text("ettings of a clip.mp4 are back")
    expect(note.get_by_role("listitem")).to_contain_text("It was finished early")
    expect(page.locator(PROMPT)).to_have_value("a butterfly in the rain")
    assert seed_of(page) == str(job["used"]["seed"])
    assert not violations(page, axe)
    page.get_by_role("button", name="Close this note").press("Enter")
    expect(note).to_have_count(0)


def test_differences_and_other_programs_are_said(visit: Visit, tmp_path: Path) -> None:
    page = visit(phone=True, dark=True)
    parameters = (
        "a fox <b>in</b> snow\nNegative prompt: blurry\n"
        "Steps: 9, Sampler: UniPC, CFG scale: 5.5, Seed: 99, Size: 96x64"
    )
    foreign = encode(frames_of(64, 64), tmp_path / "fox.webm", fps=8, format="webm",
                     comment=parameters).path  # fmt: skip
    drop(page, foreign.read_bytes(), "fox.webm")
    note = page.locator(NOTE)
    expect(note).to_contain_text("Made with SD.Next")
    expect(page.locator(PROMPT)).to_have_value("a fox <b>in</b> snow")
    assert seed_of(page) == "99"
    missing = {"made_by": "Kinora", "schema": 1, "settings": {
        "task": "t2v", "prompt": "a cat", "model": "some/where-else", "seed": 3}}  # fmt: skip
    other = encode(frames_of(64, 64), tmp_path / "cat.mp4", fps=8, comment=json.dumps(missing)).path
    drop(page, other.read_bytes(), "cat.mp4")
    expect(note.get_by_role("listitem")).to_contain_text("not installed here")
    expect(page.locator(PROMPT)).to_have_value("a cat")
    silent = encode(frames_of(64, 64), tmp_path / "holiday.mp4", fps=8).path
    drop(page, silent.read_bytes(), "holiday.mp4")
    expect(note).to_contain_text("holiday.mp4 has no settings that can be read.")
    note.get_by_role("button", name="Use it as input").press("Enter")
    expect(page.get_by_role("tab", name="Video to video")).to_have_attribute(
        "aria-selected", "true"
    )
    page.wait_for_function("store.tabs.v2v.picture.value?.width === 64")


def test_a_clip_from_a_picture_brings_the_picture_back(
    visit: Visit, picture: Path, tmp_path: Path
) -> None:
    page = visit()
    answer = page.request.post(
        f"{page.url}kinora/pictures", headers={"X-Kinora": "1"}, data=picture.read_bytes()
    )
    written = {"made_by": "Kinora", "schema": 1, "settings": {
        "task": "i2v", "prompt": "it rolls", "image": answer.json()["id"], "seed": 4,
        "focus": {"x": 0, "y": 0.5}}}  # fmt: skip
    clip = encode(frames_of(64, 64), tmp_path / "roll.mp4", fps=8, comment=json.dumps(written)).path
    drop(page, clip.read_bytes(), "roll.mp4")
    expect(page.locator("#k-i2v .k-restored")).to_contain_text("The settings of roll.mp4 are back.")
    expect(page.locator("#k-i2v .k-prompt textarea")).to_have_value("it rolls")
    assert page.evaluate("store.tabs.i2v.picture.value.focus.x") == 0
    page.wait_for_function("document.querySelector('#k-i2v .k-has-picture img')?.naturalWidth > 0")


def test_a_link_to_a_shared_clip_fills_the_form(visit: Visit) -> None:
    maker = visit()
    write(maker, "a dog in the sea")  # with the usual steps: it is made twice
    press(maker, "Generate")
    job = wait_for_clip(maker)
    shared = maker.request.put(
        f"{maker.url}kinora/jobs/{job['id']}/share",
        headers={"X-Kinora": "1", "Content-Type": "application/json"},
        data="{}",
    ).json()["share"]
    page = visit()
    page.locator(PROMPT).focus()
    page.evaluate(PASTE, [shared["url"]])
    is_filled_in(page, job)
    page.locator("#k-t2v .k-generate").click()
    again = wait_for_clip(page)
    assert again["used"]["seed"] == job["used"]["seed"]

    page.goto(shared["url"])
    expect(page).to_have_title("a dog in the sea")
    page.get_by_role("link", name="Make one like it").click()
    page.wait_for_function("window.store?.tabs.t2v.gradio")
    is_filled_in(page, job)


def is_filled_in(page: Page, job: dict[str, Any]) -> None:
    expect(page.locator(NOTE)).to_contain_text("The settings of the shared clip are back.")
    expect(page.locator(PROMPT)).to_have_value("a dog in the sea")
    assert "like=" not in page.url
    assert seed_of(page) == str(job["used"]["seed"])
