"""Files from a Hub that stumbles: whole, checked, only what is needed, and never twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from errors import ErrorCode, KinoraError
from tests.hub.conftest import Child
from tests.hub.server import RIGHT_TOKEN, File, TestHub
from tests.zoo.ltx import build_upsampler

MEGABYTE = 1 << 20
SettingsOf = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def big_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two large files, one of them twice, and a small one."""
    folder = tmp_path_factory.mktemp("big")
    large = bytes(range(256)) * (6 * MEGABYTE // 256)
    (folder / "one.safetensors").write_bytes(large)
    (folder / "two.safetensors").write_bytes(large[::-1])
    (folder / "copy").mkdir()
    (folder / "copy" / "two.safetensors").write_bytes(large[::-1])
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def second(hub: TestHub, hub_home: Path) -> Iterator[Child]:
    """Another process with the same cache."""
    child = Child(hub, hub_home)
    yield child
    child.close()


def assert_whole(folder: str, source: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            name = path.relative_to(source)
            assert (Path(folder) / name).read_bytes() == path.read_bytes(), name
    left = [p.name for p in Path(folder).parents[1].rglob("*.incomplete")]
    assert not left


def test_progress_is_told_in_bytes(
    hub: TestHub, child: Child, settings: SettingsOf, big_folder: Path
) -> None:
    hub.add("bytes/big", big_folder)
    hub.fault("bytes/big/one", bytes_per_s=8 * MEGABYTE)
    done = child.ask("fetch", repo="bytes/big", settings=settings("bytes/big"))
    assert_whole(done["folder"], big_folder)
    here = [here for here, _ in done["told"]]
    assert here == sorted(here)
    assert len(set(here)) > 2
    assert {total for _, total in done["told"]} == {18 * MEGABYTE + 2}
    assert here[-1] == 18 * MEGABYTE + 2
    assert hub.bytes_sent("bytes/big.*two") == 6 * MEGABYTE, "the same content was fetched twice"


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_hub_that_stumbles_is_asked_again(
    hub: TestHub, child: Child, settings: SettingsOf, big_folder: Path, status: int
) -> None:
    repo = f"stumbles/on-{status}"
    hub.add(repo, big_folder)
    hub.fault(f"/api/models/{repo}", status=status, times=3)
    hub.fault(f"{repo}/resolve/.*one", status=status, times=3)
    done = child.ask("fetch", repo=repo, settings=settings(repo))
    assert_whole(done["folder"], big_folder)


def test_a_cut_download_goes_on_where_it_was_cut(
    hub: TestHub, child: Child, settings: SettingsOf, big_folder: Path
) -> None:
    hub.add("cut/often", big_folder)
    hub.fault("/cdn/cut/often/one", cut_after=MEGABYTE, times=5)  # more often than it is patient
    done = child.ask("fetch", repo="cut/often", settings=settings("cut/often"))
    assert_whole(done["folder"], big_folder)
    assert hub.bytes_sent("/cdn/cut/often/one") < 8 * MEGABYTE
    ranges = [seen.range for seen in hub.seen if "/cdn/cut/often/one" in seen.path]
    assert ranges[0] is None
    assert len({r for r in ranges if r}) == 5


def test_a_server_without_ranges_is_taken_from_the_start(
    hub: TestHub, child: Child, settings: SettingsOf, big_folder: Path
) -> None:
    hub.add("no/ranges", big_folder)
    hub.fault("/cdn/no/ranges/one", cut_after=MEGABYTE, times=1)
    hub.fault("/cdn/no/ranges/one", no_ranges=True, times=1)
    done = child.ask("fetch", repo="no/ranges", settings=settings("no/ranges"))
    assert_whole(done["folder"], big_folder)


def test_a_stopped_download_is_taken_up_by_another_process(
    hub: TestHub, child: Child, second: Child, settings: SettingsOf, big_folder: Path
) -> None:
    hub.add("given/up", big_folder)
    slow = hub.fault("/cdn/given/up", bytes_per_s=2 * MEGABYTE)
    asked = settings("given/up")
    stopped = child.ask("fetch", repo="given/up", settings=asked, stop_after=2 * MEGABYTE)
    assert stopped["stopped"]
    assert hub.bytes_sent("/cdn/given/up") < 10 * MEGABYTE, "stopping waited for the files"
    slow.times = 0
    done = second.ask("fetch", repo="given/up", settings=asked)
    assert_whole(done["folder"], big_folder)
    first_told = done["told"][0][0]
    assert first_told >= 2 * MEGABYTE
    assert hub.bytes_sent("/cdn/given/up") < 14 * MEGABYTE


def test_two_processes_at_once_download_once(
    hub: TestHub, child: Child, second: Child, settings: SettingsOf, big_folder: Path
) -> None:
    hub.add("at/once", big_folder)
    hub.fault("/cdn/at/once", bytes_per_s=12 * MEGABYTE)
    asked = settings("at/once")
    second.ask("modules")  # it is up
    for each in (child, second):
        each.send("fetch", repo="at/once", settings=asked)
    for each in (child, second):
        assert_whole(each.answer()["folder"], big_folder)
    assert hub.bytes_sent("/cdn/at/once") == 12 * MEGABYTE


def test_bytes_that_were_wrong_once_are_fetched_again(
    hub: TestHub, child: Child, settings: SettingsOf, big_folder: Path
) -> None:
    hub.add("wrong/once", big_folder)
    hub.fault("/cdn/wrong/once/one", flip=True, times=1)
    hub.fault("/wrong/once/resolve/.*/config.json", flip=True, times=1)
    done = child.ask("fetch", repo="wrong/once", settings=settings("wrong/once"))
    assert_whole(done["folder"], big_folder)


def test_a_token_opens_what_is_gated(
    hub: TestHub, child: Child, settings: SettingsOf, big_folder: Path
) -> None:
    hub.add("gated/open", big_folder, gated=True, private=True)
    asked = settings("gated/open", hf_token=RIGHT_TOKEN)
    assert_whole(child.ask("fetch", repo="gated/open", settings=asked)["folder"], big_folder)


def test_the_token_is_shown_to_the_hub_alone(
    hub: TestHub, child: Child, settings: SettingsOf, big_folder: Path
) -> None:
    hub.add("kept/elsewhere", big_folder, gated=True)
    with TestHub(repos=hub.repos) as storage:
        hub.cdn_url = storage.url
        try:
            asked = settings("kept/elsewhere", hf_token=RIGHT_TOKEN)
            done = child.ask("fetch", repo="kept/elsewhere", settings=asked)
        finally:
            hub.cdn_url = ""
    assert_whole(done["folder"], big_folder)
    assert storage.seen
    assert not any(seen.token for seen in storage.seen)


def test_a_server_that_falls_silent_is_asked_again(
    hub: TestHub, child: Child, settings: SettingsOf, big_folder: Path
) -> None:
    hub.add("falls/silent", big_folder)
    hub.fault("/cdn/falls/silent/one", stall_s=3, times=1)  # longer than the child is patient
    done = child.ask("fetch", repo="falls/silent", settings=settings("falls/silent"))
    assert_whole(done["folder"], big_folder)


def test_fetching_needs_no_model_library(second: Child) -> None:
    """The page looks at pasted models in a process that has no room for torch."""
    assert not {"torch", "diffusers", "transformers"} & set(second.ask("modules"))


def test_a_model_is_loaded_from_the_hub_and_only_what_it_needs_is_fetched(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    start = "transformer/diffusion_pytorch_model"
    weights = (tiny_repo / f"{start}.safetensors").read_bytes()
    unwanted = {
        f"{start}.bin": b"pickle",
        f"{start}.fp16.safetensors": weights,
        f"{start}.non_ema.safetensors": weights,
        "flax_model.msgpack": b"flax",
        "ltx-all-in-one.safetensors": weights,
        "transformer/model.onnx": b"onnx",
        "transformer/conversion.py": b"raise SystemExit",
        "safety_checker/model.safetensors": b"checker",
        "README.md": b"hello",
    }
    repo = hub.add("tiny/ltx", tiny_repo, add=dict(unwanted))
    asked = settings("tiny/ltx")
    first = child.ask("get", model="pocket", task="t2v", settings=asked, callers=8)
    assert first["class"] == "LTXPipeline"
    assert first["same"], "eight callers, and more than one load"
    assert first["revision"] == repo.commit

    # only what is needed, and that once
    fetched = [seen.path for seen in hub.seen if "tiny/ltx/resolve" in seen.path]
    assert len(fetched) == len(set(fetched))
    for name in unwanted:
        assert not any(path.endswith(name) for path in fetched), name

    # progress in bytes, then component by component
    told = first["told"]
    fractions = [each["fraction"] for each in told]
    assert fractions == sorted(fractions)
    downloads = [each for each in told if each["phase"] == "downloading"]
    size = sum(f.size for path, f in repo.files.items() if path not in unwanted)
    assert downloads[-1]["bytes_done"] == downloads[-1]["bytes_total"] == size
    assert {"transformer", "vae", "text encoder"} <= {each["phase"] for each in told}

    # the second time nothing but what the name means is asked
    seen = len(hub.seen)
    again = child.ask("get", model="pocket", task="i2v", settings=asked)
    assert again["class"] == "LTXImageToVideoPipeline"
    assert all(each.path.startswith("/api/") for each in hub.seen[seen:])
    assert not [each for each in again["told"] if each["phase"] == "downloading"]


def test_an_upsampler_is_fetched_when_it_is_wanted_and_never_as_a_pickle(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path, tmp_path: Path
) -> None:
    build_upsampler(tmp_path / "larger" / "latent_upsampler")
    hub.add("tiny/small", tiny_repo)
    hub.add("tiny/larger", tmp_path / "larger", add={"vae/model.safetensors": b"unwanted"})
    asked = settings("tiny/small", card={"latent_upsampler": "tiny/larger/latent_upsampler"})

    child.ask("get", model="pocket", task="t2v", settings=asked)
    assert not any("tiny/larger" in seen.path for seen in hub.seen)
    got = child.ask("upsampler", settings=asked)
    assert got["class"] == "LTXLatentUpsamplerModel"
    assert any(each["bytes_total"] for each in got["told"])
    fetched = [seen.path for seen in hub.seen if "tiny/larger/resolve" in seen.path]
    assert fetched
    assert all("latent_upsampler/" in path for path in fetched)

    pickle = {"latent_upsampler/diffusion_pytorch_model.bin": b"pickle"}
    hub.add("tiny/pickled", tmp_path / "larger", add=dict(pickle), drop=r"safetensors$")
    asked = settings("tiny/small", card={"latent_upsampler": "tiny/pickled/latent_upsampler"})
    with pytest.raises(KinoraError) as caught:
        child.ask("upsampler", settings=asked)
    assert caught.value.details["reason"] == "pickle_only"
    assert not any(path.endswith(".bin") for path in (seen.path for seen in hub.seen))


def test_what_is_pinned_and_cached_needs_no_hub_and_what_is_cached_survives_its_silence(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    commit = hub.add("tiny/pinned", tiny_repo).commit
    child.ask("get", model="pocket", task="t2v", settings=settings("tiny/pinned"))
    seen = len(hub.seen)
    pinned = settings("tiny/pinned", card={"revision": commit})
    child.ask("get", model="pocket", task="t2v", settings=pinned)
    assert len(hub.seen) == seen

    hub.fault("tiny/pinned", status=503)
    child.ask("get", model="pocket", task="t2v", settings=settings("tiny/pinned"))


def test_offline_what_is_cached_works_and_the_rest_is_told(
    hub: TestHub, hub_home: Path, child: Child, settings: SettingsOf, big_folder: Path
) -> None:
    hub.add("off/line", big_folder)
    child.ask("fetch", repo="off/line", settings=settings("off/line"))
    offline = Child(hub, hub_home, HF_HUB_OFFLINE="1")
    try:
        done = offline.ask("fetch", repo="off/line", settings=settings("off/line"))
        assert_whole(done["folder"], big_folder)
        with pytest.raises(KinoraError) as caught:
            offline.ask("fetch", repo="off/never", settings=settings("off/never"))
    finally:
        offline.close()
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND
    assert caught.value.details["reason"] == "offline"
    assert "no network" in caught.value.message


def test_the_wanted_variant_is_taken_where_there_is_one(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    vae = "vae/diffusion_pytorch_model"
    half = (tiny_repo / f"{vae}.safetensors").read_bytes()
    transformer = "transformer/diffusion_pytorch_model"
    only = (tiny_repo / f"{transformer}.safetensors").read_bytes()
    hub.add(
        "tiny/variants",
        tiny_repo,
        add={f"{vae}.fp16.safetensors": half, f"{transformer}.bf16.safetensors": only},
        drop=f"{transformer}.safetensors",
    )
    asked = settings("tiny/variants", model_variant="fp16")
    child.ask("get", model="pocket", task="t2v", settings=asked)
    fetched = {seen.path.split("/", 5)[-1] for seen in hub.seen if "tiny/variants/res" in seen.path}
    assert f"{vae}.fp16.safetensors" in fetched
    assert f"{vae}.safetensors" not in fetched
    assert f"{transformer}.bf16.safetensors" in fetched, "the only one there is"


def test_a_part_comes_from_a_repository_of_its_own_as_safely(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    hub.add("tiny/without-vae", tiny_repo, drop="^vae/")
    hub.add("parts/vae", tiny_repo / "vae")
    hub.add("parts/pickled", tiny_repo / "vae", drop="safetensors", add={"pytorch_model.bin": b"p"})
    index = json.loads((tiny_repo / "model_index.json").read_text())
    assert index["vae"]

    card = {"parts": {"vae": "parts/vae"}}
    asked = settings("tiny/without-vae", card=card)
    assert child.ask("get", model="pocket", task="t2v", settings=asked)["class"] == "LTXPipeline"

    asked = settings("tiny/without-vae", card={"parts": {"vae": "parts/pickled"}})
    with pytest.raises(KinoraError) as caught:
        child.ask("get", model="pocket", task="t2v", settings=asked)
    assert caught.value.details["reason"] == "pickle_only"
    assert "parts/pickled" not in hub.repos or hub.bytes_sent("parts/pickled.*bin") == 0


def test_a_listing_cannot_lead_out_of_its_folder(
    hub: TestHub, child: Child, settings: SettingsOf, big_folder: Path, hub_home: Path
) -> None:
    hub.add("leads/out", big_folder, add={"../../../escaped.json": File(b"{}")})
    done = child.ask("fetch", repo="leads/out", settings=settings("leads/out"))
    assert_whole(done["folder"], big_folder)
    assert not list(hub_home.rglob("escaped*"))


def test_a_clip_is_discarded_while_its_model_is_on_the_way(
    hub: TestHub, child: Child, settings: SettingsOf, tiny_repo: Path
) -> None:
    hub.add("tiny/slow", tiny_repo)
    hub.fault("/cdn/tiny/slow", bytes_per_s=200_000)  # a minute of it
    told = child.ask("discard", model="pocket", settings=settings("tiny/slow"))
    assert told["code"] == "cancelled"
    assert {kind for kind, _ in told["heard"]} == {"loading"}
    assert told["heard"][0][1]["bytes_total"] > 1_000_000
    assert told["seconds"] < 20


def test_a_cache_that_cannot_be_written_is_told(
    hub: TestHub, settings: SettingsOf, big_folder: Path, tmp_path: Path
) -> None:
    hub.add("no/room", big_folder)
    (tmp_path / "file").touch()
    child = Child(hub, tmp_path / "home", HF_HUB_CACHE=str(tmp_path / "file"))
    try:
        with pytest.raises(KinoraError) as caught:
            child.ask("fetch", repo="no/room", settings=settings("no/room"))
    finally:
        child.close()
    assert caught.value.details["reason"] == "no_cache"
    assert "HF_HOME" in caught.value.message
    assert str(tmp_path) not in caught.value.message
