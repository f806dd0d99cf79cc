"""Settings that come back: a clip dropped or pasted on the page, and a link to one."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from media.encode import encode
from tests.e2e.person import Visit, make_quickly, wait_for_clip, write
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


@pytest.mark.parametrize("way", ["paste", "address"])
def test_a_link_to_a_shared_clip_fills_the_form(visit: Visit, way: str) -> None:
    maker = visit()
    job = make_quickly(maker, "a dog in the sea")
    shared = maker.request.put(
        f"{maker.url}kinora/jobs/{job['id']}/share",
        headers={"X-Kinora": "1", "Content-Type": "application/json"},
        data="{}",
    ).json()["share"]
    page = visit()
    if way == "paste":
        page.locator(PROMPT).focus()
        page.evaluate(PASTE, [shared["url"]])
    else:
        page.goto(shared["url"])
        expect(page).to_have_title("a dog in the sea")
        page.get_by_role("link", name="Make one like it").click()
        page.wait_for_function("window.store?.tabs.t2v.gradio")
    expect(page.locator(NOTE)).to_contain_text("The settings of the shared clip are back.")
    expect(page.locator(PROMPT)).to_have_value("a dog in the sea")
    assert "like=" not in page.url
    assert seed_of(page) == str(job["used"]["seed"])
    if way == "paste":
        page.locator("#k-t2v .k-generate").click()
        again = wait_for_clip(page)
        assert again["used"]["seed"] == job["used"]["seed"]
