"""Comparisons: how settings and values are read, and the request of each cell."""

from __future__ import annotations

import csv
import io

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from pipelines.models.comparison import ComparedSetting, compare, parse_settings, replace_words
from pipelines.request import MAX_SEED, GenerationRequest

DOG = GenerationRequest(prompt="a dog in the snow, a Dog!", seed=3)


def cells(request: GenerationRequest, *settings: object) -> list[GenerationRequest]:
    return [each.request for each in compare(request, parse_settings(list(settings)), 7)]


def sentence(*settings: object, request: GenerationRequest = DOG) -> str:
    with pytest.raises(KinoraError) as refused:
        cells(request, *settings)
    assert refused.value.code is ErrorCode.INVALID_INPUT
    return refused.value.message


def test_the_first_setting_varies_along_the_columns() -> None:
    settings = parse_settings(["guidance=2,4.50", "steps=5,6,7"])
    made = compare(DOG, settings, 7)
    assert [each.labels for each in made] == [
        *(("2", "5"), ("4.5", "5"), ("2", "6"), ("4.5", "6"), ("2", "7"), ("4.5", "7")),
    ]
    assert [(e.request.guidance_scale, e.request.num_inference_steps) for e in made] == [
        *((2, 5), (4.5, 5), (2, 6), (4.5, 6), (2, 7), (4.5, 7)),
    ]
    assert {each.request.seed for each in made} == {3}


@pytest.mark.parametrize(
    "given_",
    [
        "guidance_scale=2,4",
        ["--guidance=2, 4"],
        {"field": "guidance_scale", "values": [2, 4]},
        [{"field": "guidance", "values": "2,4"}],
        '[{"field": "guidance_scale", "values": [2, 4]}]',
        '["guidance=2,4"]',
    ],
)
def test_a_setting_is_written_in_several_ways(given_: object) -> None:
    made = compare(DOG, parse_settings(given_), 7)
    assert [each.request.guidance_scale for each in made] == [2, 4]


def test_every_cell_has_one_seed_unless_seeds_are_compared() -> None:
    unset = DOG.model_copy(update={"seed": None})
    assert {each.seed for each in cells(unset, "steps=2,3")} == {7}
    assert [each.seed for each in cells(unset, "seed=1,2,3")] == [1, 2, 3]


def test_words_of_the_prompt_are_replaced() -> None:
    made = cells(DOG, "prompt=dog=>dog,dog=>black cat", "prompt=snow=>sand")
    assert [each.prompt for each in made] == [
        "a dog in the sand, a dog!",
        "a black cat in the sand, a black cat!",
    ]
    labels = [each.labels for each in compare(DOG, parse_settings("prompt=dog=>cat,snow=>"), 7)]
    assert labels == [("dog → cat",), ("snow → nothing",)]
    assert [each.prompt for each in cells(DOG, 'prompt="a cat, asleep",a fish')] == [
        *("a cat, asleep", "a fish"),
    ]


def test_a_part_of_a_word_is_not_replaced() -> None:
    assert replace_words("a dog, a doghouse, C++", "C++=>Rust") == "a dog, a doghouse, Rust"
    assert replace_words("a dog, a doghouse", r"dog=>\1 cat") == r"a \1 cat, a doghouse"
    assert "does not contain “do”" in sentence("prompt=do=>cat,a=>b")


def test_the_weight_of_the_one_lora() -> None:
    one = DOG.model_copy(update={"loras": ()})
    with_lora = GenerationRequest.model_validate(
        {"prompt": "a dog", "loras": [{"source": "paint.safetensors", "weight": 1}]}
    )
    made = cells(with_lora, "lora_weight=0,0.5,-1")
    assert [each.loras[0].weight for each in made] == [0, 0.5, -1]
    assert "has no LoRA; add one" in sentence("lora-weight=0,1", request=one)
    assert "between -4 and 4" in sentence("lora_weight=0,9", request=with_lora)
    named = cells(with_lora, "loras=,ink:0.5,owner/name")
    assert [[(lo.source, lo.weight) for lo in each.loras] for each in named] == [
        *([], [("ink", 0.5)], [("owner/name", 1.0)]),
    ]


def test_a_length_in_seconds_takes_the_place_of_frames() -> None:
    request = DOG.model_copy(update={"num_frames": 9})
    assert [(e.num_frames, e.duration_s) for e in cells(request, "duration_s=1,2")] == [
        *((None, 1), (None, 2)),
    ]


def test_labels_say_what_an_empty_value_means() -> None:
    (setting,) = parse_settings("sampler=,unipc")
    assert [each.labels for each in compare(DOG, [setting], 7)] == [
        *(("the model's own",), ("unipc",)),
    ]
    assert setting.label == "Sampler"
    formats = compare(DOG, parse_settings("format=mp4,gif"), 7)
    assert [each.labels for each in formats] == [("MP4",), ("GIF",)]
    flags = compare(DOG, parse_settings("upscale=true,false"), 7)
    assert [each.labels for each in flags] == [("on",), ("off",)]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ((), "one or two settings can be compared, not 0"),
        (("steps=1,2", "fps=1,2", "seed=1,2"), "not 3"),
        (("steps",), "“steps” has no values"),
        (("steps=1,2,3,4,5,6",), "Steps has 6 values; 1 to 5"),
        (("steps=4",), "at least two values"),
        (("steps=1,2", "num_inference_steps=3,4"), "num_inference_steps is given twice"),
        (("colour=red,blue",), "no setting called “colour”"),
        (("image=a,b",), "Picture cannot be compared"),
        (("steps=4,many",), "should be a whole number"),
        (("guidance=2,1e999",), "Guidance"),
        (('prompt="a,b',), "quotation mark"),
        ((7,), "write each setting as"),
        (({"field": "steps"},), "write each setting as"),
        (({"field": "steps", "values": 3},), "must be a list"),
        (({"field": "focus", "values": ["{", "}"]},), "not valid JSON"),
        (({"field": "steps", "values": [[1], {}]},), "whole number"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_sentence(
    settings: tuple[object, ...], says: str
) -> None:
    assert says in sentence(*settings)


def test_json_that_is_none_is_refused() -> None:
    for text in ("[", '{"field": ', "[" * 100_000):
        with pytest.raises(KinoraError, match="not valid JSON"):
            parse_settings(text)


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map(str.strip)


@given(st.lists(WORDS.filter(lambda word: "=>" not in word), min_size=2, max_size=5))
def test_any_prompts_come_out_of_their_text_as_they_went_in(prompts: list[str]) -> None:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerow(prompts)
    made = cells(DOG, f"prompt={written.getvalue().strip()}")
    assert [each.prompt for each in made] == prompts


@given(
    st.lists(st.integers(0, MAX_SEED), min_size=2, max_size=5, unique=True),
    st.lists(st.integers(1, 200), min_size=1, max_size=5, unique=True),
)
def test_the_grid_has_every_pair_once_and_in_order(seeds: list[int], steps: list[int]) -> None:
    settings = [ComparedSetting("seed", tuple(seeds))]
    settings.append(ComparedSetting("num_inference_steps", tuple(steps)))
    made = [each.request for each in compare(DOG, settings, 7)]
    pairs = [(each.seed, each.num_inference_steps) for each in made]
    assert pairs == [(seed, step) for step in steps for seed in seeds]


@hypothesis.settings(max_examples=30)
@given(st.text(max_size=60))
def test_no_text_is_read_with_anything_but_a_sentence(text: str) -> None:
    try:
        compare(DOG, parse_settings(text), 7)
    except KinoraError as error:
        assert error.code is ErrorCode.INVALID_INPUT and error.message.endswith((".", "?"))
