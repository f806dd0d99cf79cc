"""Text to video in a real browser, from the first word to the clip."""

from __future__ import annotations

import io
import re

import httpx
from PIL import Image
from playwright.sync_api import expect

from tests.e2e.person import (
    Visit,
    finish,
    go,
    make_quickly,
    press,
    same_box,
    start,
    wait_for_clip,
    wait_for_preview,
    write,
)
from tests.e2e.server import Server

NASTY = '<img src=x onerror="window.pwned=1"> ${window.pwned=2} {{window.pwned=3}} </script>'
LISTEN = """() => {
  const stage = document.querySelector('#k-t2v');
  window.said = [];
  window.frames = [0];
  new MutationObserver(() => {
    window.said.push(stage.querySelector('.k-line')?.textContent ?? '');
    window.frames.push(store.tabs.t2v.preview.value.frames);
  }).observe(stage, {childList: true, characterData: true, subtree: true, attributes: true});
}"""


def test_a_prompt_becomes_a_clip_on_the_stage(visit: Visit) -> None:
    page = visit()
    expect(page.locator("#k-t2v .k-outlook-line")).to_have_text(
        re.compile(r"^About \d+.* here · 128×128, 2\.1 s$")
    )
    write(page, "a rocket flying up in a starry night sky")
    with same_box(page):
        page.evaluate(LISTEN)  # a clip may be done before anybody has read a line
        press(page, "Generate")
        wait_for_preview(page)
        job = wait_for_clip(page)
    assert any(re.match(r"Step \d+ of 30", line) for line in page.evaluate("window.said"))
    assert max(page.evaluate("window.frames")) > 1, "the preview moves"
    video = page.locator("#k-t2v video")
    assert video.evaluate("v => [v.muted, v.loop, v.paused, v.videoWidth]") == [
        True,
        True,
        False,
        128,
    ]
    assert job["state"] == "succeeded"
    said = page.locator("#k-t2v .k-part-stage [role=status]")
    expect(said).to_have_text("Your clip is ready and playing.")
    expect(page.locator(".k-tile")).to_have_count(1)

    page.get_by_role("button", name="Settings").first.click()
    settings = page.locator("#k-t2v .k-used")
    expect(settings).to_contain_text("a rocket flying up in a starry night sky")
    expect(settings).to_contain_text(str(job["used"]["seed"]))

    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert re.fullmatch(r"kinora-[0-9a-f]{8}\.mp4", download.value.suggested_filename)


def pixels(picture: bytes) -> bytes:
    """Without its signature, which is new each time."""
    with Image.open(io.BytesIO(picture)) as image:
        return image.tobytes()


def test_again_is_the_same_clip_and_another_seed_is_not(visit: Visit, server: Server) -> None:
    page = visit()
    write(page, "a dog running to the right in the snow")
    page.keyboard.press("Control+Enter")
    first = wait_for_clip(page)
    press(page, "Again")
    page.wait_for_function(
        f"store.tabs.t2v.job.value?.id && store.tabs.t2v.job.value.id !== '{first['id']}'"
    )
    second = wait_for_clip(page)
    press(page, "Another seed")
    page.wait_for_function(
        f"store.tabs.t2v.job.value?.id && store.tabs.t2v.job.value.id !== '{second['id']}'"
    )
    third = wait_for_clip(page)

    assert second["used"] == first["used"]
    assert third["used"]["seed"] != first["used"]["seed"]
    assert {**third["used"], "seed": 0} == {**first["used"], "seed": 0}
    posters = [
        pixels(page.request.get(f"{server.url}/kinora/jobs/{j['id']}/poster").body())
        for j in (first, second, third)
    ]
    assert posters[0] == posters[1] != posters[2]


def test_finish_now_keeps_a_clip_with_its_words_quality_and_file(
    visit: Visit, server: Server
) -> None:
    page = visit()
    job = make_quickly(page, NASTY)
    assert job["finished_early"] is True
    expect(page.locator("#k-t2v .k-line")).to_contain_text("Finished early")
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()

    # whatever the prompt says, it is never HTML; the quality of the clip is behind a fold
    page.locator("#k-t2v").get_by_role("button", name="Settings").first.click()
    expect(page.locator("#k-t2v .k-used")).to_contain_text(NASTY)
    expect(page.locator(".k-tile-caption")).to_have_text(NASTY)
    assert page.evaluate("window.pwned") is None
    page.locator("#k-t2v .k-quality summary").click()
    fold = page.locator("#k-t2v .k-quality")
    expect(fold).to_contain_text("Motion smoothness", timeout=60_000)
    expect(fold).to_contain_text("Flicker")
    expect(fold).not_to_contain_text("CLIP score")  # no model is set

    # the file is served in ranges, and kept by the browser
    clip = f"{server.url}/kinora/jobs/{job['id']}/clip"
    whole = page.request.get(clip)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = page.request.get(clip, headers={"Range": "bytes=4-7"})
    assert (part.status, part.body()) == (206, b"ftyp")
    same = page.request.get(clip, headers={"If-None-Match": whole.headers["etag"]})
    assert same.status == 304
    last = Image.open(io.BytesIO(page.request.get(clip.replace("/clip", "/last")).body()))
    assert (last.format, last.size) == ("PNG", (128, 128))


def test_a_reload_finds_the_running_clip_again(visit: Visit, server: Server) -> None:
    page = visit()
    start(page, "a balloon going up at sunset")
    before = page.evaluate("store.tabs.t2v.job.value.id")
    go(page, server.url)
    wait_for_preview(page)
    expect(page.locator("#k-t2v .k-line")).to_have_text(re.compile("^Step"))
    expect(page.locator("#k-t2v .k-prompt textarea")).to_have_value("a balloon going up at sunset")
    press(page, "Finish now")
    assert wait_for_clip(page)["id"] == before
    go(page, server.url)
    page.get_by_role("button", name=re.compile("^a balloon going up at sunset, ready")).click()
    assert wait_for_clip(page)["id"] == before


def test_trouble_is_told_where_the_eye_is_with_a_button_that_mends_it(visit: Visit) -> None:
    page = visit()
    press(page, "Generate")
    trouble = page.locator("#k-t2v .k-trouble")
    expect(trouble).to_contain_text("the prompt is empty")
    expect(page.locator(".k-stage").first).to_have_attribute("data-state", "rest")

    write(page, "a dog")
    expect(trouble).to_be_empty()  # it was about what was there then
    seed = page.locator("#k-t2v").get_by_label("Seed", exact=True)
    seed.fill("twelve")
    press(page, "Generate")
    expect(trouble).to_contain_text("The seed is a whole number")
    press(page, "Use a random seed")
    expect(seed).to_have_value("")
    expect(trouble).to_be_empty()


def test_another_visitor_cannot_reach_my_clip(visit: Visit, server: Server) -> None:
    page = visit()
    start(page, "a secret")
    running = page.evaluate("store.tabs.t2v.job.value.id")
    stranger = visit()
    expect(stranger.locator(".k-tile")).to_have_count(0)
    base = f"{server.url}/kinora/jobs"
    for what in ("", "/live", "/preview", "/clip", "/poster", "/last"):
        assert stranger.request.get(f"{base}/{running}{what}").status == 404
    for how in ("finish", "discard"):
        refused = stranger.request.post(f"{base}/{running}/{how}", headers={"X-Kinora": "1"})
        assert refused.status == 404
    assert stranger.request.delete(f"{base}/{running}", headers={"X-Kinora": "1"}).status == 404
    finish(page)
    job = wait_for_clip(page)
    assert stranger.request.get(f"{base}/{job['id']}/clip").status == 404
    assert httpx.get(f"{base}/{job['id']}/clip", trust_env=False, timeout=60).status_code == 404


def test_on_a_phone_the_slate_stays_within_reach_and_a_clip_is_discarded(visit: Visit) -> None:
    page = visit(phone=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = page.locator("#k-t2v .k-box").bounding_box()
    assert box and box["y"] < 140
    assert box["width"] > 340
    page.get_by_role("button", name="Advanced").click()
    page.evaluate("scrollTo(0, 0)")
    button = page.locator("#k-t2v .k-generate").bounding_box()
    assert button and button["y"] + button["height"] <= 844
    start(page, "a car")
    for name in ("Finish now", "Discard"):
        stop = page.locator("#k-t2v").get_by_role("button", name=name).bounding_box()
        assert stop and stop["height"] >= 44
        assert stop["y"] + stop["height"] <= 844
    press(page, "Discard")  # leaves nothing behind
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()
    expect(page.locator(".k-stage").first).to_have_attribute("data-state", "rest")
    expect(page.locator(".k-tile")).to_have_count(0)


def test_an_example_and_the_chips_say_what_will_be_made_in_which_shape(visit: Visit) -> None:
    page = visit()
    page.locator("#k-t2v .k-example").first.click()  # fills the slate with one click
    expect(page.locator("#k-t2v .k-prompt textarea")).to_have_value(
        "a dog running to the right in the snow"
    )
    expect(page.locator("#k-t2v").get_by_label("Seed", exact=True)).to_have_value("3")
    page.locator("#k-t2v").get_by_label("Shape").click()
    page.get_by_role("option", name="3:2 · 96×64").click()
    expect(page.locator("#k-t2v .k-outlook-line")).to_contain_text("96×64")
    page.wait_for_function(
        "(box => Math.abs(box.width / box.height - 1.5) < 0.01)"
        "(document.querySelector('#k-t2v .k-box').getBoundingClientRect())"
    )
    page.get_by_role("button", name="Advanced").click()
    press(page, "Reset all")
    expect(page.locator("#k-t2v .k-outlook-line")).to_contain_text("128×128")
