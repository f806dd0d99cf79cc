"""The choice beside Generate, the panels and the grid, without a server and without Gradio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.component_page import PREVIEW, Here, component_pages, job
from tests.e2e.test_components import Open, answer, mount, triggered

BATCH = "b" * 32
CARD = {"id": "m", "name": "M", "prompt": True, "last_image": False, "lora": False, "loras": []}


@pytest.fixture(scope="module")
def open_page(browser: Browser) -> Iterator[Open]:
    with component_pages(browser) as pages:
        yield pages


@pytest.fixture
def here(open_page: Open) -> Iterator[Here]:
    with open_page() as (page, answers):
        mount(page, "stage", None, line="", aspect=[64, 64])
        mount(page, "post", None)
        mount(page, "outlook", None)
        mount(page, "explore", None)
        yield page, answers


def cell_job(number: int, **different: Any) -> dict[str, Any]:
    return job(id=f"{number:032x}", batch=BATCH, seed=number) | different


def batch(*jobs: dict[str, Any], **different: Any) -> dict[str, Any]:
    """As the server shows one."""
    return {
        "id": BATCH, "kind": "batch", "task": "t2v", "created_at": 1.0, "ended": False,
        "line": "0 of 2 clips ready, about 9 s left", "said": "0 of 2 clips ready", "ready": 0,
        "width": 64, "height": 64, "prompt": "a dog", "axes": [], "signed": "sign=s",
        "cells": [{"labels": [], "problem": None, "job": each} for each in jobs],
    } | different  # fmt: skip


def show(page: Page, answers: Any, shown: dict[str, Any]) -> None:
    answers.batches = {BATCH: shown}
    answer(page, "post", {"batch": {"id": BATCH, "task": "t2v"}})
    expect(page.locator(".k-cell")).to_have_count(len(shown["cells"]))


def test_the_choice_is_made_with_the_keyboard_and_kept(here: Here) -> None:
    page, _ = here
    button = page.get_by_role("button", name="Generate makes one clip")
    button.press("Enter")
    expect(page.get_by_role("menuitemradio", name="One clip")).to_be_focused()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitemradio", name="×4")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menu")).to_be_hidden()
    expect(page.get_by_role("button", name="Generate makes 4 drafts")).to_have_text("×4")
    assert page.evaluate("ports.explore.props.value") == {"drafts": 4}
    assert triggered(page, "explore") == [["changed", None]]
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitemradio", name="×4")).to_have_attribute("aria-checked", "true")
    page.keyboard.press("End")
    expect(page.get_by_role("menuitem", name="Batch…")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_be_hidden()
    page.evaluate("sessionStorage.clear()")


def test_two_hundred_clips_cost_as_many_requests_as_one(here: Here) -> None:
    page, answers = here
    done = {"state": "succeeded", "phase": "succeeded", "line": "1.0 s", "ring": 1, "format": "mp4"}
    many = [cell_job(n, **done) for n in range(200)]
    answers.jobs = many[:24]
    answers.batches = {BATCH: batch(*many, ended=True, ready=200, line="200 clips ready")}
    mount(page, "reel", None)  # reads the list, and what was made last comes back
    expect(page.locator(".k-cell")).to_have_count(200)
    expect(page.locator(".k-line")).to_have_text("200 clips ready")
    page.wait_for_selector(".k-cell video[src]")
    asked = [each for each in answers.asked if "/kinora/jobs" in each or "/kinora/batches" in each]
    files = ("/clip", "/poster")
    assert [each for each in asked if not each.endswith(files)] == [
        "GET /kinora/jobs", f"GET /kinora/batches/{BATCH}",
    ]  # fmt: skip
    assert page.locator(".k-cell video[src]").count() < 60, "only what is seen is loaded"


def test_a_batch_in_the_history_is_one_tile_and_costs_as_much_as_one_clip(here: Here) -> None:
    page, answers = here
    done = {"state": "succeeded", "phase": "succeeded", "line": "1.0 s", "ring": 1, "format": "mp4"}
    many = [cell_job(n, created_at=n, **done) for n in range(200)]
    newest = cell_job(999, batch=None, created_at=999, **done)
    answers.jobs = [newest, *many[:-24:-1]]
    answers.batches = {BATCH: batch(*many, ended=True, ready=200, line="200 clips ready")}
    mount(page, "reel", None)
    expect(page.locator(".k-tile")).to_have_count(2)
    tile = page.get_by_role("button", name="Grid: a dog, ready")
    assert tile.locator("img").count() == 4
    assert not [each for each in answers.asked if "/kinora/batches" in each], (
        "not before it is opened"
    )
    page.evaluate("store.tabs.t2v.shape.value = { width: 64, height: 64 }")
    tile.press("Enter")
    expect(page.locator(".k-cell")).to_have_count(200)
    assert page.locator(".k-cell video[src]").count() < 60, "only what is seen is loaded"


def test_the_tile_of_a_batch_says_when_none_of_its_clips_is_there(here: Here) -> None:
    page, answers = here
    answers.jobs = [
        cell_job(0, batch=None),
        *(cell_job(n, batch="c" * 32, state="failed", phase="failed") for n in (1, 2)),
        cell_job(3, batch="d" * 32, state="gone", phase="succeeded"),
        *(cell_job(n, batch="e" * 32, state="queued", phase="queued") for n in (4, 5)),
    ]
    mount(page, "reel", None)
    expect(page.locator(".k-tile-batch .k-tile-mark")).to_have_text(["Waiting", "Gone", "Failed"])
    bins = page.locator(".k-tile-batch .k-tile-bin")
    assert bins.evaluate_all("all => all.map((bin) => bin.hidden)") == [True, False, False]


def test_a_cell_shows_its_state_and_can_be_discarded_or_made_again(here: Here) -> None:
    page, answers = here
    failed = {"message": "Not enough memory.", "remedy": ""}
    first, second = cell_job(1, preview=PREVIEW), cell_job(2, state="failed", error=failed)
    show(page, answers, batch(first, second))
    cells = page.locator(".k-cell")
    expect(cells.nth(0)).to_contain_text("25 %")
    expect(cells.nth(0).locator("canvas")).to_be_visible()
    expect(cells.nth(1)).to_contain_text("Failed")
    expect(page.get_by_role("button", name="Clip 2: a dog, Not enough memory.")).to_be_visible()
    expect(page.get_by_role("status").first).to_have_text("0 of 2 clips ready.")
    expect(page.locator(".k-surprises")).to_have_text("Not enough memory.")
    page.get_by_role("button", name="Discard clip 1: a dog").click()
    page.get_by_role("button", name="Try clip 2: a dog again").click()
    page.get_by_role("button", name="Stop all").click()
    assert triggered(page, "explore") == [["remake", {"job": second["id"]}]]
    assert f"POST /kinora/jobs/{first['id']}/discard" in answers.asked
    assert f"POST /kinora/batches/{BATCH}/discard" in answers.asked


def test_a_finished_draft_is_deleted_by_the_second_press(here: Here) -> None:
    page, answers = here
    done = {"state": "succeeded", "phase": "succeeded", "line": "1.0 s", "ring": 1}
    draft = cell_job(1, **done)
    show(page, answers, batch(draft, kind="drafts", ended=True, ready=1))
    page.locator(".k-cell").hover()
    page.get_by_role("button", name="Discard draft 1").click()
    assert not [each for each in answers.asked if each.startswith("DELETE")]
    page.get_by_role("button", name="Press again to delete draft 1").click()
    page.wait_for_function("store.tabs.t2v.problem.value === null")
    assert f"DELETE /kinora/jobs/{draft['id']}" in answers.asked


def test_arrows_move_in_the_grid_and_a_refusal_brings_it_back(here: Here) -> None:
    page, answers = here
    jobs = [cell_job(n, state="queued", phase="queued", ring=0) for n in range(4)]
    answers.jobs = jobs
    show(page, answers, batch(*jobs))
    opens = page.locator(".k-cell-open")
    opens.first.focus()
    page.keyboard.press("ArrowRight")
    expect(opens.nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(opens.nth(3)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Back to the grid")).to_be_focused()
    page.keyboard.press("Escape")
    expect(opens.nth(3)).to_be_focused()
    dispatch = "action => document.dispatchEvent(new CustomEvent('kinora:action', action))"
    page.evaluate(dispatch, {"detail": {"task": "t2v", "action": "start"}})
    expect(page.locator(".k-grid-layer")).to_be_hidden()
    answer(page, "post", {"error": {"message": "The queue is full.", "remedy": "Wait."}})
    expect(page.locator(".k-grid-layer")).to_be_visible()


def test_a_draft_that_is_discarded_while_it_is_open_leads_back_to_the_grid(here: Here) -> None:
    page, answers = here
    draft = cell_job(1, is_draft=True)
    answers.jobs = [draft]
    show(page, answers, batch(draft, kind="drafts"))
    gone = draft | {"state": "cancelled", "phase": "cancelled", "line": "Discarded"}
    answers.live = [gone]
    answers.batches = {BATCH: batch(gone, kind="drafts", ended=True)}
    page.locator(".k-cell-open").click()
    expect(page.locator(".k-cell")).to_contain_text("Discarded")
    expect(page.locator(".k-cell-open")).to_be_focused()


def test_the_compare_panel_plans_what_is_written_and_starts_it(here: Here) -> None:
    page, answers = here
    steps = {"field": "num_inference_steps", "label": "Steps", "kind": "numbers"}
    style = {"field": "style", "label": "Style", "kind": "choices"}
    answers.comparable = [
        steps | {"values": [2, 4], "most": 5},
        style | {"values": [""], "most": 2, "choices": [["", "None"], ["a", "A"], ["b", "B"]]},
    ]
    mount(page, "facts", CARD)
    page.locator(".k-times").click()
    page.get_by_role("menuitem", name="Compare…").click()
    panel = page.get_by_role("dialog", name="Compare")
    panel.get_by_label("One below the other: setting").select_option(label="Style")
    panel.get_by_label("A", exact=True).check()
    expect(panel.get_by_label("B", exact=True)).to_be_disabled()  # two at most
    start = panel.get_by_role("button", name="Compare", exact=True)
    expect(start).to_be_disabled()
    page.wait_for_function("ports.explore.triggered.at(-1)?.[1].spec.compare.length === 2")
    event, data = triggered(page, "explore")[-1]
    assert event == "planned"
    assert data["spec"]["compare"][0]["values"] == ["2", "4"]
    assert data["spec"]["compare"][1] == {"field": "style", "values": ["", "a"]}
    old = {"number": data["number"] - 1, "clips": 9, "line": "9 clips, about 9 s"}
    answer(page, "post", {"plan": old})
    expect(start).to_be_disabled()  # an answer to what was written before
    fresh = {"number": data["number"], "clips": 4, "line": "4 clips, about 8 s"}
    answer(page, "post", {"plan": fresh | {"problems": ["4, A: too large."]}})
    expect(panel.get_by_role("status")).to_have_text("4 clips, about 8 s4, A: too large.")
    start.click()
    expect(panel).to_be_hidden()
    assert triggered(page, "explore")[-1] == ["many", {"spec": data["spec"]}]
    expect(page.locator(".k-line")).to_have_text("Getting ready")
