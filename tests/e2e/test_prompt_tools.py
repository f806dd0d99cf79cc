"""Styles, suggestions, wildcards, looks and improved prompts in a real browser.

One server of its own: the operator has set a language model, a real HTTP server, and the model has
a negative prompt.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests import tiny
from tests.e2e.conftest import visits
from tests.e2e.person import Visit, press, same_box, wait_for_clip, write
from tests.e2e.server import Server
from tests.e2e.test_accessibility import violations

NEGATIVE = "blurry, distorted"
BETTER = "A ginger dog bounds through deep snow in soft morning light."
NINES = "a {1|2|3|4|5|6|7|8|9} dog of {1|2|3|4|5|6|7|8|9}"
FINAL = "#k-t2v .k-final-words"
PROMPT = "#k-t2v .k-prompt textarea"


class LanguageModel:
    """Answers when it may; `prompts` are those that it got."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.content = BETTER
        self.prompts: list[str] = []
        known = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                known.prompts.append(json.loads(data)["messages"][-1]["content"])
                known.may_answer.wait(20)
                message = {"message": {"role": "assistant", "content": known.content}}
                body = json.dumps({"choices": [message]}).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:  # the request was cancelled
                    pass

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.may_answer.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def language_model() -> Iterator[LanguageModel]:
    running = LanguageModel()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def prompt_server(
    tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path, language_model: LanguageModel
) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("prompt-models")
    defaults: Any = tiny.CARD["defaults"]
    tiny.write_card(models, tiny_repo, defaults=defaults | {"negative_prompt": NEGATIVE})
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KINORA_ENHANCER_URL", language_model.url)
        environment.setenv("KINORA_ENHANCER_MODEL", "some-model")
        running = Server(tmp_path_factory.mktemp("prompt") / "data", models)
    yield running
    running.stop()


@pytest.fixture
def visit(browser: Browser, prompt_server: Server) -> Iterator[Visit]:
    yield from visits(browser, prompt_server)


def style(page: Page, name: str) -> Any:
    return page.locator("#k-t2v").get_by_role("radio", name=name, exact=True)


def link(page: Page, name: str) -> Any:
    return page.locator("#k-t2v").get_by_role("button", name=name, exact=True)


def test_a_style_is_seen_in_the_words_before_and_after_the_press(visit: Visit) -> None:
    page = visit()
    chip = page.locator("#k-t2v .k-style-chip")
    expect(chip).to_have_accessible_name("Style: none")
    chip.focus()
    page.keyboard.press("Enter")
    expect(style(page, "Film noir")).to_be_visible()
    page.keyboard.press("Tab")  # the looks
    page.keyboard.press("Tab")
    expect(style(page, "none")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(style(page, "Cinematic")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(chip).to_have_accessible_name("Style: Film noir")
    page.keyboard.press("Escape")
    expect(chip).to_be_focused()
    expect(style(page, "Film noir")).to_be_hidden()

    write(page, "a dog")
    expect(page.locator(FINAL)).to_contain_text("With the style: a dog, film noir")
    press(page, "Generate")
    job = wait_for_clip(page)
    assert job["prompt"].startswith("a dog, film noir")
    assert job["prompt_origin"]["prompt"] == "a dog"
    assert job["prompt_origin"]["style"] == "film-noir"

    link(page, "Edit it").click()
    expect(page.locator(PROMPT)).to_have_value(job["prompt"])
    expect(chip).to_have_accessible_name("Style: none")
    page.locator("#k-t2v").get_by_role("button", name="Advanced").click()
    field = page.locator("#k-t2v .k-negative textarea")
    expect(field).to_have_value(f"{NEGATIVE}, colour, bright, cheerful, modern")
    own = page.locator("#k-t2v").get_by_role("button", name="Use the model's own negative prompt")
    own.click()
    expect(field).to_have_value(NEGATIVE)
    expect(own).to_be_hidden()


def test_a_style_of_ones_own_is_saved_exported_and_imported(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    page.locator("#k-t2v .k-style-chip").click()
    link(page, "Save as style…").click()
    form = page.get_by_role("form", name="A style of your own")
    form.get_by_label("Name").fill("My <b>rain</b>")
    form.get_by_label("Words of the style").fill("{prompt}, heavy rain")
    form.get_by_role("button", name="Save").click()
    expect(style(page, "My <b>rain</b>")).to_be_checked()
    first = page.locator("#k-t2v [role=radio]").nth(1)
    expect(first).to_have_text("My <b>rain</b>")
    write(page, "a dog")
    expect(page.locator(FINAL)).to_contain_text("a dog, heavy rain")

    with page.expect_download() as download:
        link(page, "Export mine").click()
    file = tmp_path / "styles.yaml"
    download.value.save_as(file)
    link(page, "Delete “My <b>rain</b>”").click()
    expect(style(page, "My <b>rain</b>")).to_have_count(0)
    expect(page.locator("#k-t2v .k-style-chip")).to_have_accessible_name("Style: none")

    page.locator("#k-t2v").get_by_label("Styles as YAML").set_input_files(file)
    expect(style(page, "My <b>rain</b>")).to_be_visible()
    broken = tmp_path / "broken.yaml"
    broken.write_text("- id: x\n  prompt: no place\n")
    page.locator("#k-t2v").get_by_label("Styles as YAML").set_input_files(broken)
    expect(page.locator("#k-t2v .k-trouble")).to_contain_text("The styles cannot be read")


def test_a_short_prompt_can_be_completed_and_taken_back(visit: Visit) -> None:
    page = visit()
    chips = page.locator("#k-t2v .k-chips")
    before = chips.bounding_box()
    with same_box(page):
        write(page, "a dog")
        suggestion = page.get_by_role("button", name="Use: a dog in the snow")
        expect(suggestion).to_be_visible()
        assert page.locator("#k-t2v .k-suggestions li").count() <= 3
        assert chips.bounding_box() == before, "nothing moves while one types"
    suggestion.click()
    expect(page.locator(PROMPT)).to_have_value("a dog in the snow")
    expect(page.locator(PROMPT)).to_be_focused()
    link(page, "Back to my words").click()
    expect(page.locator(PROMPT)).to_have_value("a dog")
    suggestion.click()
    page.keyboard.press("Control+z")
    expect(page.locator(PROMPT)).to_have_value("a dog")


def test_wildcards_are_explained_and_kept_and_their_seed_can_be_typed_and_copied(
    visit: Visit,
) -> None:
    page = visit()
    write(page, NINES)
    link(page, "Choose from them").click()
    expect(page.locator(FINAL)).to_contain_text("For example: a ")
    seed = page.locator("#k-t2v").get_by_label("Wildcard seed")
    expect(seed).to_have_value("")
    link(page, "Keep these words").click()
    shown = page.locator(f"{FINAL} span").nth(1).inner_text()
    kept = seed.input_value()
    assert kept.isdigit(), "it can be copied"

    page.keyboard.press("Tab")  # Edit it
    page.keyboard.press("Tab")
    expect(seed).to_be_focused()
    page.keyboard.type("12")  # in place of what stood there
    expect(page.locator(FINAL)).to_contain_text("With the kept words: a ")
    expect(page.locator(FINAL)).not_to_contain_text(shown)
    other = page.locator(f"{FINAL} span").nth(1).inner_text()
    page.keyboard.type("x")
    expect(seed).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Tab")
    expect(seed).to_have_value("12")
    press(page, "Generate")
    job = wait_for_clip(page)
    assert job["prompt"] == other
    assert job["prompt_origin"]["wildcard_seed"] == 12
    assert job["prompt_origin"]["prompt"] == NINES

    seed.fill(kept)
    expect(page.locator(FINAL)).to_contain_text(shown)
    seed.fill("")
    expect(page.locator(FINAL)).to_contain_text("For example: a ")
    page.locator("#k-t2v").get_by_label("Seed", exact=True).fill("12")
    expect(page.locator(FINAL)).to_contain_text(f"With the words of the seed: {other}")
    expect(link(page, "Another")).to_be_hidden()

    write(page, "a {red|green dog")
    expect(page.locator("#k-t2v .k-wrong")).to_contain_text("column 3")


def test_a_look_is_saved_applied_shared_and_imported(visit: Visit) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    write(page, "a rocket at night")
    page.locator("#k-t2v").get_by_label("Seed", exact=True).fill("7")
    chip = page.locator("#k-t2v .k-looks-chip")
    chip.click()
    panel = page.get_by_role("dialog", name="Looks").first
    page.keyboard.type("Evening")
    page.keyboard.press("Enter")
    row = panel.get_by_role("button", name="Apply “Evening”")
    expect(row).to_contain_text("a rocket at night")
    panel.get_by_role("button", name="Copy “Evening”").click()
    expect(panel.get_by_role("status")).to_contain_text("is copied")
    shared = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert shared["settings"]["seed"] == 7
    panel.get_by_role("button", name="Delete “Evening”").click()
    expect(row).to_have_count(0)

    panel.get_by_role("button", name="Import a look…").click()
    pasted = panel.get_by_label("A shared look, as JSON")
    pasted.fill("a look")
    panel.get_by_role("button", name="Import", exact=True).click()
    expect(panel.get_by_role("status")).to_contain_text("This is no look.")
    pasted.fill(json.dumps(shared))
    panel.get_by_role("button", name="Import", exact=True).click()
    expect(row).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()

    write(page, "something else")
    chip.focus()
    page.keyboard.press("Enter")
    expect(row).to_be_visible()
    page.keyboard.press("Tab")  # from the name of a new one
    expect(row).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(PROMPT)).to_have_value("a rocket at night")
    expect(page.locator("#k-t2v").get_by_label("Seed", exact=True)).to_have_value("7")
    expect(panel).to_be_hidden()


def test_a_look_is_saved_as_a_file_chosen_and_dropped(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    write(page, "a rocket at night")
    page.locator("#k-t2v .k-looks-chip").click()
    panel = page.get_by_role("dialog", name="Looks").first
    said = panel.get_by_role("status")
    page.keyboard.type("Blue + evening")
    page.keyboard.press("Enter")
    row = panel.get_by_role("button", name="Apply “Blue + evening”")
    with page.expect_download() as download:
        panel.get_by_role("button", name="Save “Blue + evening” as a file").click()
    assert download.value.suggested_filename == "Blue-evening.kinora-look.json"
    file = tmp_path / "look.json"
    download.value.save_as(file)
    panel.get_by_role("button", name="Delete “Blue + evening”").click()
    expect(row).to_have_count(0)

    panel.get_by_role("button", name="Import a look…").click()
    with page.expect_file_chooser() as chooser:
        panel.get_by_role("button", name="Choose a file…").click()
    chooser.value.set_files(file)
    expect(said).to_contain_text("“Blue + evening” is imported.")
    expect(row).to_contain_text("a rocket at night")

    look = json.loads(file.read_text(encoding="utf-8"))
    look["settings"]["prompt"] = "a rocket by day"
    drop_on(panel, "look.json", json.dumps(look))
    expect(row).to_contain_text("a rocket by day")
    expect(said).to_contain_text("It replaces one that you had.")
    said.get_by_role("button", name="Undo").click()
    expect(row).to_contain_text("a rocket at night")

    drop_on(panel, "notes.json", "[]")
    expect(said).to_contain_text("“notes.json” is no look.")
    look["settings"]["num_frames"] = "many"
    drop_on(panel, "look.json", json.dumps(look))
    expect(said).to_contain_text("num_frames")
    expect(row).to_contain_text("a rocket at night")


def drop_on(place: Locator, name: str, text: str) -> None:
    """As a file from the desktop is dropped."""
    place.evaluate(
        """(place, [name, text]) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([text], name, { type: "application/json" }));
          for (const kind of ["dragover", "drop"])
            place.dispatchEvent(
              new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        [name, text],
    )


def test_an_improved_prompt_waits_for_a_press(visit: Visit, language_model: LanguageModel) -> None:
    page = visit()
    field = page.locator(PROMPT)
    write(page, "a dog")
    language_model.may_answer.clear()
    link(page, "Improve").click()
    expect(page.get_by_text("Improving the prompt.")).to_be_attached()
    link(page, "Cancel").click()
    link(page, "Improve").click()
    language_model.may_answer.set()
    offer = page.locator("#k-t2v").get_by_role("region", name="An improved prompt")
    expect(offer).to_contain_text(BETTER)
    expect(field).to_have_value("a dog")
    offer.get_by_role("button", name="Keep mine").click()
    expect(field).to_have_value("a dog")
    page.keyboard.press("Tab")
    expect(link(page, "Improve")).to_be_focused()
    page.keyboard.press("Enter")
    use = offer.get_by_role("button", name="Use it")
    expect(use).to_be_visible()
    while not use.evaluate("button => button === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(field).to_have_value(BETTER)
    link(page, "Back to my words").click()
    expect(field).to_have_value("a dog")
    assert set(language_model.prompts) == {"a dog"}

    language_model.content = "I'm sorry, I cannot help with that."
    link(page, "Improve").click()
    expect(page.locator("#k-t2v .k-words")).to_contain_text("declined this prompt")
    expect(field).to_have_value("a dog")
    language_model.content = BETTER


@pytest.mark.parametrize("phone", [False, True], ids=["desktop, dark", "phone"])
def test_no_serious_violation(visit: Visit, axe: str, phone: bool) -> None:
    page = visit(phone=phone, dark=not phone)
    write(page, "a {red|green} dog")
    link(page, "Choose from them").click()
    link(page, "Keep these words").click()
    expect(page.locator("#k-t2v").get_by_label("Wildcard seed")).not_to_have_value("")
    found = violations(page, axe)
    write(page, "a dog")
    expect(page.locator("#k-t2v .k-suggestions li").first).to_be_visible()
    page.locator("#k-t2v .k-style-chip").click()
    style(page, "Film noir").click()
    expect(page.locator(FINAL)).to_be_visible()
    link(page, "Save as style…").click()
    link(page, "Improve").click()
    expect(page.get_by_role("button", name="Use it")).to_be_visible()
    found += violations(page, axe)
    page.locator("#k-t2v .k-looks-chip").click()
    page.get_by_label("Name of the look").first.fill("Evening")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Apply “Evening”").first).to_be_visible()
    page.get_by_role("button", name="Import a look…").first.click()
    found += violations(page, axe)
    assert not found, "\n".join(found)
    if phone:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
