"""Damaged, hostile and strange files: read quickly, never valid, and nothing is fetched."""

from __future__ import annotations

import http.server
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import c2pa
import pytest
from PIL import Image

from errors import KinoraError
from media.provenance import sandbox
from media.provenance import signer as provenance_signer
from media.provenance.c2pa_package import settings
from media.provenance.certificates import self_made_credentials
from media.provenance.claims import Making
from media.provenance.credential_report import report_of
from media.provenance.sandbox import read_credentials, read_ingredient
from media.provenance.signer import ClipSigner
from tests.media.provenance.test_signing_files import FRAMES, MAKING, made, signed
from tests.media.provenance.test_verifying_files import LEFT_OUT, examined, part_of

DAMAGED = 200
HANGS_S = 1.5


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> ClipSigner:
    return ClipSigner(self_made_credentials(tmp_path_factory.mktemp("signing")))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, signer: ClipSigner) -> Path:
    return signed(signer, made(tmp_path_factory.mktemp("clip")))


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, removed, repeated or moved; often where the credentials are."""
    at = rng.randrange(len(data))
    if rng.random() < 0.6:
        at = data.index(b"jumb") + rng.randrange(3000)
    count = rng.choice([1, 4, 16, 200])
    match rng.randrange(6):
        case 0:
            return data[:at] + rng.randbytes(count) + data[at + count :]
        case 1:
            return data[:at] + data[at + count :]
        case 2:
            return data[:at] + data[at : at + count] * rng.choice([2, 50]) + data[at + count :]
        case 3:
            return data[:at]
        case 4:
            return data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
        case _:
            return data[:at] + b"\0\0\0\0" + data[at + 4 :]


def test_damaged_files_end_within_a_second_and_are_never_valid(clip: Path, tmp_path: Path) -> None:
    data, undamaged = clip.read_bytes(), examined(clip)
    rng = random.Random(7)
    path = tmp_path / "damaged.mp4"
    slowest, states = 0.0, Counter[str]()
    for _ in range(DAMAGED):
        broken = damaged(data, rng)
        path.write_bytes(broken)
        began = time.thread_time()
        found = examined(path)
        slowest = max(slowest, time.thread_time() - began)
        states[found.state] += 1
        if found.state == "valid":
            assert found == undamaged
            changed = [
                at for at, pair in enumerate(zip(data, broken, strict=True)) if pair[0] != pair[1]
            ]
            assert {part_of(data, at) for at in changed} <= LEFT_OUT
    print(dict(states), f"slowest {slowest:.3f} s")
    assert slowest < 1


@pytest.mark.parametrize(
    "data", [b"", b"c2pa", b"\0" * 100, b"\xff\xd8\xff" + b"c2pa" * 1000, b"\x89PNG\r\n\x1a\nc2pa"]
)
def test_the_sandbox_survives_what_is_no_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file.mp4"
    path.write_bytes(data)
    assert read_credentials(path).state in ("none", "unreadable")
    assert read_ingredient(path, "ab" * 32, "Clip", ("inputTo",)) == {}


def test_a_child_that_dies_or_hangs_makes_the_file_unreadable(
    clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sandbox, "TIMEOUT_S", 0.01)
    assert read_credentials(clip).state == "unreadable"
    monkeypatch.setattr(sandbox, "TIMEOUT_S", 60)
    monkeypatch.setattr(sandbox, "ROOT", tmp_path)  # there is no such module
    assert read_credentials(clip).state == "unreadable"


def test_too_many_at_once_are_refused(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "QUEUE_SLOTS", threading.BoundedSemaphore(1))
    sandbox.QUEUE_SLOTS.acquire()
    with pytest.raises(KinoraError, match="Too many files"):
        read_credentials(clip)


def test_an_enormous_sidecar_is_not_read(tmp_path: Path) -> None:
    sidecar = tmp_path / "huge.c2pa"
    with sidecar.open("wb") as file:
        file.truncate(sandbox.MAX_SIDECAR_BYTES + 1)
    assert read_credentials(made(tmp_path, "webm"), sidecar=sidecar).state == "unreadable"


@pytest.fixture
def spy() -> Iterator[tuple[str, list[str]]]:
    """An address, and the requests that came to it."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_error(404)

        def do_POST(self) -> None:
            seen.append(self.path)
            time.sleep(HANGS_S if "slow" in self.path else 0)
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/manifest.c2pa", seen
    server.shutdown()
    server.server_close()


def test_an_address_in_a_file_is_never_fetched(tmp_path: Path, spy: tuple[str, list[str]]) -> None:
    address, seen = spy
    credentials = self_made_credentials(tmp_path)
    info = c2pa.C2paSignerInfo(b"es256", credentials.chain, credentials.key, None)
    builder = c2pa.Builder(
        MAKING.manifest(()), c2pa.Context.from_dict(settings(), signer=c2pa.Signer.from_info(info))
    )
    builder.set_no_embed()
    builder.set_remote_url(address)
    plain, path = tmp_path / "plain.jpg", tmp_path / "remote.jpg"
    Image.fromarray(FRAMES[0]).save(plain)
    with plain.open("rb") as source, path.open("w+b") as target:
        builder.sign("image/jpeg", source, target)
    assert address.encode() in path.read_bytes()
    found = read_credentials(path)
    assert found.state in ("none", "unreadable")
    assert seen == []


@pytest.mark.parametrize("kind", ["broken", "slow"])
def test_a_clip_is_signed_without_a_time_stamp_if_there_is_none(
    tmp_path: Path, spy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(provenance_signer, "TIMESTAMP_S", 0.3 if kind == "slow" else 30)
    address, seen = spy
    signer = ClipSigner(self_made_credentials(tmp_path), f"{address}/{kind}")
    found = examined(signed(signer, made(tmp_path)))
    assert found.state == "valid"
    assert found.signed_by and found.signed_by.signed_at is None
    assert len(seen) == 1, "the authority was contacted"
    picture = tmp_path / "poster.png"
    Image.fromarray(FRAMES[0]).save(picture)
    assert examined(signed(signer, picture)).state == "valid"
    assert len(seen) == 1, "pictures get no time stamp"


def test_the_reports_of_strange_credentials_are_read_without_an_error() -> None:
    strange: list[dict[str, Any]] = [
        {},
        {"active_manifest": "a", "manifests": {}},
        {"active_manifest": "a", "manifests": {"a": {}}},
        {
            "active_manifest": "a",
            "validation_state": "Valid",
            "manifests": {
                "a": {
                    "assertions": [
                        {"label": "c2pa.actions", "data": []},
                        {"label": "c2pa.actions.v2", "data": {"actions": "no list"}},
                        {"label": 5, "data": {"actions": [5, None, {"digitalSourceType": 7}]}},
                        {"label": "app.kinora.generation", "data": "text"},
                        "no object",
                    ],
                    "claim_generator_info": "text",
                    "ingredients": [{"title": 5, "active_manifest": "nowhere"}, None],
                    "signature_info": None,
                }
            },
        },
    ]
    for each in strange:
        found = report_of(each, is_own=False)
        assert json.loads(found.model_dump_json())["state"] == found.state


def test_credentials_that_would_be_endless_are_cut(signer: ClipSigner, tmp_path: Path) -> None:
    making = Making(**{**MAKING.__dict__, "model": "m" * 5000, "prompt": "p" * 50_000})
    found = examined(signed(signer, made(tmp_path), making))
    assert found.state == "valid" and found.made_by is not None
    assert len(found.made_by.model or "") == 500
    assert len(found.made_by.prompt or "") == 10_000
