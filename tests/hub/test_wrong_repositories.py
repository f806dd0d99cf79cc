"""The many ways in which a repository can be wrong: each ends in its own code and sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from errors import ErrorCode, KinoraError
from tests.hub.conftest import Child
from tests.hub.server import File, TestHub

FOUND, LOAD, REFUSED = ErrorCode.MODEL_NOT_FOUND, ErrorCode.MODEL_LOAD, ErrorCode.MODEL_REFUSED
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"


@dataclass
class Wrong:
    """What is done to a good repository, and what a person is then told."""

    code: ErrorCode
    reason: str
    says: str
    index: dict[str, Any] = field(default_factory=dict)
    """Replaces entries of model_index.json."""
    add: Callable[[Path], dict[str, bytes | File]] = lambda repo: {}
    drop: str | None = None
    hub: dict[str, Any] = field(default_factory=dict)
    fault: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    is_there: bool = True
    fetches: bool = False
    """Whether large files have to be read before it is known."""


def half(name: str) -> Callable[[Path], dict[str, bytes | File]]:
    return lambda repo: {name: (repo / name).read_bytes()[:2000]}


def raw_index(text: bytes) -> Callable[[Path], dict[str, bytes | File]]:
    return lambda repo: {"model_index.json": text}


def one_of_two_shards(repo: Path) -> dict[str, bytes | File]:
    start = "transformer/diffusion_pytorch_model"
    index = {"metadata": {}, "weight_map": {"a": "diffusion_pytorch_model-00001-of-00002"}}
    return {
        f"{start}-00001-of-00002.safetensors": (repo / TRANSFORMER).read_bytes(),
        f"{start}.safetensors.index.json": json.dumps(index).encode(),
    }


WRONGS = {
    "not a pipeline": Wrong(
        REFUSED, "not_a_pipeline", "no model_index.json", drop="model_index.json"
    ),
    "an image pipeline": Wrong(
        REFUSED,
        "wrong_kind",
        "FluxPipeline",
        index={
            "_class_name": "FluxPipeline",
            "transformer": ["diffusers", "FluxTransformer2DModel"],
        },
    ),
    "a missing shard": Wrong(
        LOAD, "missing_shard", "its transformer", drop=TRANSFORMER, add=one_of_two_shards
    ),
    "a truncated file": Wrong(
        LOAD, "damaged_file", "The transformer of", add=half(TRANSFORMER), fetches=True
    ),
    "pickles only": Wrong(
        REFUSED,
        "pickle_only",
        "its vae only as a pickle, which can run any code",
        drop=VAE,
        add=lambda repo: {"vae/diffusion_pytorch_model.bin": (repo / VAE).read_bytes()},
    ),
    "a pipeline class of its own": Wrong(
        REFUSED, "remote_code", "code of its own", index={"_class_name": ["mine", "Mine"]}
    ),
    "a component with code": Wrong(
        REFUSED,
        "remote_code",
        "code of its own for its vae",
        index={"vae": ["evil", "VAE"]},
        add=lambda repo: {"vae/evil.py": b"class VAE: pass"},
    ),
    "a component class as a list": Wrong(
        REFUSED, "remote_code", "for its vae", index={"vae": [["evil", "VAE"], "VAE"]}
    ),
    "an unknown library": Wrong(
        REFUSED, "unknown_library", "“subprocess”", index={"vae": ["subprocess", "Popen"]}
    ),
    "a class that is not here": Wrong(
        REFUSED,
        "unknown_class",
        "no AutoencoderOf3000",
        index={"vae": ["diffusers", "AutoencoderOf3000"]},
    ),
    "a class that loads nothing": Wrong(
        REFUSED, "unknown_class", "no pipeline", index={"vae": ["transformers", "pipeline"]}
    ),
    "gated": Wrong(FOUND, "gated", "Accept its terms", hub={"gated": True}),
    "gated, and the token has no right": Wrong(
        FOUND, "gated", "Accept its terms", hub={"gated": True}, settings={"hf_token": "hf_wrong"}
    ),
    "private": Wrong(FOUND, "missing", "or keeps it private", hub={"private": True}),
    "not there": Wrong(FOUND, "missing", "has no Tiny", is_there=False),
    "not there, with a token": Wrong(
        FOUND, "missing", "has no Tiny", is_there=False, settings={"hf_token": "hf_right"}
    ),
    "a token that is not accepted": Wrong(
        FOUND, "bad_token", "Check HF_TOKEN", fault={"status": 401}
    ),
    "500 for ever": Wrong(FOUND, "unreachable", "did not answer", fault={"status": 500}),
    "too many requests for ever": Wrong(FOUND, "unreachable", "Try again", fault={"status": 429}),
    "a line that is cut for ever": Wrong(
        FOUND, "unreachable", "Try again", fault={"stall_s": 0.01}
    ),
    "a wrong revision": Wrong(FOUND, "wrong_revision", "no revision “v9”", card={"revision": "v9"}),
    "a commit that is gone": Wrong(
        FOUND, "wrong_revision", f"“{'a' * 40}”", card={"revision": "a" * 40}
    ),
    "more than the disk holds": Wrong(
        ErrorCode.OUT_OF_DISK,
        "no_disk",
        "GB is free",
        add=lambda repo: {TRANSFORMER: File((repo / TRANSFORMER).read_bytes(), 10**17)},
    ),
    "a damaged index": Wrong(LOAD, "damaged_index", "is damaged", add=raw_index(b'{"_class_')),
    "an empty index": Wrong(LOAD, "damaged_index", "is damaged", add=raw_index(b"{}")),
    "an index that is a list": Wrong(LOAD, "damaged_index", "is damaged", add=raw_index(b"[1]")),
    "an index that leads out of its folder": Wrong(
        LOAD, "damaged_index", "is damaged", index={"../../vae": ["diffusers", "AutoencoderKL"]}
    ),
    "a missing component": Wrong(LOAD, "missing_component", "its vae is missing", drop="^vae/"),
    "a component that the index forgot": Wrong(
        LOAD, "missing_component", "its vae is missing", index={"vae": [None, None]}
    ),
    "a component without weights": Wrong(LOAD, "missing_component", "its vae is missing", drop=VAE),
    "a damaged configuration": Wrong(
        LOAD, "damaged_file", "The vae of", add=lambda repo: {"vae/config.json": b"{"}, fetches=True
    ),
    "bytes that are wrong every time": Wrong(
        LOAD, "damaged_file", "damaged", fault={"flip": True, "path": "/cdn/"}, fetches=True
    ),
    "no id at all": Wrong(FOUND, "bad_id", "looks like owner/name", card={"repo": "a/b/c"}),
    "an id without an owner": Wrong(FOUND, "bad_id", "looks like owner/name", card={"repo": "abc"}),
}


@pytest.mark.parametrize("name", WRONGS)
def test_what_is_wrong_with_a_repository_is_said_in_a_sentence(
    name: str,
    hub: TestHub,
    child: Child,
    tiny_repo: Path,
    settings: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    wrong = WRONGS[name]
    repo = f"wrong/{name.replace(' ', '-').replace(',', '')}"
    if wrong.is_there:
        index = json.loads((tiny_repo / "model_index.json").read_text()) | wrong.index
        add = {"model_index.json": json.dumps(index).encode()} if wrong.index else {}
        hub.add(repo, tiny_repo, add=add | wrong.add(tiny_repo), drop=wrong.drop, **wrong.hub)
    if wrong.fault:
        path = wrong.fault.get("path", "") + repo
        hub.fault(path, **{k: v for k, v in wrong.fault.items() if k != "path"})

    with pytest.raises(KinoraError) as caught:
        asked = settings(repo, card=wrong.card, **wrong.settings)
        child.ask("get", model="pocket", task="t2v", settings=asked)

    error = caught.value
    assert error.code is wrong.code
    assert error.details["reason"] == wrong.reason
    assert wrong.says in error.message
    for secret in (str(tmp_path), str(hub.url), "Traceback", "hf_", "site-packages"):
        assert secret not in json.dumps(error.as_dict())
    if not wrong.fetches:
        assert hub.bytes_sent(rf"{repo}/.+\.(safetensors|bin)") == 0
