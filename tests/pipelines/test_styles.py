from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from errors import KinoraError
from pipelines.models.rules import RULES
from pipelines.styles import (
    MAX_FILE,
    Style,
    apply_template,
    find_style,
    has_phrase,
    join_negative,
    load_styles,
    read_styles,
    write_styles,
)

STYLES: Mapping[str, Style] = load_styles()
ISSUE = (
    "cinematic", "watercolour", "claymation", "pixel-art", "film-noir", "anime", "documentary",
    "stop-motion", "oil-painting", "line-drawing", "cyberpunk", "vintage-film", "isometric",
    "low-poly", "paper-cut-out",
)  # fmt: skip


def test_there_are_the_styles_that_people_expect_each_with_an_example() -> None:
    assert len(STYLES) >= 24
    assert set(ISSUE) <= set(STYLES)
    assert len({style.name for style in STYLES.values()}) == len(STYLES)
    for style in STYLES.values():
        assert style.example, style.id
        assert style.negative_prompt, style.id
        assert set(style.families) <= set(RULES), f"{style.id} names a family that does not exist"


def test_a_family_may_have_words_of_its_own() -> None:
    style = STYLES["cinematic"]
    assert style.template("animatediff") != style.template("wan")
    assert style.template(None) == style.template("a-family-of-tomorrow") == style


def test_what_the_prompt_says_already_is_not_said_again() -> None:
    template = "{prompt}, black and white, hard shadows"
    assert apply_template(template, "a cat, Black and White,") == (
        "a cat, Black and White, hard shadows"
    )
    assert apply_template(template, "hard shadows, black and white") == (
        "hard shadows, black and white"
    )
    assert apply_template("film noir, {prompt}", "a catfilm noirish") == (
        "film noir, a catfilm noirish"
    ), "whole words count"


def test_a_sentence_gets_another_one() -> None:
    assert apply_template("{prompt}, soft light", "A cat runs.") == "A cat runs. Soft light"


def test_negative_prompts_are_joined_without_repeats() -> None:
    assert join_negative("blurred, Photo.", "photo, text") == "blurred, Photo, text"
    assert join_negative("", "photo, photo") == "photo"
    assert join_negative("photo", "") == "photo"


PROMPT = st.text(
    st.sampled_from("ab ,.;!{}\n\u00e9\u00df\u4e00") | st.characters(max_codepoint=0x1FF),
    max_size=40,
) | st.sampled_from([style.example for style in STYLES.values()])
STYLE = st.sampled_from([*STYLES.values()])


@given(PROMPT, STYLE, st.sampled_from([None, "animatediff", "ltx"]))
def test_a_style_keeps_the_words_adds_its_own_and_is_applied_once(
    prompt: str, style: Style, family: str | None
) -> None:
    template = style.template(family).prompt
    made = apply_template(template, prompt)
    assert made.startswith(prompt.rstrip().rstrip(",;").rstrip())
    assert apply_template(template, made) == made
    for phrase in template.replace("{prompt}", "").split(","):
        assert not phrase.strip() or has_phrase(made, phrase)
    negative = join_negative(prompt, style.negative_prompt)
    assert join_negative(negative, style.negative_prompt) == negative


@given(
    PROMPT, st.sampled_from(["A painting of {prompt}.", "oils, {prompt}", "see: {prompt}, a, b."])
)
def test_words_before_the_prompt_are_written_once(prompt: str, template: str) -> None:
    made = apply_template(template, prompt)
    assert prompt.strip().rstrip(",;") in made
    assert apply_template(template, made) == made


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("Cinematic", "cinematic"), ("FILM NOIR", "film-noir"), (" anime ", "anime")],
)
def test_a_style_is_found_by_its_id_and_by_its_name(typed: str, meant: str) -> None:
    assert find_style(typed, STYLES).id == meant


def test_an_unknown_style_names_the_nearest() -> None:
    with pytest.raises(KinoraError, match="Did you mean “watercolour”") as caught:
        find_style("watercolor", STYLES)
    assert caught.value.details == {"field": "style"}
    assert caught.value.action == {"label": "Use Watercolour", "set": {"style": "watercolour"}}
    with pytest.raises(KinoraError, match=r"There are: cinematic, documentary"):
        find_style("xyzzy", STYLES)


def test_a_file_of_styles_is_written_and_read_again() -> None:
    styles = [STYLES["cinematic"], STYLES["anime"]]
    text = write_styles(styles)
    assert read_styles(text.encode()) == styles
    assert list(yaml.safe_load(text)[0])[:2] == ["id", "name"]


GOOD = {"id": "mine", "name": "Mine", "prompt": "{prompt}, mine"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[a: &x 1, *x]", "no YAML"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\n", "no YAML"),
        (b"!!python/object/apply:os.system [ls]", "no YAML, see line 1"),
        (b"- id: x\n  name: [", "no YAML, see line"),
        (b"{}", "should be a list"),
        (b"", "should be a list"),
        (b"\xff\xfe", "no text in UTF-8"),
        (b"[" * 5000, "no YAML"),
        (b" " * (MAX_FILE + 1), "larger than 100 kB"),
        (yaml.safe_dump([GOOD, dict(GOOD)]).encode(), "“mine” is in it twice"),
        (yaml.safe_dump([GOOD | {"id": str(n)} for n in range(51)]).encode(), "at most 50"),
        (yaml.safe_dump([GOOD | {"prompt": "none"}]).encode(), "should have {prompt} once"),
        (yaml.safe_dump([GOOD | {"id": "../x"}]).encode(), "style 1 (“../x”), id"),
        (yaml.safe_dump([GOOD | {"colour": 1}]).encode(), "colour"),
        (yaml.safe_dump([GOOD | {"name": "a\nb"}]).encode(), "one line"),
        (yaml.safe_dump([GOOD | {"prompt": "{prompt}" + "x" * 600}]).encode(), "600 characters"),
        (yaml.safe_dump([GOOD | {"families": {"Wan!": GOOD}}]).encode(), "families"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(data: bytes, words: str) -> None:
    with pytest.raises(KinoraError, match="The styles cannot be read") as caught:
        read_styles(data)
    assert words in caught.value.message
    assert caught.value.message.endswith(".")


def test_a_broken_file_of_the_operator_is_named(tmp_path: Path) -> None:
    path = tmp_path / "styles.yaml"
    path.write_text("- {id: a}")
    with pytest.raises(KinoraError, match="style 1"):
        load_styles(path)
