"""Requests from a CSV: what is read, and which line and column an error names."""

from __future__ import annotations

import csv
import io

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from pipelines.request import MAX_SEED, GenerationRequest
from pipelines.request_csv import decode_csv, parse_csv


def requests(text: str, **common: object) -> list[GenerationRequest]:
    return [row.build(common, {}) for row in parse_csv(text, 32)]


def refusal(text: str, **common: object) -> KinoraError:
    with pytest.raises(KinoraError) as refused:
        requests(text, **common)
    assert refused.value.code is ErrorCode.INVALID_INPUT
    return refused.value


def test_each_line_is_a_clip_and_an_empty_cell_leaves_its_field_out() -> None:
    text = 'Prompt,seed,steps,negative prompt\n"a dog, asleep",3,8,\n\na cat,,,blurred\n'
    first, second = requests(text, fps=8)
    assert (first.prompt, first.seed, first.num_inference_steps) == ("a dog, asleep", 3, 8)
    assert (first.negative_prompt, second.negative_prompt) == (None, "blurred")
    assert (second.seed, second.num_inference_steps, second.fps) == (None, None, 8)
    assert requests("prompt,seed\na,4", seed=7)[0].seed == 4, "the line has the last word"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheets_of_every_country_are_read(separator: str) -> None:
    text = separator.join(("prompt", "seed")) + "\r\n" + separator.join(("a dog", "3")) + "\r\n"
    for data in (text.encode(), text.encode("utf-8-sig"), text.encode("utf-16")):
        (request,) = requests(decode_csv(data))
        assert (request.prompt, request.seed) == ("a dog", 3)


def test_structured_fields_have_a_short_form() -> None:
    text = 'prompt,loras,focus\na,paint:0.5|owner/name,"{""x"": 0, ""y"": 1}"\nb,"[]",\n'
    first, second = requests(text)
    assert [(lora.source, lora.weight) for lora in first.loras] == [
        *(("paint", 0.5), ("owner/name", 1.0)),
    ]
    assert (first.focus.x, first.focus.y) == (0, 1)
    assert second.loras == ()


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", None, None, "it is empty"),
        ("\n\n", None, None, "it is empty"),
        ("prompt,seed\n", None, None, "no line after the first one"),
        ("prompt,colour\na,red", 1, 2, "no setting called “colour”"),
        ("prompt,\na,", 1, 2, "it has no name"),
        ("steps,num_inference_steps\n1,2", 1, 2, "named twice"),
        ("prompt,seed\na dog,3\na cat, asleep,4", 3, None, "3 cells, and the first line has 2"),
        ("prompt,seed\na dog", 2, None, "1 cells"),
        ('prompt,seed\n"a dog,3\n', 2, None, "quotation mark is not closed"),
        ('prompt,seed\n"two\nlines",3\na cat,x', 4, "seed", "whole number"),
        ("prompt,steps\na,2\n\nb,many", 4, "steps", "whole number"),
        ("prompt,Guidance\na,1e999", 2, "Guidance", "guidance_scale"),
        ("prompt,focus\na,{", 2, "focus", "not valid JSON"),
        ("prompt,loras\na,x:9", 2, "loras", "between -4 and 4"),
        ("prompt,format\na,avi", 2, "format", "mp4"),
        ("prompt\n" + "a\n" * 33, None, None, "more than 32 lines"),
    ],
)
def test_an_error_names_its_line_and_column(
    text: str, line: int | None, column: object, says: str
) -> None:
    error = refusal(text)
    assert says in error.message and error.message.endswith((".", "?"))
    assert (error.details.get("line"), error.details.get("column")) == (line, column)
    assert line is None or f"line {line}" in error.message
    assert error.details["field"] == "csv"


def test_an_error_of_what_is_common_is_not_blamed_on_a_line() -> None:
    error = refusal("prompt\na dog", seed="x")
    assert error.details["field"] == "seed" and "line" not in error.details


def test_what_is_no_text_is_refused() -> None:
    for data in (b"prompt\n\xff\xfe\xff", b"a" * 1_000_001, b"\xff\xfea"):
        with pytest.raises(KinoraError, match="The CSV cannot be used"):
            decode_csv(data)


TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('",;\t\n'), max_size=30
)


@given(
    st.lists(st.tuples(TEXTS.filter(str.strip), st.integers(0, MAX_SEED)), min_size=1, max_size=9),
    st.sampled_from(",;\t"),
)
def test_what_a_spreadsheet_writes_is_read_as_it_was(
    rows: list[tuple[str, int]], separator: str
) -> None:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=separator)
    writer.writerows([("prompt", "seed"), *rows])
    made = requests(written.getvalue())
    assert [(each.prompt, each.seed) for each in made] == [(p.strip(), seed) for p, seed in rows]


@hypothesis.settings(max_examples=50)
@given(st.binary(max_size=60) | TEXTS.map(lambda text: f"prompt,seed\n{text}".encode()))
def test_no_file_is_answered_with_anything_but_a_sentence(data: bytes) -> None:
    try:
        requests(decode_csv(data))
    except KinoraError as error:
        assert error.code is ErrorCode.INVALID_INPUT and error.message.endswith((".", "?"))
