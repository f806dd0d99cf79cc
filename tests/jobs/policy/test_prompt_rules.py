"""The rules for prompts, by two lists of prompts and by disguises."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from jobs.policy.fold_text import LEET, LOOK_ALIKES, fold, unfolded
from jobs.policy.prompt_rules import load_rules
from settings import ROOT

HERE = Path(__file__).parent
RULES = load_rules(ROOT / "presets" / "policy.yaml")
INNOCENT = [
    line
    for line in (HERE / "innocent_prompts.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
REFUSED: dict[str, list[str]] = yaml.safe_load(
    (HERE / "refused_prompts.yaml").read_text(encoding="utf-8")
)
WORDS = ("nude", "pornography", "decapitated", "suicide", "swastika", "deepfake")
"""Each is refused by itself, and has letters for every disguise."""


def test_innocent_prompts_pass_and_the_others_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    false_alarms = [prompt for prompt in INNOCENT if RULES.find(prompt)]
    pairs = [(category, prompt) for category, prompts in REFUSED.items() for prompt in prompts]
    missed = [
        (category, prompt)
        for category, prompt in pairs
        if (found := RULES.find(prompt)) is None or found.category != category
    ]
    with capsys.disabled():
        print(
            f"\nContent policy: {len(false_alarms)} of {len(INNOCENT)} innocent prompts refused, "
            f"{len(missed)} of {len(pairs)} others missed."
        )
    assert len(INNOCENT) >= 300
    assert len(set(INNOCENT)) == len(INNOCENT)
    assert len(false_alarms) <= len(INNOCENT) / 100, false_alarms
    assert not missed
    assert REFUSED.keys() == RULES.categories.keys()


def test_a_naive_filter_would_refuse_many_of_the_innocent_ones() -> None:
    """Else the list would show nothing."""
    naive = "breast shoot naked nude sex cock dick ass tit kill blood bomb gun child drug nazi gore"
    found = [p for p in INNOCENT if any(word in p.lower() for word in naive.split())]
    assert len(found) > 100


def look_alike(letter: str) -> st.SearchStrategy[str]:
    signs = [sign for sign, plain in LEET.items() if plain == letter and sign not in "!|+1"]
    wide = chr(ord(letter) + 0xFEE0)
    bold = chr(ord(letter) - ord("a") + 0x1D41A)
    forms = [letter, letter.upper(), wide, bold, f"{letter}\u0301", f"{letter}\u200b"]
    return st.sampled_from([*forms, *signs, *LOOK_ALIKES.get(letter, "")])


@given(st.data(), st.sampled_from(WORDS))
def test_look_alikes_accents_and_digits_hide_nothing(data: st.DataObject, word: str) -> None:
    disguised = "".join(data.draw(look_alike(letter)) for letter in word)
    assert RULES.find(f"in the park, {disguised}, at noon"), disguised


@given(
    st.sampled_from(WORDS), st.sampled_from([" ", "  ", ".", "-", "_", "*", " . ", "\u00a0", "'"])
)
def test_spaces_and_signs_between_the_letters_hide_nothing(word: str, between: str) -> None:
    spaced = between.join(word)
    assert RULES.find(f"in the park {spaced} at noon"), spaced
    assert RULES.find(f"a {spaced.upper()} b"), spaced


@given(st.data(), st.sampled_from(WORDS))
def test_stretched_letters_hide_nothing(data: st.DataObject, word: str) -> None:
    at = data.draw(st.integers(0, len(word) - 1))
    times = data.draw(st.integers(3, 8))
    stretched = word[:at] + word[at] * times + word[at + 1 :]
    assert RULES.find(f"in the park, {stretched}, at noon"), stretched


@given(st.sampled_from(WORDS), st.sampled_from(list("([{\"'«“„*_#>")), st.sampled_from("!?.,;:…)"))
def test_punctuation_hides_nothing(word: str, before: str, after: str) -> None:
    assert RULES.find(f"{before}{word}{after}")


@given(st.sampled_from(INNOCENT), st.sampled_from(INNOCENT))
def test_a_word_counts_also_among_innocent_prompts(one: str, other: str) -> None:
    assert RULES.find(f"{one}, nude, {other}")


@given(st.text(max_size=300))
def test_any_text_can_be_searched_and_quoted(text: str) -> None:
    RULES.find(text)
    assert fold(fold(text)) == fold(text)
    assert fold(unfolded(text, 0, len(fold(text)))) == fold(text)


@given(st.text(max_size=30), st.text(max_size=30))
def test_the_words_that_were_found_are_as_they_were_written(before: str, after: str) -> None:
    found = RULES.find(f"{before} ｎＵdé {after}", ["sexual"])
    assert found
    assert any(word in f"{before} ｎＵdé {after}" for word in found.words)


@pytest.mark.parametrize(
    "hostile",
    [
        "a ",
        "n u d e ",
        "nude child naked ",
        "\u0301\u0316",
        "a.b",
        "x.n.u.d.e-",
        "全裸",
        "!e",
        "suicide squad ",
        "1l|!",
    ],
)
def test_the_time_grows_no_faster_than_the_text(hostile: str) -> None:
    def seconds(size: int) -> float:
        text = (hostile * size)[:size]
        taken: list[float] = []
        for _ in range(3):  # the best one: other work on the machine takes time, too
            began = time.thread_time()
            RULES.find(text, [])
            taken.append(time.thread_time() - began)
        return min(taken)

    small, large = seconds(10_000), seconds(100_000)
    # ten times the text; quadratic would be a hundred. The half second is for a busy machine.
    assert large < 20 * small + 0.5


def test_a_category_can_be_left_out() -> None:
    assert RULES.find("a nude woman", ["gore", "hate"]) is None
    found = RULES.find("a nude woman", ["sexual"])
    assert found is not None
    assert found.category == "sexual"


def test_an_exception_covers_its_words_and_no_others() -> None:
    assert RULES.find("a naked tree beside a woman") is None
    assert RULES.find("a naked woman beside a naked tree")
    assert RULES.find("suicide squad") is None
    assert RULES.find("suicide squad, suicide")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("groups: {}\ncategories: {x: {title: t, change: c, refuse: [y]}}", "does not exist: y"),
        ("groups: {}", "categories"),
        ("groups: {}\ncategories: {}\nrule: 1", "rule"),
        ("- a", "dict"),
        ("groups: {a: {en: [_ b]}}\ncategories: {}", "begins with a word"),
        ("a: [", "cannot be used"),
        ("groups: {a: {en: [no]}}\ncategories: {}", "groups.a.en.0"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(KinoraError) as refused:
        load_rules(path)
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert "rules.yaml" in refused.value.message
    assert problem in refused.value.message
    assert str(tmp_path) not in refused.value.message
