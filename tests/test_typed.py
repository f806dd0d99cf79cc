"""Nothing typed is changed in silence, at any door.

For each field and each door: what was typed is in the job's settings, or an adjustment names the
field, or the request was refused with a sentence that names it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file

from pipelines.request import MAX_SEED, GenerationRequest, Task
from settings import ROOT
from tests.doors import PROMPT, Doors, Outcome
from ui.model_picker import Models

PROGRAMS = ("rest", "form", "openai", "batch", "requests", "page", "client", "tool")
LORAS = ("oil", "a name (with) [brackets]", "water:colour:2", "styles/ink", "水彩", "x" * 200)
LONG = "a red fish swims to the left of a blue one, " * 30

WORDS = {
    "num_frames": ("frames",),
    "duration_s": ("duration", "seconds", " s "),
    "num_inference_steps": ("steps",),
    "guidance_scale": ("guidance",),
    "motion_bucket_id": ("motion",),
    "fps": ("frames per second", "fps"),
    "loras": ("lora",),
    "negative_prompt": ("negative",),
    "sampler": ("sample",),
    "upscale": ("upscale", "twice as large"),
}
"""What a sentence may call a field, where that is not its name."""

CASES: dict[str, list[Any]] = {
    "seed": [
        0, 7, MAX_SEED, MAX_SEED + 1, 2**53 + 1, 2**64, 10**40, -1, "-1", -1.0, -2, 3.0, 3.7, "3.0",
        "3.7", "1e5", 1e5, "1_000", "１２", " 12 ", "0x10", True, "twelve", "12 apples", [1], {},
        float("nan"), float("inf"), "99999999999999999999999999",
    ],
    "prompt": [
        PROMPT, f"  {PROMPT} ", f"{PROMPT}\n", "a\tdog\r\nin the snow", "cafe\u0301", "caf\u00e9",
        "zero\u200bwidth", "👩‍👧 waves", "\u202eright to left", "ﬁsh", "a\x00b", "a\x1b[31mb",
        "\x7f", "x" * 2000, "x" * 2001, "y" * 100_000, "   ", LONG, "<b>&amp;</b>", '"quoted"',
        "[a list]",
    ],
    "negative_prompt": ["rain", "", " rain ", "a\x00b", "z" * 2001, LONG],
    "num_inference_steps": [4, "4", 4.0, 4.5, 0, 1000, True, "many"],
    "guidance_scale": [2, 2.5, "2.5", "1e0", 0.5, 31, float("nan"), "nan", True, "much"],
    "width": [64, 65, "96", 16, 9000, 64.5, True],
    "height": [64, 70, "x"],
    "num_frames": [9, 10, "9", 9.5, 1, 100_000, True],
    "duration_s": [1, 1.3, "1.3", 0, -1, 400, 700, float("inf"), "1e0"],
    "fps": [8, 12, 7.5, 200, "8"],
    "strength": [0.5, "0.5", 0, 1.5, float("nan")],
    "motion_bucket_id": [127, "127", 0, 300, 12.5],
    "sampler": ["euler", "Euler", "", "x" * 50],
    "upscale": [True, "yes", 1, 2, "perhaps", 0.5],
    "focus": [{"x": 0.2, "y": 0.3}, {"x": 2}, {"z": 1}, "left"],
    "format": ["mp4", "webm", "MP4", "avi", 3],
    "quality": ["low", "best", None],
    "model": ["pocket", " pocket ", "Pocket", "sora-2", "../x", 5],
    "loras": [
        *([{"source": name, "weight": 0.5}] for name in LORAS),
        [{"source": "oil"}], [{"source": "oil", "weight": 0}], [{"source": "oil", "weight": "0.5"}],
        [{"source": "oil", "weight": float("nan")}], [{"source": "oil", "weight": True}],
        [{"source": "oil", "weight": 9}], [{"source": "oil", "wieght": 1}], [{"source": "nowhere"}],
        [{"source": "oil"}, {"source": "oil", "weight": 0.2}], [{"source": "../oil"}],
        [{"source": "oil"}, {"source": "oil.safetensors"}], "oil", ["oil"], {"source": "oil"},
    ],
    "promt": ["a dog"],
    "allow_fallback": [False, "no", "perhaps"],
}  # fmt: skip


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    import torch

    opened = Doors(tmp_path_factory.mktemp("doors"))
    layer = {"x.lora_A.weight": torch.ones(4, 8), "x.lora_B.weight": torch.ones(8, 4)}
    for name in LORAS:
        file = opened.settings.loras_folder / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(layer, file)
    yield opened
    opened.close()


def is_honest(field: str, typed: Any, outcome: Outcome) -> None:
    if outcome.job is None:
        named = (field, field.replace("_", " "), f"--{field}", *WORDS.get(field, ()))
        said = outcome.sentence.lower()
        assert any(word in said for word in named), (field, typed, outcome.sentence)
        return
    if field not in outcome.adjusted:
        assert field in GenerationRequest.model_fields, f"“{field}” disappeared"
        used = getattr(outcome.job.fitted, field, None)
        if field == "duration_s":
            used = outcome.job.fitted.duration_s
        assert is_same(field, typed, used), (field, typed, used)


def is_same(field: str, typed: Any, used: Any) -> bool:
    if typed is None or (field == "seed" and str(typed).strip() in ("", "-1", "-1.0")):
        return used is not None
    if field in ("prompt", "negative_prompt"):
        return typed == used
    if field == "loras":
        named = [each for each in typed if each["source"].strip()]  # a row that is not filled in
        wanted = [(each["source"], float(each.get("weight", 1))) for each in named]
        return wanted == [(each.source, each.weight) for each in used]
    if field in ("upscale", "allow_fallback"):
        return TypeAdapter(bool).validate_python(typed) == used
    if field == "focus":
        return typed == used.model_dump()
    if isinstance(typed, str) and not isinstance(used, int | float):
        return typed.strip() == (used or "")
    return not isinstance(typed, bool) and math.isclose(float(typed), float(used), rel_tol=1e-9)


def type_at(doors: Doors, door: str, field: str, typed: Any) -> Outcome:
    asked = {"prompt": PROMPT, "model": "pocket"}
    if field == "sampler":
        asked["model"] = "wan"
    return getattr(doors, door)(asked | {field: typed})


def can_say(door: str, field: str, typed: Any) -> bool:
    """Some doors have no place for it, or no way to write it down."""
    if door == "tool":
        known = {"negative_prompt", "seed", "num_inference_steps", "guidance_scale", "width",
                 "height", "duration_s", "model", "prompt", "promt"}  # fmt: skip
        return field in known
    if door == "client":
        return field not in ("strength", "motion_bucket_id", "focus")
    if door == "page":
        shown = {
            "prompt", "negative_prompt", "model", "seed", "fps", "format", "quality",
            "num_inference_steps", "guidance_scale", "sampler", "loras",
        }  # fmt: skip
        is_chosen = field in ("model", "format", "quality", "sampler")
        # a list shows what may be chosen; `Form` of another shape is no person's typing
        return field in shown and not is_chosen and not (field == "loras" and not _rows(typed))
    if door in ("form", "openai"):
        if field == "focus" and not isinstance(typed, dict):
            return door == "form"
        return typed != "" and typed is not None and typed != []
    return True


def _rows(typed: Any) -> bool:
    return isinstance(typed, list) and all(isinstance(each, dict) for each in typed)


@pytest.mark.parametrize("field", CASES)
@pytest.mark.parametrize("door", PROGRAMS)
def test_what_is_typed_is_used_or_reported_or_refused(doors: Doors, door: str, field: str) -> None:
    for typed in CASES[field]:
        if can_say(door, field, typed):
            is_honest(field, typed, type_at(doors, door, field, typed))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "seed": st.one_of(
        st.integers(-(2**70), 2**70), st.floats(), st.integers().map(str), st.floats().map(str),
        st.text(max_size=12),
    ),
    "prompt": st.text(min_size=1, max_size=60).map(lambda text: f"a {text}"),
    "negative_prompt": st.text(max_size=60),
    "guidance_scale": st.one_of(st.floats(), st.floats(0, 30), st.floats(1, 10).map(str)),
    "num_frames": st.one_of(st.integers(-5, 60), st.floats(0, 40), st.text(max_size=4)),
    "duration_s": st.one_of(st.floats(0, 5), st.floats()),
    "width": st.one_of(st.integers(10, 200), st.floats(10, 200)),
    "num_inference_steps": st.one_of(st.integers(-2, 80), st.floats(0, 60)),
    "loras": st.lists(
        st.fixed_dictionaries(
            {"source": st.sampled_from(LORAS) | st.text(max_size=20)},
            optional={"weight": st.floats(-6, 6) | st.just(float("nan"))},
        ),
        max_size=3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("door", PROGRAMS)
@settings(max_examples=60)
@given(data=st.data())
def test_whatever_is_typed_is_used_or_reported_or_refused(
    doors: Doors, door: str, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(VALUES)))
    typed = data.draw(VALUES[field])
    try:
        json.dumps(typed).encode("utf-8")
        "".join(str(typed)).encode("utf-8")
    except UnicodeEncodeError:  # no client can send half a character
        return
    if can_say(door, field, typed):
        is_honest(field, typed, type_at(doors, door, field, typed))


COMMAND: list[tuple[str, Any]] = [
    ("seed", -1), ("seed", 3.7), ("seed", "1e5"), ("seed", 2**64), ("seed", MAX_SEED),
    ("prompt", f" {PROMPT}\n"), ("prompt", "x" * 2001), ("prompt", LONG), ("prompt", "a\x1bb"),
    ("negative_prompt", ""), ("negative_prompt", "z" * 2001),
    ("guidance_scale", "nan"), ("guidance_scale", 2.5), ("strength", 0.5), ("motion_bucket_id", 5),
    ("num_frames", 10), ("duration_s", 1.3), ("sampler", "euler"), ("promt", "a dog"),
    *(("loras", [{"source": name, "weight": 0.5}]) for name in LORAS),
    ("loras", [{"source": "water:colour:2"}]), ("loras", [{"source": "oil", "weight": "nan"}]),
]  # fmt: skip


@pytest.mark.parametrize(("field", "typed"), COMMAND)
def test_the_command_line_uses_reports_or_refuses_it_too(
    doors: Doors, field: str, typed: Any
) -> None:
    is_honest(field, typed, doors.command({"prompt": PROMPT, field: typed}))


# -- models that take less -----------------------------------------------------------------------


@pytest.mark.parametrize("door", ["rest", "form", "openai", "batch", "requests", "client", "tool"])
@pytest.mark.parametrize(
    ("field", "typed"),
    [("negative_prompt", "rain"), ("guidance_scale", 7.0), ("num_inference_steps", 20)],
)
def test_what_a_distilled_model_does_not_take_is_reported_or_refused(
    doors: Doors, door: str, field: str, typed: Any
) -> None:
    outcome = getattr(doors, door)({"prompt": PROMPT, "model": "distilled", field: typed})
    is_honest(field, typed, outcome)
    if outcome.job:
        (change,) = (a for a in outcome.job.fitted.adjustments if a.field == field)
        assert "is not used" in change.sentence


def test_a_negative_prompt_without_guidance_is_reported(doors: Doors) -> None:
    outcome = doors.rest(
        {"prompt": PROMPT, "model": "pocket", "negative_prompt": "rain", "guidance_scale": 1}
    )
    assert "negative_prompt" in outcome.adjusted


def test_the_page_hides_what_a_model_does_not_take(doors: Doors) -> None:
    """Its control keeps its value for the next model, unseen, so there is nothing to report."""
    typed = {"prompt": PROMPT, "model": "distilled", "negative_prompt": "rain", "guidance_scale": 1}
    outcome = doors.page(typed)
    assert outcome.job
    assert outcome.adjusted == set()


# -- settings that contradict each other ---------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/generate", '{"prompt": "a dog", "seed": 1, "seed": 2}', "seed"),
        ("/api/generate", '{"prompt": "a dog", "num_frames": 9, "duration_s": 3}', "duration_s"),
        ("/api/generate?seed=5", '{"prompt": "a dog"}', "seed"),
        ("/api/batches?seed=5", '{"prompts": ["a dog"]}', "seed"),
        ("/api/batches", '{"prompts": ["a dog"], "prompt": "a cat"}', "prompt"),
        ("/v1/videos", '{"prompt": "a dog", "seconds": "1", "duration_s": 2}', "duration_s"),
        ("/v1/videos", '{"prompt": "a dog", "size": "64x64", "width": 96}', "width"),
        ("/api/video/text-to-video", '{"prompt": "a", "steps": 3, "num_inference_steps": 4}',
         "num_inference_steps"),
        ("/api/generate", '{"prompt": "a dog", "reuse": "perhaps"}', "reuse"),
    ],
)  # fmt: skip
def test_contradictions_are_refused_by_name(doors: Doors, path: str, body: str, field: str) -> None:
    answer = doors._post(path, content=body)
    assert answer.status_code == 422, answer.text
    said: dict[str, Any] = answer.json()
    assert field in (said["details"].get("field"), said["message"].split("”")[0].lstrip("“"))


def test_a_random_seed_is_random_each_time_and_never_a_stored_clip(doors: Doors) -> None:
    made = [doors.rest({"prompt": PROMPT, "model": "pocket", "seed": -1}).job for _ in range(3)]
    assert len({job.fitted.seed for job in made if job}) == 3
    assert all(job and job.request.seed is None for job in made)


def test_a_request_of_an_earlier_version_can_still_be_read() -> None:
    from pipelines.field_types import STORED

    text = '{"prompt": "a\\u000bb"}'
    with pytest.raises(ValidationError):
        GenerationRequest.model_validate_json(text)
    assert GenerationRequest.model_validate_json(text, context=STORED).prompt == "a\x0bb"


# -- what is offered -----------------------------------------------------------------------------


def test_a_lora_that_is_added_while_the_app_runs_is_listed_at_every_door(doors: Doors) -> None:
    oil = doors.settings.loras_folder / "oil.safetensors"
    (oil.parent / "fresh (new).safetensors").write_bytes(oil.read_bytes())
    cards = {card["id"]: card for card in doors.http.get("/api/models").json()}
    assert "fresh (new)" in cards["pocket"]["loras"]
    assert cards["svd"]["loras"] == [], "it takes none"
    called = {card["id"]: card for card in doors.endpoints["models"].fn()}
    assert called["pocket"]["loras"] == cards["pocket"]["loras"]
    models = Models(doors.service.cards, doors.settings)
    shown = models.facts(doors.service.cards["pocket"], Task.TEXT_TO_VIDEO)
    assert shown["loras"] == cards["pocket"]["loras"]
    said = doors.run("models", "--json")
    (row,) = [row for row in json.loads(said.stdout) if row["id"] == "pocket"]
    assert row["loras"] == cards["pocket"]["loras"]


def test_no_field_of_the_page_cuts_what_is_pasted(doors: Doors) -> None:
    """A browser drops the end of a paste without a word; the server refuses it with a sentence."""
    boxes = [each for each in doors.demo.blocks.values() if isinstance(each, gr.Textbox)]
    assert len(boxes) > 6
    assert all(box.max_length is None for box in boxes)
    scripts = (ROOT / "ui" / "static").rglob("*.js")
    sets_it = re.compile(r"maxlength=|\.maxLength\s*=(?!=)|maxLength=")
    assert not [each for each in scripts if sets_it.search(each.read_text("utf-8"))]


def test_a_page_that_is_reloaded_asks_for_the_loras_anew(doors: Doors) -> None:
    at_load = [
        fn for fn in doors.demo.fns.values() if any(event == "load" for _, event in fn.targets)
    ]
    assert any(fn.fn.__name__ == "facts_of" for fn in at_load if fn.fn)
