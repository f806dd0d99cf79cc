"""A LoRA that is offered can be used, by its name, whatever that is; what cannot is not offered."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from cli.generate import lora_from
from errors import KinoraError
from pipelines.models.loras import check_loras, file_versions, find_local, find_or_fetch, list_names
from pipelines.request import GenerationRequest, Lora
from settings import Settings

LAYER = {"x.lora_A.weight": torch.ones(4, 8), "x.lora_B.weight": torch.ones(8, 4)}
NAMES = [
    "oil", "oil paint", "oil (v2) [final]", "water:colour", "a:0.5", "styles/ink", "a/b/c/d e",
    "水彩", "акварель", "caf\u00e9", "cafe\u0301 noir", "naïve.v1.0", "old.bin", "x" * 240, "-dash",
    "--lora", "100%", "a#b?c&d", "'quoted' \"twice\"", "back\\slash", "🎨", " spaced ", "UPPER",
]  # fmt: skip


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("layer") / "it.safetensors"
    save_file(LAYER, file)
    return file.read_bytes()


@pytest.fixture
def shelf(tiny_settings: Settings) -> Settings:
    tiny_settings.loras_folder.mkdir(parents=True)
    return tiny_settings.model_copy(update={"lora_hub": False})


def put(settings: Settings, name: str, content: bytes, ending: str = ".safetensors") -> Path:
    file = settings.loras_folder / f"{name}{ending}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_offered_can_be_used_everywhere(
    shelf: Settings, layer: bytes, name: str
) -> None:
    file = put(shelf, name, layer)
    assert list_names(shelf) == [name]
    for typed in (name, f"{name}.safetensors", unicodedata.normalize("NFD", name)):
        request = GenerationRequest.model_validate({"loras": [{"source": typed}]})
        check_loras(request.loras, shelf)
        assert find_or_fetch(request.loras[0], shelf).path == file.resolve()
    assert lora_from(name, shelf) == {"source": name}
    weighted = Lora.model_validate(lora_from(f"{name}:-0.5", shelf))
    assert weighted == Lora(source=name, weight=-0.5)


@settings(max_examples=40)
@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_whatever_a_file_is_called_it_is_offered_and_found_or_neither(
    tmp_path_factory: pytest.TempPathFactory, layer: bytes, name: str
) -> None:
    folder = tmp_path_factory.mktemp("names")
    shelf = Settings(_env_file=None, loras_dir=folder, data_dir=folder)  # pyright: ignore[reportCallIssue]
    try:
        put(shelf, name, layer)
    except (OSError, ValueError):  # no file can be called that
        return
    for each in list_names(shelf):
        check_loras([Lora(source=each)], shelf)
        assert find_or_fetch(Lora(source=each), shelf).path.is_relative_to(folder.resolve())


def test_a_file_that_is_added_while_the_app_runs_is_there_at_once(
    shelf: Settings, layer: bytes
) -> None:
    assert list_names(shelf) == []
    put(shelf, "new", layer)
    assert list_names(shelf) == ["new"]
    check_loras([Lora(source="new")], shelf)
    (shelf.loras_folder / "new.safetensors").unlink()
    assert list_names(shelf) == []


def test_an_ending_in_capitals_is_an_ending(shelf: Settings, layer: bytes) -> None:
    put(shelf, "loud", layer, ".SafeTensors")
    assert list_names(shelf) == ["loud"]
    assert find_local("loud", shelf) is not None


def test_links_that_lead_out_hidden_files_and_odd_bytes_are_not_offered(
    shelf: Settings, layer: bytes
) -> None:
    outside = put(shelf, "../outside", layer)
    (shelf.loras_folder / "link.safetensors").symlink_to(outside)
    put(shelf, ".hidden", layer)
    put(shelf, ".cache/x", layer)
    put(shelf, "line\nbreak", layer)
    odd = os.fsencode(shelf.loras_folder) + b"/odd\xff.safetensors"
    Path(os.fsdecode(odd)).write_bytes(layer)
    inside = put(shelf, "inside", layer)
    (shelf.loras_folder / "alias.safetensors").symlink_to(inside)
    assert list_names(shelf) == ["alias", "inside"]


def test_one_file_under_two_names_is_there_twice(shelf: Settings, layer: bytes) -> None:
    put(shelf, "oil", layer)
    (shelf.loras_folder / "alias.safetensors").symlink_to(shelf.loras_folder / "oil.safetensors")
    for other in ("oil", "oil.safetensors", "alias"):
        with pytest.raises(KinoraError, match="is there twice"):
            check_loras([Lora(source="oil"), Lora(source=other, weight=0.2)], shelf)


def test_another_file_of_the_same_name_is_another_lora(shelf: Settings, layer: bytes) -> None:
    """So that a stored clip is not given for it."""
    asked = [Lora(source="oil")]
    file = put(shelf, "oil", layer)
    before = file_versions(asked, shelf)
    os.utime(file, ns=(1, 1))
    assert file_versions(asked, shelf) != before


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("oil", {"source": "oil"}),
        ("oil:0.8", {"source": "oil", "weight": "0.8"}),
        ("oil:.5", {"source": "oil", "weight": ".5"}),
        ("owner/name:1e-1", {"source": "owner/name", "weight": "1e-1"}),
        ("a:0.5", {"source": "a", "weight": "0.5"}),
    ],
)
def test_what_follows_the_last_colon_is_the_weight(
    shelf: Settings, text: str, wanted: dict[str, str]
) -> None:
    assert lora_from(text, shelf) == wanted


@pytest.mark.parametrize("text", ["oil:much", "oil:", "oil:nan", "oil:1_0", "oil:0,5"])
def test_what_is_no_weight_is_refused(shelf: Settings, text: str) -> None:
    with pytest.raises(KinoraError, match="is no weight"):
        lora_from(text, shelf)


# -- what the header says ------------------------------------------------------------------------


def header(*keys: str, shape: tuple[int, ...] = (1, 1)) -> bytes:
    """A whole safetensors file with these names."""
    entries, at = {}, 0
    for key in keys:
        size = 4
        for side in shape:
            size *= side
        entries[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(entries, ensure_ascii=False).encode()
    return len(text).to_bytes(8, "little") + text + bytes(at)


PAIR = ("m.lora_A.weight", "m.lora_B.weight")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is an empty file"),
        (b"\x00" * 8, "is damaged, or no safetensors file"),
        (b"PK\x03\x04" + bytes(100), "is damaged, or no safetensors file"),
        (header(*PAIR)[:-3], "its end is missing"),
        (header(*PAIR)[:20], "is damaged"),
        ((10**9).to_bytes(8, "little") + b"{}", "is damaged"),
        ((4).to_bytes(8, "little") + b"[[]]", "is damaged"),
        ((8).to_bytes(8, "little") + b"\xff" * 8, "is damaged"),
        (header(*PAIR, "m.dora_scale"), "is a DoRA"),
        (header("m.lora_A.weight", "m.lora_B.weight", "m.lora_magnitude_vector"), "is a DoRA"),
        (header("m.lokr_w1", "m.lokr_w2"), "is a LoKr"),
        (header("m.hada_w1_a", "m.hada_w1_b"), "is a LoHa"),
        (header("m.lora_down.weight", "m.lora_mid.weight", "m.lora_up.weight"), "Tucker"),
        (header("m.oft_blocks"), "is an OFT"),
        (header("m.weight"), "but no LoRA"),
        (header("m.lora_A.weight"), "but no LoRA"),
    ],
)
def test_what_is_no_plain_whole_lora_is_refused_before_the_job_with_the_true_reason(
    shelf: Settings, content: bytes, says: str
) -> None:
    put(shelf, "it", content)
    with pytest.raises(KinoraError) as refused:
        check_loras([Lora(source="it")], shelf)
    assert says in refused.value.message
    assert refused.value.details == {"field": "loras"}
    assert str(shelf.data_dir) not in refused.value.message


def test_a_header_in_any_script_can_be_read(shelf: Settings) -> None:
    put(shelf, "it", header("модуль.lora_A.weight", "модуль.lora_B.weight"))
    check_loras([Lora(source="it")], shelf)
