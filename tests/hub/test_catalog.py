"""Models by a name that was pasted: any Hub id of a video pipeline, or a folder of one's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from errors import ErrorCode, KinoraError
from pipelines.engine.families import FAMILIES, load_family
from pipelines.models.cards import ModelCard
from pipelines.models.catalog import Catalog
from pipelines.models.rules import FAMILY_OF_CLASS
from pipelines.models.selection import pick_card
from pipelines.request import GenerationRequest
from settings import Settings
from tests.hub.conftest import Child
from tests.hub.server import TestHub

SettingsOf = Callable[..., dict[str, Any]]


def with_class(repo: Path, class_name: str, **components: list[str]) -> dict[str, Any]:
    index = json.loads((repo / "model_index.json").read_text()) | {"_class_name": class_name}
    return {"model_index.json": json.dumps(index | components).encode()}


def test_a_pasted_id_becomes_a_card_that_says_what_its_class_says(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    repo = hub.add("people/their-ltx", tiny_repo)
    card = child.ask("card", name=" people/their-ltx ", settings=settings("tiny/known"))
    assert card["id"] == f"people/their-ltx@{repo.commit}"
    assert (card["repo"], card["revision"]) == ("people/their-ltx", repo.commit)
    assert (card["family"], card["tasks"]) == ("ltx", ["t2v", "i2v"])
    # its class's own, though the installed card of the family has others
    assert (card["defaults"]["width"], card["defaults"]["num_inference_steps"]) == (704, 50)
    assert card["limits"]["min_width"] == 64
    assert card["call"] == card["scheduler"] == card["parts"] == {}
    assert card["needs"]["disk_gb"] < 0.1
    assert hub.bytes_sent("people/their-ltx.*safetensors") == 0


def test_it_loads_and_its_pinned_name_brings_back_the_same_files(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    commit = hub.add("people/moving", tiny_repo).commit
    asked = settings("tiny/known")
    loaded = child.ask("get", model="people/moving", task="i2v", settings=asked)
    assert loaded["class"] == "LTXImageToVideoPipeline"
    assert loaded["revision"] == commit

    hub.add("people/moving", tiny_repo, add={"README.md": b"a new commit"})
    pinned = child.ask("get", model=f"people/moving@{commit}", task="t2v", settings=asked)
    assert pinned["revision"] == commit


def test_what_was_found_is_known_again_without_the_hub(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    commit = hub.add("people/known", tiny_repo).commit
    asked = settings("tiny/known")
    card = child.ask("card", name="people/known@main", settings=asked)
    hub.fault("people/known", status=500)
    assert child.ask("card", name=f"people/known@{commit}", settings=asked) == card


def test_a_family_without_a_card_is_read_from_its_class(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    hub.add("people/wan", tiny_repo, add=with_class(tiny_repo, "WanPipeline"))
    card = child.ask("card", name="people/wan", settings=settings("tiny/known"))
    assert card["classes"] == {"t2v": "WanPipeline", "v2v": "WanVideoToVideoPipeline"}
    assert card["needs"]["vram_gb"] is None
    assert card["needs"]["ram_gb"] < 2


@pytest.mark.parametrize(
    ("class_name", "reason"),
    [
        ("FluxPipeline", "not_video"),
        ("StableDiffusionPipeline", "not_video"),
        ("PipelineOf3000", "unknown_class"),
        ("AutoencoderKL", "unknown_class"),
    ],
)
def test_what_makes_no_videos_is_refused_by_name(
    hub: TestHub,
    child: Child,
    settings: SettingsOf,
    tiny_repo: Path,
    class_name: str,
    reason: str,
) -> None:
    repo = f"no/{class_name}"
    hub.add(repo, tiny_repo, add=with_class(tiny_repo, class_name))
    with pytest.raises(KinoraError) as caught:
        child.ask("card", name=repo, settings=settings("tiny/known"))
    assert caught.value.code is ErrorCode.MODEL_REFUSED
    assert caught.value.details["reason"] == reason
    assert class_name in caught.value.message
    assert hub.bytes_sent(f"{repo}.*safetensors") == 0


def test_what_it_needs_is_known_before_anything_is_downloaded(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    needs = with_class(tiny_repo, "SanaWMPipeline")
    enlarges = with_class(tiny_repo, "LTXLatentUpsamplePipeline")
    modular: dict[str, Any] = {"modular_model_index.json": b'{"_class_name": "WanModularPipeline"}'}
    hub.add("no/needs_input", tiny_repo, add=needs)
    hub.add("no/enlarges", tiny_repo, add=enlarges)
    hub.add("no/modular", tiny_repo, drop="model_index.json", add=modular)
    for reason in ("needs_input", "enlarges", "modular"):
        with pytest.raises(KinoraError) as caught:
            child.ask("card", name=f"no/{reason}", settings=settings("tiny/known"))
        assert caught.value.code is ErrorCode.MODEL_REFUSED
        assert caught.value.details["reason"] == reason
    assert hub.bytes_sent("no/.*safetensors") == 0


def test_pickles_and_code_are_refused_before_anything_is_downloaded(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    weights = "diffusion_pytorch_model"
    hub.add(
        "bad/pickles",
        tiny_repo,
        drop=f"vae/{weights}.safetensors",
        add={f"vae/{weights}.bin": b"pickle"},
    )
    hub.add("bad/code", tiny_repo, add=with_class(tiny_repo, "LTXPipeline", vae=["evil", "VAE"]))
    hub.repos["bad/code"].files["vae/evil.py"] = hub.repos["bad/code"].files["vae/config.json"]
    for repo, reason in [("bad/pickles", "pickle_only"), ("bad/code", "remote_code")]:
        with pytest.raises(KinoraError) as caught:
            child.ask("card", name=repo, settings=settings("tiny/known"))
        assert caught.value.details["reason"] == reason


@pytest.mark.parametrize(
    "name",
    [
        "", "nobody", "a/b/c", "../x/y", "../../etc/passwd", "/etc/passwd", "a/..", "./a", "a/b@",
        "a/b@../c", "https://example.com/a", "a b/c", "local/../../etc", "local/a/b", "a/b@c@d",
        "a\\b/c", "ä/b", "a/b\n", "-a/b",
    ],
)  # fmt: skip
def test_what_is_no_name_means_nothing(
    name: str, tiny_cards: dict[str, ModelCard], tiny_settings: Settings
) -> None:
    catalog = Catalog(tiny_cards, tiny_settings)
    try:
        assert catalog.find(name) is None
    except KinoraError as error:  # a name to the letter, but not to the Hub
        assert error.details["reason"] in ("bad_id", "offline")
        assert error.code is ErrorCode.MODEL_NOT_FOUND


def test_a_revision_that_is_not_there_is_told(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    hub.add("people/one-revision", tiny_repo)
    with pytest.raises(KinoraError) as caught:
        child.ask("card", name="people/one-revision@v2", settings=settings("tiny/known"))
    assert caught.value.details["reason"] == "wrong_revision"


def test_a_public_space_takes_only_its_own_cards(
    tiny_cards: dict[str, ModelCard], tiny_settings: Settings
) -> None:
    request = GenerationRequest(prompt="a dog", model="people/their-ltx")
    space = tiny_settings.model_copy(update={"space_id": "people/space"})
    with pytest.raises(KinoraError) as caught:
        pick_card(request, Catalog(tiny_cards, space), space)
    assert caught.value.code is ErrorCode.UNKNOWN_MODEL
    assert "Choose one of: pocket" in caught.value.message

    at_home = Catalog(tiny_cards, tiny_settings)  # there is no network in this process
    with pytest.raises(KinoraError) as caught:
        pick_card(request, at_home, tiny_settings)
    assert caught.value.details["reason"] == "offline"
    open_space = space.model_copy(update={"allow_any_model": True})
    with pytest.raises(KinoraError) as caught:
        pick_card(request, Catalog(tiny_cards, open_space), open_space)
    assert caught.value.details["reason"] == "offline"


def test_a_folder_of_ones_own_is_a_model(
    child: Child, settings: SettingsOf, tiny_repo: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_repo, tmp_path / "mine" / "ltx_v2")
    asked = settings("tiny/known", local_models_dir=str(tmp_path / "mine"))
    card = child.ask("card", name="local/ltx_v2", settings=asked)
    assert (card["id"], card["name"], card["family"]) == ("local/ltx_v2", "local/ltx_v2", "ltx")
    loaded = child.ask("get", model="local/ltx_v2", task="t2v", settings=asked)
    assert loaded["class"] == "LTXPipeline"
    for name in ("local/other", "local/..", "local/.."):
        with pytest.raises((KinoraError, AssertionError)):
            assert child.ask("card", name=name, settings=asked) is not None


def test_on_a_space_a_folder_that_the_operator_mounted_is_a_model_and_nothing_else_is(
    tiny_cards: dict[str, ModelCard], tiny_settings: Settings, tiny_repo: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_repo, tmp_path / "models" / "ltx")
    own = {"space_id": "you/kinora", "local_models_dir": tmp_path / "models"}
    catalog = Catalog(tiny_cards, tiny_settings.model_copy(update=own))
    card = catalog.find("local/ltx")
    assert card is not None
    assert card.local_path == tmp_path / "models" / "ltx"
    for name in ("local/other", "local/ltx@main", "else/ltx", "local/..", "owner/name"):
        assert catalog.find(name) is None


def test_the_table_of_classes_is_what_the_families_say() -> None:
    for name in FAMILIES:
        for class_name in load_family(name).pipelines.values():
            assert FAMILY_OF_CLASS.get(class_name) == name, class_name
    assert set(FAMILY_OF_CLASS.values()) <= set(FAMILIES)
