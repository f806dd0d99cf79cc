"""Each component of the page in each of its states, without a server and without Gradio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, expect

from tests.e2e.component_page import PREVIEW, Here, component_pages, job

STAGE = "#k-t2v .k-stage"

Open = Callable[[], AbstractContextManager[Here]]


@pytest.fixture(scope="module")
def open_page(browser: Browser) -> Iterator[Open]:
    with component_pages(browser) as pages:
        yield pages


@pytest.fixture
def here(open_page: Open) -> Iterator[Here]:
    with open_page() as (page, answers):
        mount(page, "stage", None, line="Tiny knows dogs", aspect=[64, 64])
        mount(page, "post", None)
        mount(page, "outlook", None)
        mount(page, "reel", None)
        yield page, answers


def mount(page: Page, name: str, value: Any, **options: Any) -> None:
    page.evaluate("([name, value, options]) => mount(name, value, options)", [name, value, options])


def answer(page: Page, component: str, value: Any) -> None:
    """Gradio brings a new value from the server."""
    page.evaluate("([name, value]) => ports[name].answer(value)", [component, value])


def triggered(page: Page, component: str = "stage") -> list[Any]:
    return page.evaluate("name => ports[name].triggered", component)


# -- the stage -----------------------------------------------------------------------------------


def test_at_rest_the_stage_says_what_the_model_knows(here: Here) -> None:
    page, _ = here
    expect(page.locator(STAGE)).to_have_attribute("data-state", "rest")
    expect(page.locator(".k-line")).to_have_text("Tiny knows dogs")
    expect(page.locator(".k-reel-part")).to_be_hidden()


def test_the_page_has_one_global_of_ours(here: Here) -> None:
    page, _ = here
    own = page.evaluate("""() => {
      const blank = document.body.appendChild(document.createElement("iframe")).contentWindow;
      return Object.keys(window).filter((name) => !(name in blank));
    }""")
    assert set(own) - {"mount", "ports", "store"} - {"0"} == {"kinora"}  # the others are the test's


def test_a_job_that_loads_has_its_line_its_ring_and_a_sentence_for_screen_readers(
    here: Here,
) -> None:
    page, answers = here
    loading = job(phase="loading", line="Loading the model, 63 %", ring=0.1)
    answers.live = [loading]
    answer(page, "post", {"job": loading})
    expect(page.locator(STAGE)).to_have_attribute("data-state", "running")
    expect(page.locator(".k-line")).to_have_text("Loading the model, 63 %")
    expect(page.get_by_role("status")).to_have_text("Loading the model.")
    expect(page.locator(".k-ring-fill")).to_have_css("stroke-dashoffset", "900px")
    expect(page.locator("#k-t2v.k-busy")).to_have_count(1)
    expect(page.locator("#k-t2v.k-started")).to_have_count(0)
    expect(page.locator(".k-tile-mark")).to_have_text("10 %")


COUNT_CHANGES = """async () => {
  const canvas = document.querySelector(".k-preview");
  let changes = 0;
  const observer = new MutationObserver((records) => (changes += records.length));
  const everything = { childList: true, attributes: true, characterData: true, subtree: true };
  observer.observe(document.body, everything);
  const pictures = new Set();
  for (let n = 0; n < 30; n++) {
    await new Promise(requestAnimationFrame);
    pictures.add(canvas.toDataURL());
  }
  return [changes, pictures.size];
}"""


def test_a_preview_moves_and_its_frames_change_nothing_but_the_canvas(here: Here) -> None:
    page, answers = here
    answers.live = [job(preview=PREVIEW)]
    answer(page, "post", {"job": job(preview=PREVIEW)})
    page.wait_for_selector(".k-preview.k-on")
    page.wait_for_selector(".k-tile-strip")
    page.wait_for_function("store.tabs.t2v.preview.value.number === 1")
    expect(page.locator("#k-t2v.k-started")).to_have_count(1)
    changes, pictures = page.evaluate(COUNT_CHANGES)
    assert pictures >= 3
    assert changes == 0


def test_less_motion_is_one_frame(here: Here) -> None:
    page, answers = here
    page.emulate_media(reduced_motion="reduce")
    answers.live = [job(preview=PREVIEW)]
    answer(page, "post", {"job": job(preview=PREVIEW)})
    page.wait_for_selector(".k-preview.k-on")
    page.evaluate("new Promise(requestAnimationFrame)")
    assert page.evaluate(COUNT_CHANGES)[1] == 1


def test_a_failed_job_says_why_and_its_buttons_do_something_about_it(here: Here) -> None:
    page, _ = here
    error = {
        "code": "out_of_memory", "message": "Not enough memory.", "remedy": "Use fewer frames.",
        "action": {"label": "Use 97 frames", "set": {"num_frames": 97}}, "develop": True,
    }  # fmt: skip
    failed = job(state="failed", phase="failed", line="This clip could not be made", error=error)
    answer(page, "post", {"job": failed})
    failure = page.locator(".k-failure")
    expect(failure.locator("p")).to_have_text(["Not enough memory.", "Use fewer frames."])
    expect(page.locator(".k-tile-mark")).to_have_text("Failed")
    expect(page.get_by_role("status")).to_have_text("This clip could not be made.")
    failure.get_by_role("button", name="Use 97 frames").click()
    failure.get_by_role("button", name="Decode again").click()
    expect(failure).to_be_hidden()
    expect(page.locator(".k-line")).to_have_text("Getting ready")
    assert triggered(page) == [
        ["repair", {"job": failed["id"], "set": {"num_frames": 97}}],
        ["develop", {"job": failed["id"], "set": {}}],
    ]

    answer(page, "post", {"error": {"message": "The queue is full.", "remedy": "Wait."}})
    expect(page.get_by_role("alert")).to_have_text("The queue is full. Wait.")
    expect(failure).to_contain_text("Not enough memory")  # what was there before is back
    page.locator(".k-prompt textarea").fill("a cat")
    expect(page.locator(".k-trouble")).to_be_empty()


def test_a_finished_clip_is_shown_with_what_made_it(here: Here) -> None:
    page, answers = here
    running = job(preview=PREVIEW)
    done = job(state="succeeded", phase="succeeded", line="1.0 s, made in 4 s", ring=1)
    answers.live = [running, done]
    answer(page, "post", {"job": running})
    expect(page.locator("img.k-video.k-on")).to_have_attribute("alt", "Clip: a dog")
    expect(page.get_by_role("status")).to_have_text("Your clip is ready and playing.")
    expect(page.locator("#k-t2v.k-busy")).to_have_count(0)
    expect(page.locator(".k-tile img")).to_have_count(1)
    expect(page.locator(".k-preview.k-on")).to_have_count(0)
    button = page.get_by_role("button", name="Settings", exact=True)
    expect(button).to_have_attribute("aria-expanded", "false")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".k-used")).to_contain_text("Seed7")
    page.get_by_role("button", name="Use these settings").click()
    page.get_by_role("button", name="Another seed").click()
    assert [event for event, _ in triggered(page)] == ["restore", "another"]
    expect(page.locator(".k-video.k-on")).to_have_count(0)


def test_a_discarded_job_leaves_nothing(here: Here) -> None:
    page, answers = here
    answers.live = [job(preview=PREVIEW)]
    answer(page, "post", {"job": job(preview=PREVIEW)})
    page.wait_for_selector(".k-tile")
    answers.live = [job(state="cancelled", phase="cancelled", line="Discarded")]
    answer(page, "post", {"job": job()})
    expect(page.locator(STAGE)).to_have_attribute("data-state", "rest")
    expect(page.locator(".k-line")).to_have_text("Tiny knows dogs")
    expect(page.locator(".k-tile")).to_have_count(0)
    expect(page.locator(".k-preview.k-on")).to_have_count(0)


def test_a_clip_is_deleted_by_the_second_press(here: Here) -> None:
    page, answers = here
    answer(page, "post", {"job": job(state="succeeded", phase="succeeded", line="Ready")})
    page.locator(".k-tile").hover()
    page.get_by_role("button", name="Delete: a dog").click()
    assert not [each for each in answers.asked if each.startswith("DELETE")]
    page.get_by_role("button", name="Press again to delete").click()
    expect(page.locator(".k-tile")).to_have_count(0)
    expect(page.locator(STAGE)).to_have_attribute("data-state", "rest")
    assert f"DELETE /kinora/jobs/{job()['id']}" in answers.asked


def test_gradios_buttons_reach_the_job_on_the_stage(here: Here) -> None:
    page, answers = here
    dispatch = "action => document.dispatchEvent(new CustomEvent('kinora:action', action))"
    page.evaluate(dispatch, {"detail": {"task": "t2v", "action": "start"}})
    expect(page.locator(".k-line")).to_have_text("Getting ready")
    page.evaluate(dispatch, {"detail": {"task": "t2v", "action": "no answer"}})
    expect(page.get_by_role("alert")).to_contain_text("Kinora did not answer.")
    expect(page.locator(STAGE)).to_have_attribute("data-state", "rest")
    answers.live = [job()]
    answer(page, "post", {"job": job()})
    expect(page.locator(".k-line")).to_have_text("Step 3 of 20, 9 s left")
    page.evaluate(dispatch, {"detail": {"task": "t2v", "action": "finish"}})
    expect(page.locator(".k-line")).to_have_text("Finishing with what is there")
    answer(page, "post", {"job": job(line="Step 4 of 20, 8 s left")})  # sent before the press
    expect(page.locator(".k-line")).to_have_text("Finishing with what is there")
    assert f"POST /kinora/jobs/{job()['id']}/finish" in answers.asked


def test_a_tab_that_is_not_open_yet_gets_what_was_meant_for_it(here: Here) -> None:
    page, _ = here
    answer(page, "post", {"picture": {"id": "b" * 64, "width": 64, "height": 32}})
    mount(page, "stage", None, task="i2v", line="", aspect=[64, 64])
    expect(page.locator("#k-i2v .k-has-picture")).to_have_count(1)
    value = page.evaluate("ports.stage.props.value")
    assert value == {"id": "b" * 64, "focus": {"x": 0.5, "y": 0.5}}
    assert [event for event, _ in triggered(page)] == ["picked"]


# -- the controls --------------------------------------------------------------------------------


def test_the_picker_lists_what_runs_here_first_and_takes_a_pasted_id(here: Here) -> None:
    page, answers = here
    answers.models["models"] = [
        {"id": "a/one", "name": "One", "about": "small", "verdict": "Runs.", "level": "runs"},
        {"id": "a/two", "name": "Two", "about": "large", "verdict": "Too big.", "level": "no"},
    ]
    mount(page, "picker", "a/one", title="One")
    page.get_by_role("button", name="Model: One").click()
    options = page.get_by_role("option")
    expect(options).to_have_count(1)
    expect(options).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="1 more needs a bigger machine").click()
    expect(options).to_have_count(2)
    search = page.get_by_role("combobox", name="Find a model")
    search.press("ArrowDown")
    expect(search).to_have_attribute("aria-activedescendant", "k-picker-t2v-1")
    search.fill("nobody/new")
    expect(options).to_have_text(["nobody/newLook this one up on the Hugging Face Hub."
                                  "Nothing is downloaded yet."])  # fmt: skip
    search.press("Enter")
    expect(page.get_by_role("button", name="Model: nobody/new")).to_be_focused()
    expect(page.locator(".k-outlook-line")).to_have_text("Looking at nobody/new …")
    assert triggered(page, "picker") == [["chosen", {"before": "a/one"}]]


def test_loras_come_and_go_with_the_model_that_takes_them(here: Here) -> None:
    page, _ = here
    mount(page, "loras", [])
    add = page.get_by_role("button", name="Add a LoRA")
    expect(add).to_be_hidden()
    facts = {"id": "m", "name": "M", "prompt": True, "last_image": False, "lora": True}
    mount(page, "facts", facts | {"loras": ["oil"], "lora_hub": False})
    add.click()
    page.keyboard.type("oil")
    expect(page.get_by_role("combobox", name="LoRA 1")).to_have_value("oil")
    add.click()
    page.keyboard.type("ink")
    page.get_by_role("spinbutton", name="Weight of LoRA 2").fill("0.5")
    page.get_by_role("button", name="Remove LoRA 1").click()
    expect(add).to_be_focused()
    assert page.evaluate("ports.loras.props.value") == [{"source": "ink", "weight": "0.5"}]
    expect(page.get_by_role("combobox", name="LoRA 1")).to_have_value("ink")


# -- texts of people and models ------------------------------------------------------------------

SHOW_EVERYWHERE = """async (text) => {
  document.querySelectorAll("[data-shown]").forEach((element) => element.remove());
  const show = (name, value, options) => {
    mount(name, value, options);
    ports[name].element.dataset.shown = "";
  };
  const problem = { message: text, remedy: text, action: { label: text, set: {} } };
  const made = { ...job, prompt: text, line: text, adjustments: [text], surprises: [text],
    used: { prompt: text, width: 1, height: 1, loras: [{ source: text, weight: text }] },
    settings: [["Prompt", text], [text, text]] };
  show("examples", [{ prompt: text, picture: null }]);
  show("knows", { name: text, about: text, license: text, knows: { [text]: [text] } });
  show("facts", { id: text, name: text, prompt: true, lora: true, loras: [text], lora_hub: true });
  show("loras", [{ source: text, weight: 1 }]);
  const cell = { ...made, state: "failed", error: problem, seed: 1 };
  store.tabs.t2v.batch.value = { id: "b", kind: "batch", task: "t2v", ended: true, line: text,
    said: text, ready: 1, width: 1, height: 1, prompt: text,
    axes: [{ label: text, values: [text] }],
    cells: [
      { labels: [text], problem: text, job: null },
      { labels: [text], problem: null, job: cell },
    ] };
  await new Promise(requestAnimationFrame);
  const grid = document.querySelector(".k-grid-layer").textContent;
  store.tabs.t2v.batch.value = null;
  ports.outlook.answer({ line: text, before: [text], adjustments: [text], error: problem });
  ports.post.answer({ job: { ...made, state: "failed", phase: "failed", error: problem } });
  await new Promise(requestAnimationFrame);
  const failed = document.querySelector(".k-failure").textContent;
  ports.post.answer({ job: { ...made, state: "succeeded", phase: "succeeded" } });
  await new Promise(requestAnimationFrame);
  document.querySelector(".k-verbs button[aria-expanded=false]")?.click();
  await new Promise(requestAnimationFrame);
  const used = document.querySelector(".k-used").textContent;
  const shown = [document.body.textContent, failed, grid, used];
  const elements = [...document.body.querySelectorAll("*")].map(
    // k-on: the picture has loaded, which takes as long as it takes
    (element) => `${element.tagName}.${(element.getAttribute("class") ?? "").replace(" k-on", "")}`
      + `[${[...element.attributes].map((attribute) => attribute.name)}]`);
  return [elements, shown.every((each) => each.includes(text))];
}"""

MARKUP = st.sampled_from(
    [
        '<img src=x onerror="window.pwned = 1">',
        "<script>window.pwned = 1</script>",
        "<svg onload=window.pwned=1>",
        '" autofocus onfocus="window.pwned = 1',
        "${window.pwned = 1}",
        "{{constructor.constructor('window.pwned = 1')()}}",
        "javascript:window.pwned = 1",
        "</p></div>",
        "<!--",
        "&lt;b&gt;",
    ]
)


def test_a_text_is_only_ever_text(here: Here) -> None:
    """Whatever it says, the page has the same elements with the same attributes as with a plain
    word."""
    page, _ = here
    page.evaluate("(job) => (window.job = job)", job())
    plain, _ = page.evaluate(SHOW_EVERYWHERE, "a dog")

    @settings(max_examples=25, deadline=None, database=None)
    @given(st.lists(MARKUP | st.text(max_size=20), min_size=1, max_size=4).map(" ".join))
    def every_text(text: str) -> None:
        elements, is_shown = page.evaluate(SHOW_EVERYWHERE, f"a dog {text} in the snow")
        assert elements == plain
        assert is_shown

    every_text()
    assert page.evaluate("window.pwned") is None
