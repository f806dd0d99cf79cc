"""Image to video in a real browser: the picture on the stage, its crop, and onward from a clip."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from tests.e2e.person import (
    Visit,
    make_quickly,
    press,
    same_box,
    turn_to,
    wait_for_clip,
    wait_until_calm,
    write,
)
from tests.e2e.server import Server
from tests.media.formats import MODES, sample

DROP = """([name, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/png'}));
  return data;
}"""


def lay_down(page: Page, picture: Path) -> None:
    turn_to(page, "Image to video")
    page.get_by_label("Picture to animate").set_input_files(picture)
    wait_for_picture(page)


def wait_for_picture(page: Page) -> None:
    page.wait_for_function("document.querySelector('#k-i2v .k-picture')?.naturalWidth > 0")


def wait_for_ratio(page: Page, ratio: str) -> None:
    style = "document.querySelector('#k-i2v .k-stage').style"
    page.wait_for_function(f"{style}.getPropertyValue('--ratio') === '{ratio}'")


def test_a_picture_becomes_a_clip_and_the_clip_goes_on(visit: Visit, picture: Path) -> None:
    page = visit()
    turn_to(page, "Image to video")
    press(page, "Generate", "i2v")
    expect(page.locator("#k-i2v .k-trouble")).to_contain_text("Choose a picture first")

    lay_down(page, picture)
    write(page, "it rolls to the right", "i2v")
    wait_for_ratio(page, "1.5")
    wait_until_calm(page)
    with same_box(page, "i2v"):
        press(page, "Generate", "i2v")
        job = wait_for_clip(page, "i2v")
    assert job["task"] == "i2v"

    press(page, "Continue", "i2v")
    page.wait_for_function(
        "id => store.tabs.i2v.picture.value?.id !== id && !store.tabs.i2v.job.value",
        arg=job["used"]["image"],
    )
    expect(page.locator("#k-i2v .k-prompt textarea")).to_have_value("it rolls to the right")


def test_a_text_clip_continues_in_the_image_tab_from_its_exact_last_frame(
    visit: Visit, server: Server
) -> None:
    page = visit()
    job = make_quickly(page, "a boat")
    press(page, "Continue")
    wait_for_picture(page)
    expect(page.get_by_role("tab", name="Image to video")).to_have_attribute(
        "aria-selected", "true"
    )
    expect(page.locator("#k-i2v .k-prompt textarea")).to_have_value("a boat")
    kept = page.evaluate("store.tabs.i2v.picture.value?.id")
    last = page.request.get(f"{server.url}/kinora/jobs/{job['id']}/last").body()
    laid = page.request.get(f"{server.url}/kinora/pictures/{kept}").body()
    assert pixels(last) == pixels(laid)


def pixels(png: bytes) -> bytes:
    return Image.open(io.BytesIO(png)).convert("RGB").tobytes()


def test_the_crop_moves_by_hand_and_by_key(visit: Visit, picture: Path) -> None:
    page = visit()
    lay_down(page, picture)
    page.locator("#k-i2v").get_by_label("Shape").click()
    page.get_by_role("option", name="1:1 · 64×64").click()
    wait_for_ratio(page, "1")
    wait_until_calm(page)
    focus = "store.tabs.i2v.gradio.props.value.focus.x"
    assert page.evaluate(focus) == 0.5
    page.locator("#k-i2v .k-box").scroll_into_view_if_needed()
    box = page.locator("#k-i2v .k-box").bounding_box()
    assert box
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + box["width"], middle[1], steps=5)
    page.mouse.up()
    page.wait_for_function(f"{focus} === 0")
    page.locator("#k-i2v .k-crop").focus()
    page.keyboard.press("ArrowRight")
    assert 0 < page.evaluate(focus) < 0.2


def test_pictures_come_by_drop_and_by_paste_and_go_again(visit: Visit, picture: Path) -> None:
    page = visit()
    turn_to(page, "Image to video")
    data = page.evaluate_handle(DROP, ["balls.png", list(picture.read_bytes())])
    page.dispatch_event("#k-i2v .k-box", "drop", {"dataTransfer": data})
    wait_for_picture(page)
    dropped = page.evaluate("store.tabs.i2v.picture.value?.id")
    press(page, "Remove the picture", "i2v")
    expect(page.get_by_role("button", name="Choose a picture")).to_be_visible()
    page.evaluate(
        "data => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))", data
    )
    wait_for_picture(page)
    assert page.evaluate("store.tabs.i2v.picture.value?.id") == dropped


def test_a_refusal_goes_away_with_the_next_good_file(
    visit: Visit, picture: Path, tmp_path: Path
) -> None:
    page = visit()
    turn_to(page, "Image to video")
    trouble, picker = page.locator("#k-i2v .k-trouble"), page.get_by_label("Picture to animate")
    for name, content, said in (
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawing"),
        ("a.pdf", b"%PDF-1.7", "PDF"),
        ("a.mp4", bytes(40), "not a picture"),
        ("a.png", b"\x89PNG\r\n\x1a\n this is no picture", "damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        picker.set_input_files(tmp_path / name)
        expect(trouble).to_contain_text(said)
    picker.set_input_files(picture)
    wait_for_picture(page)
    expect(trouble).to_be_empty()

    # a refused press is about what was there then
    press(page, "Remove the picture", "i2v")
    press(page, "Generate", "i2v")
    expect(trouble).to_contain_text("Choose a picture first")
    picker.set_input_files(picture)
    wait_for_picture(page)
    expect(trouble).to_be_empty()


def test_what_the_picker_offers_is_taken_and_of_two_files_the_last_one_counts(
    visit: Visit, tmp_path: Path
) -> None:
    page = visit()
    turn_to(page, "Image to video")
    picker = page.get_by_label("Picture to animate")
    offered = picker.get_attribute("accept") or ""
    for format in MODES:
        assert f"image/{format.lower()}" in offered
    sideways, exif = Image.new("RGB", (400, 200), "blue"), Image.Exif()
    exif[0x0112] = 6
    sideways.save(tmp_path / "photo.jpg", exif=exif)
    picker.set_input_files(tmp_path / "photo.jpg")
    page.wait_for_function("store.tabs.i2v.picture.value?.width === 200")  # it lies upright
    (tmp_path / "IMG_1.JPG").write_bytes(sample("HEIF", "RGB", 6, (40, 64)).data)  # as phones do
    picker.set_input_files(tmp_path / "IMG_1.JPG")
    page.wait_for_function("store.tabs.i2v.picture.value?.width === 40")
    assert page.evaluate("store.tabs.i2v.picture.value.height") == 64

    # the first is decoded apart and comes later; then by drop, with no type as for .heic on Linux
    (tmp_path / "slow.avif").write_bytes(sample("AVIF", "RGB", 1, (64, 40)).data)
    (tmp_path / "quick.gif").write_bytes(sample("GIF", "P", 1, (48, 24)).data)
    picker.set_input_files(tmp_path / "slow.avif")
    picker.set_input_files(tmp_path / "quick.gif")
    page.wait_for_function("store.tabs.i2v.picture.value?.width === 48")
    expect(page.locator("#k-i2v .k-taking")).to_have_count(0)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("store.tabs.i2v.picture.value?.width") == 48
    heic = list(sample("HEIF", "RGB", 1, (80, 40)).data)
    data = page.evaluate_handle(DROP.replace("image/png", ""), ["a.heic", heic])
    page.dispatch_event("#k-i2v .k-box", "drop", {"dataTransfer": data})
    page.wait_for_function("store.tabs.i2v.picture.value?.width === 80")


def test_an_example_picture_becomes_a_clip_with_two_presses(visit: Visit) -> None:
    page = visit()
    turn_to(page, "Image to video")
    examples = page.locator("#k-i2v .k-example-picture")
    assert examples.count() >= 4
    page.wait_for_function(
        "[...document.querySelectorAll('#k-i2v .k-example img')].every((i) => i.naturalWidth > 0)"
    )
    examples.nth(1).focus()
    page.keyboard.press("Enter")
    wait_for_picture(page)
    expect(page.locator("#k-i2v .k-prompt textarea")).to_have_value(
        "a dog running to the left in the snow"
    )
    wait_until_calm(page)
    press(page, "Generate", "i2v")
    assert wait_for_clip(page, "i2v")["task"] == "i2v"
