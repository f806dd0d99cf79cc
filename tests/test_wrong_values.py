"""A wrong value gets the same sentence from the HTTP API, the page and the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import request_body
from cli.generate import request_from
from errors import KinoraError
from pipelines.request import MAX_SEED, REQUEST_FIELDS, GenerationRequest
from pipelines.request_fields import Kind, RequestField
from pipelines.validation_errors import name_of
from settings import Settings
from tests.doors import PROMPT, Doors
from ui import form as slate
from ui.form import PAGE_FIELDS, Form

TYPED: dict[Kind, tuple[str, ...]] = {
    Kind.INTEGER: ("many", "3.7", "1e5", "1_000", "１２", "-99", "9" * 30, "nan", "true"),
    Kind.NUMBER: ("much", "nan", "inf", "-5", "1e9", "1,5", "0x10"),
    Kind.TEXT: ("a\x00b", "a\x1bb", "\x7f", "x" * 3000),
    Kind.CHOICE: ("avi", "MP4", "best"),
}
"""Wrong as they are typed, each for its kind of field."""
FIELDS = [field for field in REQUEST_FIELDS.values() if field.kind in TYPED]
WRONG = [(field.name, typed) for field in FIELDS for typed in TYPED[field.kind]]
ANY_TEXT = st.one_of(
    st.text(max_size=20), st.integers().map(str), st.floats().map(str), st.text("0123456789.e-_")
)


def refusals(field: RequestField, typed: str) -> dict[str, KinoraError | None]:
    """What each interface says of the value; None where it takes it."""
    task = field.tasks[0]
    doors: dict[str, Any] = {
        "api": lambda: request_body.build_request({field.name: typed}),
        "command line": lambda: request_from({field.name: typed}, Settings.load()),
    }
    if field.name in PAGE_FIELDS:
        doors["page"] = lambda: slate.to_request(Form(**{field.name: typed}), None, task)
    said: dict[str, KinoraError | None] = {}
    for door, build in doors.items():
        try:
            build()
            said[door] = None
        except KinoraError as error:
            said[door] = error
    return said


def is_the_same_everywhere(field: RequestField, typed: str) -> bool:
    """Whether it was refused. The field is named as people and as programs know it."""
    said = refusals(field, typed)
    bodies = {json.dumps(error.as_dict()) if error else "" for error in said.values()}
    assert len(bodies) == 1, said
    error = said["api"]
    if error is None:
        return False
    assert error.details["field"] == field.name
    assert error.message.endswith((".", "?", "!"))
    assert name_of(field.name) in error.message or field.refusal, error.message
    return True


@pytest.mark.parametrize(("name", "typed"), WRONG)
def test_each_wrong_value_gets_one_sentence_at_the_three_doors(name: str, typed: str) -> None:
    assert is_the_same_everywhere(REQUEST_FIELDS[name], typed)


@settings(max_examples=150)
@given(field=st.sampled_from(FIELDS), typed=ANY_TEXT)
def test_whatever_is_typed_gets_one_answer_at_the_three_doors(
    field: RequestField, typed: str
) -> None:
    blank = not typed.strip()  # a control that nobody filled in
    if not (blank and field.name in PAGE_FIELDS):
        is_the_same_everywhere(field, typed)


LORAS: list[tuple[Any, str]] = [
    ([{"source": "../x"}], "“../x” cannot be the name of a LoRA"),
    ([{"source": "oil", "weight": 9}], "The weight of a LoRA must be a number between -4 and 4"),
    ([{"source": "oil", "weight": "much"}], "The weight of a LoRA must be a number"),
    ([{"source": "oil"}] * 9, "“LoRA” (loras) cannot be used: it has 9 entries; at most 8"),
    (["oil"], "“LoRA” (loras.0) cannot be used: it should be an object"),
    ("oil", "“LoRA” (loras) cannot be used: it should be a list"),
    ([{"source": "oil", "wieght": 1}], "There is no setting called “loras.0.wieght”"),
    ([{"weight": 1}], "“LoRA” (loras.0.source) is required but missing"),
]


@pytest.mark.parametrize(("rows", "sentence"), LORAS)
def test_a_wrong_lora_gets_one_sentence(rows: Any, sentence: str) -> None:
    def api() -> GenerationRequest:
        return request_body.build_request({"loras": json.dumps(rows)})

    def page() -> GenerationRequest:
        return slate.to_request(Form(loras=rows))

    for door in (api, page):
        if door is page and rows == [{"weight": 1}]:
            assert page().loras == (), "a row that nobody filled in"
            continue
        with pytest.raises(KinoraError) as refused:
            door()
        assert refused.value.message.startswith(sentence)


def test_a_wrong_seed_comes_with_its_repair_at_each_door() -> None:
    for error in refusals(REQUEST_FIELDS["seed"], str(MAX_SEED + 1)).values():
        assert error and error.action
        assert error.action["set"] == {"seed": None}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    opened = Doors(tmp_path_factory.mktemp("doors"))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("name", "typed"),
    [("seed", "twelve"), ("num_inference_steps", "3.7"), ("guidance_scale", "nan"), ("fps", "999"),
     ("negative_prompt", "z" * 2001), ("quality", "best")],
)  # fmt: skip
def test_the_sentence_arrives_through_every_door(doors: Doors, name: str, typed: str) -> None:
    asked = {"prompt": PROMPT, "model": "pocket", name: typed}
    said = {
        door: getattr(doors, door)(asked).sentence
        for door in ("rest", "form", "openai", "batch", "page", "client", "command")
    }
    assert len(set(said.values())) == 1, said
    assert said["rest"]
