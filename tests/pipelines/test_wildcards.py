from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.wildcard_files import MAX_BYTES, WildcardFiles
from pipelines.wildcards import (
    ESCAPED,
    MAX_PARTS,
    Lines,
    Variants,
    WildcardError,
    expand,
    parse,
)
from settings import ROOT

SECONDS = 0.5
"""More than any prompt of 2,000 letters may take."""


class Known:
    """Lists in memory."""

    def __init__(self, **lists: list[str]) -> None:
        self.lists = lists

    def names(self) -> list[str]:
        return sorted(self.lists)

    def get(self, name: str) -> Lines | None:
        return [parse(line) for line in self.lists[name]] if name in self.lists else None


NONE = Known()
ANIMALS = Known(animal=["cat", "dog", "{big|small} owl"], birds=["__animal__ and crow"])


def refused(text: str, lists: Known = NONE) -> WildcardError:
    with pytest.raises(WildcardError) as caught:
        expand(text, lists, 1)
    return caught.value


def seen(text: str, lists: Known = NONE, seeds: int = 300) -> Counter[str]:
    return Counter(expand(text, lists, seed) for seed in range(seeds))


def test_one_of_several_is_chosen_and_each_comes_up() -> None:
    found = seen("a {red|green|blue} ball", seeds=600)
    assert set(found) == {"a red ball", "a green ball", "a blue ball"}
    assert min(found.values()) > 150


def test_several_different_ones_are_joined() -> None:
    assert set(seen("{2$$a|b|c}")) == {"a, b", "a, c", "b, a", "b, c", "c, a", "c, b"}
    assert set(seen("{2$$ and $$a|b}")) == {"a and b", "b and a"}
    assert set(seen("{1-2$$+$$a|b}")) == {"a", "b", "a+b", "b+a"}
    assert expand("{0$$a|b}c", NONE, 1) == "c"


def test_choices_nest_and_may_be_empty() -> None:
    assert set(seen("a {{dark |}red|blue} ball")) == {
        "a dark red ball",
        "a red ball",
        "a blue ball",
    }


def test_a_list_gives_one_of_its_lines_which_may_choose_again() -> None:
    assert set(seen("a __animal__", ANIMALS)) == {"a cat", "a dog", "a big owl", "a small owl"}
    assert expand("__birds__", ANIMALS, 3).endswith(" and crow")


def test_escaped_letters_are_plain() -> None:
    assert expand(r"a \{set\|x\} \__animal__ {a\|b}", ANIMALS, 1) == "a {set|x} __animal__ a|b"
    assert expand(r"C:\new {a}", NONE, 1) == r"C:\new a"


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("a {red|green", 3, "no “}” after it"),
        ("ab } c", 4, "no “{” before it"),
        ("x {3$$a|b}", 3, "need 3 of 2"),
        ("x {2-1$$a|b}", 3, "2 to 1"),
        ("{a|{b|c}", 1, "no “}” after it"),
        ("a __animla__", 3, "Did you mean __animal__?"),
        ("{a|__zzz__}", 4, "There are: __animal__, __birds__."),
        ("{" * 20, 17, "nested deeper"),
    ],
)
def test_a_fault_names_its_column(text: str, column: int, words: str) -> None:
    error = refused(text, ANIMALS)
    assert error.column == column
    assert words in error.sentence
    assert error.sentence.endswith((".", "?"))


def test_a_list_that_names_itself_is_refused_whatever_the_seed() -> None:
    lists = Known(a=["x", "x", "x", "__b__"], b=["{y|__a__}"])
    for seed in range(5):
        with pytest.raises(WildcardError, match="names itself: a → b → a"):
            expand("go {nothing|__a__}", lists, seed)


def test_lists_that_double_each_other_end_in_a_sentence() -> None:
    lists = Known(**{f"l{n}": [f"__l{n + 1}____l{n + 1}__"] for n in range(14)}, l14=["x"])
    began = time.perf_counter()
    assert "far too long" in refused("__l0__", lists).sentence
    assert time.perf_counter() - began < SECONDS
    assert MAX_PARTS < 2**14


@pytest.mark.parametrize(
    "text",
    ["{" * 2000, "{|" * 1000, "_" * 2000, "__a" * 666, "{2$$" * 500, "\\" * 2000, "{a|" * 600 + "}",
     "__animal__" * 200, "{" + "a|" * 990 + "b}", "{1-" * 600, "$$" * 1000],
)  # fmt: skip
def test_hostile_text_takes_no_time(text: str) -> None:
    began = time.perf_counter()
    try:
        expand(text, ANIMALS, 1)
    except WildcardError as error:
        assert 1 <= error.column <= len(text)
    assert time.perf_counter() - began < SECONDS


def test_the_same_seed_makes_the_same_choices_in_every_process() -> None:
    text = "{a|b|c|d|e|f|g} {3$$h|i|j|k|l} __scene__"
    code = (
        "from pipelines.wildcards import expand\n"
        "from pipelines.wildcard_files import WildcardFiles\n"
        "from pathlib import Path\n"
        f"print(expand({text!r}, WildcardFiles((Path('presets/wildcards'),)), 11))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONHASHSEED": "12345"},
    )  # fmt: skip
    lists = WildcardFiles((ROOT / "presets" / "wildcards",))
    assert done.stdout == f"{expand(text, lists, 11)}\n"
    assert expand("{a|b|c|d|e|f|g} {3$$h|i|j|k|l}", NONE, 11) == "d j, k, i", "in every version"


LETTERS = st.characters(max_codepoint=0x2FF)
TEXT = st.text(st.sampled_from("ab{}|$_\\ 12-"), max_size=60) | st.text(LETTERS, max_size=60)


@given(TEXT, st.integers(0, 2**32 - 1))
def test_any_text_is_expanded_or_refused_at_a_place_in_it(text: str, seed: int) -> None:
    try:
        made = expand(text, ANIMALS, seed)
    except WildcardError as error:
        assert 1 <= error.column <= len(text)
        return
    assert made == expand(text, ANIMALS, seed)


@given(st.text(LETTERS, max_size=60), st.integers(0, 2**32 - 1))
def test_escaped_text_comes_out_as_it_was(text: str, seed: int) -> None:
    escaped = "".join(f"\\{letter}" if letter in ESCAPED else letter for letter in text)
    assert expand(escaped, NONE, seed) == text


OPTIONS = st.lists(st.text(st.sampled_from("abc "), max_size=3), min_size=1, max_size=5)


@given(OPTIONS, st.integers(0, 2**32 - 1), st.data())
def test_so_many_of_the_options_are_chosen_as_were_asked_for(
    options: list[str], seed: int, data: st.DataObject
) -> None:
    low = data.draw(st.integers(0, len(options)))
    high = data.draw(st.integers(low, len(options)))
    text = f"{{{low}-{high}$$/$${'|'.join(options)}}}"
    (parsed,) = parse(text)
    assert isinstance(parsed, Variants)
    assert (parsed.low, parsed.high, parsed.separator) == (low, high, "/")
    made = expand(text, NONE, seed)
    chosen = made.split("/") if made or high else []
    assert not Counter(chosen) - Counter([*options, ""])
    assert len(chosen) <= max(high, 1)


# -- files -----------------------------------------------------------------------------------------


def write(folder: Path, **files: str) -> WildcardFiles:
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return WildcardFiles((folder,))


def test_every_list_of_ours_can_be_drawn_from() -> None:
    lists = WildcardFiles((ROOT / "presets" / "wildcards",))
    names = lists.names()
    assert {"animal", "place", "camera", "light", "scene"} <= set(names)
    for name in names:
        for seed in range(20):
            made = expand(f"__{name}__", lists, seed)
            assert made.strip() == made
            assert not set("{}|_") & set(made), made


def test_comments_and_empty_lines_are_no_choices(tmp_path: Path) -> None:
    lists = write(tmp_path, colour="\ufeff# colours\n\n red \n")
    assert expand("__colour__", lists, 1) == "red"
    assert lists.examples(3) == {"colour": ["red"]}


def test_examples_are_the_first_whole_lines(tmp_path: Path) -> None:
    many = "\n".join(f"line {n} é" for n in range(2000))
    lists = write(tmp_path, long=many, one="é" * 5000)
    (tmp_path / "latin.txt").write_bytes("grün".encode("latin-1"))
    assert lists.examples(2) == {"latin": [], "long": ["line 0 é", "line 1 é"], "one": []}
    assert lists.examples(5000)["long"][-1].endswith(" é")


def test_a_later_folder_comes_first_and_changes_are_seen(tmp_path: Path) -> None:
    (tmp_path / "own" / "my").mkdir(parents=True)
    (tmp_path / "own" / "colour.txt").write_text("mine\n")
    (tmp_path / "own" / "my" / "cats.txt").write_text("tabby\n")
    write(tmp_path, colour="theirs")
    lists = WildcardFiles((tmp_path, tmp_path / "own"))
    assert expand("__colour__ __my/cats__", lists, 1) == "mine tabby"
    (tmp_path / "own" / "colour.txt").write_text("changed\n")
    assert expand("__colour__", lists, 1) == "changed"


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret\n")
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "odd name.txt").write_text("x\n")
    lists = write(folder, good="fine")
    assert lists.names() == ["good"]
    for name in ("link", "../secret", "/etc/passwd", str(tmp_path / "secret"), "good.txt", "*"):
        assert lists.get(name) is None
    assert expand("__../secret__", lists, 1) == "__../secret__", "dots are no part of a name"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("fine\n{broken\n", "line 2: The “{” in column 1"),
        ("x" * 501, "Line 1"),
        ("a\x00b", "Line 1"),
        ("a\n" * 5001, "more than 5000 lines"),
        ("a" * (MAX_BYTES + 1), "larger than 256 kB"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    lists = write(tmp_path, bad=text)
    with pytest.raises(WildcardError, match="__bad__") as caught:
        expand("ab __bad__", lists, 1)
    assert words in caught.value.sentence
    assert caught.value.column == 4


def test_a_list_in_another_encoding_says_so(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes("grün".encode("latin-1"))
    with pytest.raises(WildcardError, match="no text in UTF-8"):
        expand("__bad__", WildcardFiles((tmp_path,)), 1)
