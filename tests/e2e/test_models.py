"""The page follows the card: several (tiny) models, and what changes with each of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from playwright.sync_api import Browser, Page, expect

from tests import tiny, zoo
from tests.e2e.conftest import visits
from tests.e2e.person import Visit, press, turn_to, wait_for_clip, write
from tests.e2e.server import Server
from tests.e2e.test_accessibility import violations
from tests.zoo import animatediff, ltx, svd

ENDS = next(s for s in ltx.SPECIMENS if "v2v" in s.card["tasks"])
"""Also ends on a picture and works over a clip."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Path:
    folder = tmp_path_factory.mktemp("several")
    cards = folder / "cards"
    tiny.write_card(cards, tiny_repo)
    for specimen in (ENDS, svd.SPECIMENS[0], animatediff.SPECIMENS[0]):
        specimen.build(folder / specimen.name)
        zoo.write_card(specimen, cards, folder / specimen.name)
    far = {"vram_gb": None, "ram_gb": 1, "disk_gb": 12.4}
    tiny.write_card(cards, Path("nobody/far-away"), id="z-far", name="Far away", needs=far)
    huge = {"vram_gb": 9000, "ram_gb": 9000, "disk_gb": 500}
    tiny.write_card(cards, Path("nobody/huge"), id="z-huge", name="Enormous", needs=huge)
    # its weights are cut off: the folder is there, and cannot be loaded
    broken = folder / "broken"
    shutil.copytree(tiny_repo, broken)
    (weights,) = (broken / "transformer").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:5000])
    tiny.write_card(cards, broken, id="z-broken", name="Broken")
    return cards


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("models") / "data", models)
    yield running
    running.stop()


@pytest.fixture
def come(browser: Browser, several: Server) -> Iterator[Visit]:
    yield from visits(browser, several)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "card.mp4"
    card = "testsrc=size=128x64:rate=8:duration=2"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "lavfi", "-i"]
    subprocess.run([*command, card, "-pix_fmt", "yuv420p", path], check=True)
    return path


def choose(page: Page, name: str, tab: str = "t2v") -> None:
    page.locator(f"#k-{tab} .k-picker").click()
    exactly = page.locator(".k-picker-option-name", has_text=re.compile(f"^{name}$"))
    page.locator("[role=option]:visible", has=exactly).click()
    settled(page, name, tab)


def settled(page: Page, name: str, tab: str = "t2v") -> None:
    """The server has answered, and the estimate is the new model's."""
    page.wait_for_function(f"store.tabs.{tab}.card.value?.name === '{name}'")
    expect(page.locator(f"#k-{tab} .k-outlook-line")).to_contain_text("here")


def open_advanced(page: Page, tab: str = "t2v") -> None:
    page.locator(f"#k-{tab}").get_by_role("button", name="Advanced").click()


def test_switching_the_model_changes_the_controls_and_keeps_what_was_typed(come: Visit) -> None:
    page = come()
    here = page.locator("#k-t2v")
    open_advanced(page)
    write(page, "a dog in the snow")
    here.get_by_label("Seed", exact=True).fill("7")
    expect(here.get_by_label("Sampler")).to_have_count(0)
    expect(here.get_by_label("number input for Steps")).to_have_value("4")

    choose(page, "Tiny animatediff")
    expect(here.get_by_label("Sampler")).to_be_visible()
    expect(here.get_by_label("number input for Steps")).to_have_value("2")
    expect(here.get_by_role("button", name="Add a LoRA")).to_be_visible()
    expect(here.locator(".k-outlook-line")).to_contain_text("16×16")
    expect(here.locator(".k-prompt textarea")).to_have_value("a dog in the snow")
    expect(here.get_by_label("Seed", exact=True)).to_have_value("7")
    expect(here.locator(".k-example")).to_have_count(0)

    choose(page, "Tiny")
    expect(here.get_by_label("Sampler")).to_have_count(0)
    expect(here.locator(".k-outlook-line")).to_contain_text("64×64")


def test_a_model_without_words_asks_for_none_and_makes_its_clip(come: Visit, picture: Path) -> None:
    page = come()
    turn_to(page, "Image to video")
    here = page.locator("#k-i2v")
    choose(page, "Tiny svd", "i2v")
    expect(here.locator(".k-prompt textarea")).to_be_hidden()
    expect(here.get_by_text("It needs no words.")).to_be_visible()
    motion = here.get_by_label("number input for Motion")
    expect(motion).to_have_value("80")
    motion.fill("200")
    page.keyboard.press("Tab")
    here.locator("input[type=file]").first.set_input_files(picture)
    page.wait_for_function("document.querySelector('#k-i2v .k-picture')?.naturalWidth > 0")
    press(page, "Generate", "i2v")
    job = wait_for_clip(page, "i2v")
    assert job["used"]["motion_bucket_id"] == 200
    assert job["used"]["prompt"] == ""


def test_the_picker_lists_what_runs_here_first_and_says_what_comes_first(come: Visit) -> None:
    page = come()
    page.locator("#k-t2v .k-picker").click()
    options = page.get_by_role("listbox").get_by_role("option")
    expect(options.first).to_be_visible()
    names = page.locator("[role=option]:visible .k-picker-option-name").all_text_contents()
    assert "Tiny" in names
    assert not {"Tiny svd", "Enormous"} & set(names), "another task, and too large"
    page.get_by_role("button", name="1 more needs a bigger machine").click()
    huge = page.get_by_role("option", name="Enormous")
    expect(huge).to_contain_text("this machine has")
    page.keyboard.press("Escape")

    # an id that cannot be had is a sentence, and the model stays
    page.locator("#k-t2v .k-picker").click()
    page.get_by_role("combobox", name="Find a model").fill("nobody/nothing-at-all")
    page.get_by_role("option", name="nobody/nothing-at-all").click()
    expect(page.locator("#k-t2v .k-trouble")).to_contain_text("nobody/nothing-at-all")
    expect(page.get_by_role("button", name="Model: Tiny", exact=True)).to_be_visible()

    # a download is said before anything happens
    page.locator("#k-t2v .k-picker").click()
    expect(page.get_by_role("option", name="Far away")).to_contain_text("12 GB to download")
    page.get_by_role("option", name="Far away").click()
    settled(page, "Far away")
    expect(page.locator("#k-t2v .k-before")).to_contain_text("12 GB come first, once")

    turn_to(page, "Image to video")
    page.locator("#k-i2v .k-picker").click()
    expect(page.get_by_role("option", name="Tiny svd")).to_be_visible()
    expect(page.get_by_role("option", name="Tiny animatediff")).to_be_hidden()


def test_the_picker_works_by_keyboard(come: Visit) -> None:
    page = come()
    page.locator("#k-t2v .k-picker").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Find a model")).to_be_focused()
    expect(page.get_by_role("option", name="Tiny", exact=False).first).to_be_visible()
    page.keyboard.type("animate")
    expect(page.locator("[role=option]:visible")).to_have_count(1)
    page.keyboard.press("Enter")
    settled(page, "Tiny animatediff")
    chip = page.get_by_role("button", name="Model: Tiny animatediff")
    expect(chip).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(chip).to_be_focused()


def test_a_clip_is_worked_over(come: Visit, clip: Path, tmp_path: Path) -> None:
    page = come()
    turn_to(page, "Video to video")
    here = page.locator("#k-v2v")
    write(page, "in oil", "v2v")
    press(page, "Generate", "v2v")
    expect(here.locator(".k-trouble")).to_contain_text("Choose a clip first")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:300])
    here.locator("input[type=file]").first.set_input_files(broken)
    expect(here.locator(".k-trouble")).to_contain_text("clip")
    here.locator("input[type=file]").first.set_input_files(clip)
    page.wait_for_function("document.querySelector('#k-v2v .k-picture')?.videoWidth > 0")
    expect(here.get_by_label("number input for Strength")).to_have_value("0.8")
    press(page, "Generate", "v2v")
    job = wait_for_clip(page, "v2v")
    assert job["task"] == "v2v"
    assert job["used"]["strength"] == 0.8
    assert job["used"]["num_frames"] == 15, "the clip's 2 seconds"
    given = page.request.get(f"{page.url}kinora/pictures/{job['used']['video']}")
    assert given.headers["content-type"] == "video/mp4"
    stranger = come()
    assert stranger.request.get(given.url).status == 404


def test_a_clip_ends_on_a_picture_where_the_model_can(come: Visit, picture: Path) -> None:
    page = come()
    turn_to(page, "Image to video")
    here = page.locator("#k-i2v")
    choose(page, "Tiny svd", "i2v")
    expect(here.locator(".k-ending")).to_be_hidden()
    choose(page, "Tiny ltx", "i2v")
    here.get_by_label("Picture to animate").set_input_files(picture)
    page.wait_for_function("document.querySelector('#k-i2v .k-picture')?.naturalWidth > 0")
    here.get_by_label("Last picture").last.set_input_files(picture)
    expect(here.get_by_role("button", name="Ends here")).to_be_visible()
    write(page, "it comes back", "i2v")
    press(page, "Generate", "i2v")
    job = wait_for_clip(page, "i2v")
    assert job["used"]["last_image"] == job["used"]["image"]
    here.get_by_role("button", name="Remove the last picture").click()
    expect(here.locator(".k-ending")).to_have_text("Last picture")


def test_a_lora_that_is_not_there_is_said_where_the_eye_is(come: Visit) -> None:
    page = come()
    open_advanced(page)
    page.locator("#k-t2v").get_by_role("button", name="Add a LoRA").click()
    page.keyboard.type("watercolour")
    write(page, "a dog")
    press(page, "Generate")
    expect(page.locator("#k-t2v .k-trouble")).to_contain_text("no LoRA called “watercolour”")
    page.get_by_role("button", name="Remove LoRA 1").click()
    press(page, "Generate")
    wait_for_clip(page)


def test_a_failed_clip_says_why_and_is_made_once_the_cause_is_gone(
    come: Visit, axe: str, models: Path, tiny_repo: Path
) -> None:
    page = come()
    choose(page, "Broken")
    write(page, "a dog")
    press(page, "Generate")
    stage = page.locator("#k-t2v .k-stage")
    expect(stage).to_have_attribute("data-state", "failed")
    failure = page.locator("#k-t2v .k-failure")
    expect(failure).to_contain_text("Broken")
    expect(page.locator("#k-t2v .k-line")).to_have_text("This clip could not be made")
    expect(page.locator(".k-tile-mark")).to_have_text("Failed")
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()
    assert not violations(page, axe)
    shutil.copytree(tiny_repo, models.parent / "broken", dirs_exist_ok=True)
    press(page, "Try again")
    job = wait_for_clip(page)
    assert job["used"]["model"] == "z-broken"
    expect(failure).to_be_hidden()


@pytest.mark.parametrize("look", [{}, {"dark": True, "phone": True}], ids=["light", "phone"])
def test_no_serious_violation_in_the_picker_and_the_new_controls(
    come: Visit, axe: str, look: dict[str, bool]
) -> None:
    page = come(**look)
    page.locator("#k-t2v .k-picker").click()
    expect(page.get_by_role("listbox").get_by_role("option").first).to_be_visible()
    found = violations(page, axe)
    page.keyboard.press("Escape")
    choose(page, "Tiny animatediff")
    open_advanced(page)
    page.locator("#k-t2v").get_by_role("button", name="Add a LoRA").click()
    found += violations(page, axe)
    turn_to(page, "Image to video")
    choose(page, "Tiny svd", "i2v")
    found += violations(page, axe)
    page.get_by_role("tab", name="Video to video").click()
    page.wait_for_function("store.tabs.v2v.gradio")
    found += violations(page, axe)
    if look.get("phone"):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not found, "\n".join(found)
