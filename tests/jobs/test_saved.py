from __future__ import annotations

import json
import threading

import pytest

from errors import ErrorCode, KinoraError
from jobs.caller_styles import CallerStyles
from jobs.looks import Looks
from jobs.saved import MAX_BYTES, MAX_ITEMS, VISITOR_YEARS_S, SavedItems
from jobs.store import JobStore
from pipelines.styles import load_styles

ME, OTHER = "visitor:me", "visitor:other"
IMAGE = "a" * 64


@pytest.fixture
def saved(store: JobStore) -> SavedItems:
    return SavedItems(store.database)


def refused(call: object, *arguments: object) -> KinoraError:
    with pytest.raises(KinoraError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value


def test_an_item_is_its_owners_alone(saved: SavedItems) -> None:
    saved.put(ME, "look", {"a": {"n": 1}})
    assert saved.get(ME, "look", "a").body == {"n": 1}
    assert saved.list(OTHER, "look") == saved.list(ME, "style") == []
    for call in (saved.get, saved.delete):
        assert refused(call, OTHER, "look", "a").code is ErrorCode.NOT_FOUND
    saved.delete(ME, "look", "a")
    assert saved.list(ME, "look") == []


def test_there_are_so_many_and_no_more_and_all_of_them_or_none(saved: SavedItems) -> None:
    saved.put(ME, "look", {str(n): {} for n in range(MAX_ITEMS - 1)})
    error = refused(saved.put, ME, "look", {"x": {}, "y": {}})
    assert (error.code, len(saved.list(ME, "look"))) == (ErrorCode.CONFLICT, MAX_ITEMS - 1)
    saved.put(ME, "look", {"x": {}})
    saved.put(ME, "look", {"x": {"new": 1}})
    assert len(saved.list(ME, "look")) == MAX_ITEMS
    too_large = refused(saved.put, OTHER, "look", {"z": {"text": "é" * MAX_BYTES}})
    assert too_large.code is ErrorCode.TOO_LARGE


def test_threads_that_save_at_once_keep_the_limit(saved: SavedItems) -> None:
    saved.put(ME, "look", {str(n): {} for n in range(MAX_ITEMS - 2)})
    failed: list[KinoraError] = []

    def save(n: int) -> None:
        try:
            saved.put(ME, "look", {f"new {n}": {}})
        except KinoraError as error:
            failed.append(error)

    threads = [threading.Thread(target=save, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(failed), len(saved.list(ME, "look"))) == (4, MAX_ITEMS)


def test_what_a_visitor_saved_goes_when_its_cookie_has_expired(saved: SavedItems) -> None:
    for owner in (ME, "program:known"):
        saved.put(owner, "look", {"a": {}})
    at = saved.get(ME, "look", "a").saved_at
    assert saved.remove_of_past_visitors(at + VISITOR_YEARS_S - 1) == 0
    assert saved.remove_of_past_visitors(at + VISITOR_YEARS_S + 1) == 1
    assert saved.list(ME, "look") == []
    assert saved.list("program:known", "look")


# -- looks -----------------------------------------------------------------------------------------


def test_a_look_keeps_settings_and_no_inputs(saved: SavedItems) -> None:
    looks = Looks(saved)
    settings = {"prompt": "a {red|blue} cat", "seed": "4", "style": "anime", "width": None}
    settings |= {"loras": [{"source": "x"}], "image": IMAGE, "focus": {"x": 0, "y": 0}}
    look = looks.save(ME, " My look ", settings)
    assert look.name == "My look"
    assert look.settings == {
        "prompt": "a {red|blue} cat",
        "seed": 4,
        "style": "anime",
        "loras": [{"source": "x", "weight": 1.0}],
    }
    shared = json.loads(look.model_dump_json())
    assert looks.save(OTHER, shared["name"], shared["settings"]).settings == look.settings


@pytest.mark.parametrize(
    ("name", "settings", "field"),
    [
        ("a", {"seed": 1.5}, "seed"),
        ("a", {"colour": 1}, "colour"),
        ("a", None, "settings"),
        ("a", ["x"], "settings"),
        ("", {}, "name"),
        ("a/b", {}, "name"),
        ("a\n", {}, ""),
        ("x" * 81, {}, "name"),
        ("..", {}, "name"),  # not the last part of any address: could not be deleted again
    ],
)
def test_a_look_that_cannot_be_saved_names_the_field(
    saved: SavedItems, name: str, settings: object, field: str
) -> None:
    if not field:  # spaces around a name mean nothing
        assert Looks(saved).save(ME, name, settings).name == name.strip()
        return
    assert refused(Looks(saved).save, ME, name, settings).details["field"] == field


# -- styles ----------------------------------------------------------------------------------------

MINE = {"name": "Mine", "prompt": "{prompt}, mine"}


def test_own_styles_come_first_and_are_nobody_elses(saved: SavedItems) -> None:
    styles = CallerStyles(saved)
    styles.save(ME, "mine", MINE)
    assert [*styles.available(ME)] == ["mine", *load_styles()]
    assert [*styles.available(OTHER)] == [*styles.available(None)] == [*load_styles()]


def test_own_styles_are_exported_and_imported(saved: SavedItems) -> None:
    styles = CallerStyles(saved)
    styles.save(ME, "mine", MINE | {"families": {"wan": {"prompt": "mine: {prompt}"}}})
    styles.save(ME, "zweiter", MINE | {"name": "Zweiter Stil für später"})
    styles.import_yaml(OTHER, styles.export_yaml(ME).encode())
    assert styles.own(OTHER) == styles.own(ME)
    styles.delete(ME, "mine")
    styles.delete(ME, "zweiter")
    assert refused(styles.export_yaml, ME).code is ErrorCode.NOT_FOUND


def test_a_style_of_ours_cannot_be_replaced(saved: SavedItems) -> None:
    styles = CallerStyles(saved)
    assert refused(styles.save, ME, "anime", MINE).code is ErrorCode.CONFLICT
    data = b"- {id: ok, name: a, prompt: '{prompt}'}\n- {id: anime, name: b, prompt: '{prompt}'}"
    assert refused(styles.import_yaml, ME, data).code is ErrorCode.CONFLICT
    assert styles.own(ME) == [], "none of the file was saved"


@pytest.mark.parametrize(
    ("style_id", "fields", "field"),
    [
        ("Mine!", MINE, "id"),
        ("mine", {"prompt": "{prompt}"}, "name"),
        ("mine", MINE | {"prompt": "none"}, "prompt"),
        ("mine", MINE | {"colour": 1}, "colour"),
        ("mine", MINE | {"prompt": 3}, "prompt"),
    ],
)
def test_a_style_that_cannot_be_saved_names_the_field(
    saved: SavedItems, style_id: str, fields: dict[str, object], field: str
) -> None:
    error = refused(CallerStyles(saved).save, ME, style_id, fields)
    assert error.details["field"] == field
    assert error.message.startswith(f"The style cannot be saved: {field}: ")


def test_a_style_of_another_version_is_left_out(saved: SavedItems) -> None:
    saved.put(ME, "style", {"old": {"id": "old", "unknown": 1}})
    assert CallerStyles(saved).own(ME) == []
