"""Verification: of our files, of other makers' files, of changed and of hostile ones."""

from __future__ import annotations

import http.server
import io
import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from PIL import Image

from media import mp4
from media.encode import encode
from media.ffmpeg import base_command
from media.provenance import sandbox
from media.provenance import signer as provenance_signer
from media.provenance.certificates import load_credentials, self_made_credentials
from media.provenance.claims import Making
from media.provenance.credential_report import Report, no_report, report_of
from media.provenance.library import settings
from media.provenance.sandbox import file_type, read_credentials, read_ingredient
from media.provenance.sandbox_child import examine
from media.provenance.signer import ClipSigner
from tests.media.provenance.authorities import Authority
from tests.media.provenance.test_signing_files import FRAMES, KEYS, MAKING, made, signed
from tests.unsigned import C2PA_UUID

LEFT_OUT = {"ftyp", "free", "credentials"}
FLIPS = 200
HANGS_S = 1.5
DAMAGED = 200


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> ClipSigner:
    return ClipSigner(self_made_credentials(tmp_path_factory.mktemp("signing")))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, signer: ClipSigner) -> Path:
    return signed(signer, made(tmp_path_factory.mktemp("clip")))


def examined(path: Path, **more: Any) -> Report:
    """As in the sandbox, without a process of its own: for hundreds of files."""
    request = {"what": "read", "path": str(path), "type": file_type(path), "sidecar": None}
    found = examine(request | {"trusted": "", "own": ""} | more)
    if found["outcome"] == "found":
        return report_of(found["report"], is_own=found["is_own"])
    return no_report(found["outcome"])


# -- ours ------------------------------------------------------------------------------------------


def test_a_signed_clip_says_who_signed_it_and_what_made_it(tmp_path: Path) -> None:
    credentials = self_made_credentials(tmp_path)
    clip = signed(ClipSigner(credentials), made(tmp_path))
    found = read_credentials(clip, own=credentials.chain.decode())
    assert found.state == "valid"
    assert found.signed_by and found.signed_by.kind == "this_installation"
    assert found.made_by is not None
    assert (found.made_by.model, found.made_by.model_revision) == ("wan-small", "0123abc")
    assert (found.made_by.program, found.made_by.version) == ("Kinora", "0.1.0")
    assert found.made_by.is_generated
    assert found.made_by.made_at == "2026-11-30T10:00:00+00:00"
    assert any("self-made" in sentence for sentence in found.sentences)


def test_a_self_made_certificate_of_another_installation_proves_nothing(
    clip: Path, tmp_path: Path
) -> None:
    other = self_made_credentials(tmp_path).chain.decode()
    found = examined(clip, own=other)
    assert found.state == "valid"
    assert found.signed_by and found.signed_by.kind == "self_made"
    assert any("not proven" in sentence for sentence in found.sentences)


def test_a_certificate_is_trusted_by_the_list_alone(tmp_path: Path) -> None:
    authority = Authority("Example Press")
    credentials = load_credentials(*authority.issue(tmp_path, KEYS["es256"]))
    clip = signed(ClipSigner(credentials), made(tmp_path))
    trusted = examined(clip, trusted=authority.root_pem)
    assert trusted.signed_by and trusted.signed_by.kind == "trusted"
    assert any("Example Press" in sentence for sentence in trusted.sentences)
    unknown = examined(clip)
    assert unknown.state == "valid"
    assert unknown.signed_by and unknown.signed_by.kind == "unknown"
    assert any("unknown" in sentence for sentence in unknown.sentences)
    other = examined(clip, trusted=Authority("Somebody Else").root_pem)
    assert other.signed_by and other.signed_by.kind == "unknown"


def test_what_is_not_there_is_unknown(tmp_path: Path) -> None:
    found = read_credentials(made(tmp_path))
    assert (found.state, found.signed_by, found.made_by) == ("none", None, None)
    text = tmp_path / "text.txt"
    text.write_text("hello")
    assert read_credentials(text).state == "none"


def test_a_re_encoded_clip_has_no_credentials_any_more(clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    command = [*base_command(), "-i", f"file:{clip}", "-c", "copy", f"file:{copy}"]
    subprocess.run(command, check=True)
    assert examined(copy).state == "none"


# -- changed ---------------------------------------------------------------------------------------


def part_of(data: bytes, offset: int) -> str:
    for atom in mp4.atoms(io.BytesIO(data), 0, len(data)):
        if offset < atom.end:
            is_ours = data[atom.start : atom.start + 16] == C2PA_UUID
            return "credentials" if is_ours else atom.kind.decode()
    raise AssertionError(offset)


def test_a_flipped_byte_is_found_or_is_where_the_standard_leaves_it_out(
    clip: Path, tmp_path: Path
) -> None:
    """Harmless is a flip after which every frame, every setting and every statement is the same: in
    the file type box or free space, which C2PA leaves out of the hash, and in the padding of the
    signature or the names and lengths of the boxes around the statements."""
    data, unflipped = clip.read_bytes(), examined(clip)
    rng = random.Random(22)
    path = tmp_path / "flipped.mp4"
    seen: Counter[tuple[str, str]] = Counter()
    for _ in range(FLIPS):
        offset = rng.randrange(len(data))
        flipped = bytearray(data)
        flipped[offset] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        found = examined(path)
        seen[part_of(data, offset), found.state] += 1
        assert found.state != "valid" or found == unflipped
    print(dict(seen))
    unseen = {part for part, state in seen if state == "valid"}
    assert unseen <= LEFT_OUT
    assert sum(seen.values()) == FLIPS and seen["mdat", "changed"] > 20


def test_every_byte_that_is_seen_or_read_is_covered(clip: Path, tmp_path: Path) -> None:
    """One byte in each of the boxes with frames, index, settings and tags."""
    data = clip.read_bytes()
    path = tmp_path / "flipped.mp4"
    marks = [b"avcC", b"stco", b"\xa9cmt", b"DigitalSourceType", b"Iptc4xmpExt", b"stts"]
    for mark in marks:
        flipped = bytearray(data)
        flipped[data.rindex(mark) + len(mark) + 6] ^= 1
        path.write_bytes(flipped)
        found = examined(path)
        assert found.state == "changed", mark
        assert found.problems == ["The file was changed after it was signed."]


def test_what_is_said_cannot_be_changed_either(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    path = tmp_path / "other.mp4"
    path.write_bytes(data.replace(b"wan-small", b"sora-tiny"))
    found = examined(path)
    assert found.state == "changed"
    assert any("What is said about its making was changed" in each for each in found.problems)
    assert "Do not rely" in found.sentences[0]


@pytest.mark.parametrize("name", ["clip.gif", "poster.jpg", "last.png"])
def test_flips_in_pictures_are_found(signer: ClipSigner, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".gif"):
        encode(FRAMES, path, fps=8, format="gif")
    else:
        Image.fromarray(FRAMES[0]).save(path)
    target = signed(signer, path)
    data = target.read_bytes()
    assert examined(target).state == "valid"
    rng = random.Random(5)
    plain = path.read_bytes()
    inserted = next(
        i for i, pair in enumerate(zip(plain, data, strict=False)) if pair[0] != pair[1]
    )
    states: Counter[str] = Counter()
    for _ in range(40):
        at = rng.randrange(len(plain))
        flipped = bytearray(data)
        flipped[at if at < inserted else at + len(data) - len(plain)] ^= 1 << rng.randrange(8)
        target.write_bytes(flipped)
        states[examined(target).state] += 1
    assert states["valid"] == 0


# -- other makers ----------------------------------------------------------------------------------


MAKERS = [
    ("make_test_images", "0.33", "c2pa.opened", None),
    ("Adobe_Photoshop", "27.1", "c2pa.created", "digitalCapture"),
    ("OpenAI-API", None, "c2pa.created", "trainedAlgorithmicMedia"),
    ("Leica Camera", "M11-P", "c2pa.created", "digitalCapture"),
    ("Ein Programm äöü 犬", "1", "c2pa.created", "compositeWithTrainedAlgorithmicMedia"),
]
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype"


def by_another_maker(
    index: int, signer: Any, folder: Path
) -> tuple[Path, tuple[str, str | None, str, str | None]]:
    """A file that another program would have written: other generators, actions, formats."""
    maker = MAKERS[index % len(MAKERS)]
    name, version, action, source = maker
    suffix = (".png", ".jpg", ".gif", ".webp", ".tif")[index % 5]
    plain, target = folder / f"plain{suffix}", folder / f"{index}{suffix}"
    size = 16 + index
    pixels = np.random.default_rng(index).integers(0, 255, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(plain)
    generator = {"name": name} | ({"version": version} if version else {})
    acted: dict[str, Any] = {"action": action}
    if source:
        acted["digitalSourceType"] = f"{IPTC}/{source}"
    definition: dict[str, Any] = {
        "title": f"file {index}",
        "claim_generator_info": [generator],
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": [acted]}},
            {"label": "stds.schema-org.CreativeWork", "data": {"author": [{"name": "A. Person"}]}},
        ],
    }
    if action == "c2pa.opened":
        acted["parameters"] = {"ingredientIds": ["parent"]}
        parent = {"title": "parent.jpg", "relationship": "parentOf", "instance_id": "parent"}
        definition["ingredients"] = [parent | {"format": "image/jpeg"}]
    context = c2pa.Context.from_dict(settings())
    builder = c2pa.Builder(definition, context)
    with plain.open("rb") as source_file, target.open("w+b") as signed_file:
        builder.sign(signer, file_type(plain), source_file, signed_file)
    return target, maker


def test_files_of_other_makers_are_read(tmp_path: Path) -> None:
    authority = Authority("Example Press")
    credentials = load_credentials(*authority.issue(tmp_path, KEYS["ed25519"]))
    signer = c2pa.Signer.from_info(
        c2pa.C2paSignerInfo(b"ed25519", credentials.chain, credentials.key, None)
    )
    for index in range(50):
        path, (name, version, _, source) = by_another_maker(index, signer, tmp_path)
        began = time.perf_counter()
        found = examined(path)
        assert time.perf_counter() - began < 1
        assert found.state == "valid", (path, found)
        assert found.made_by is not None
        assert (found.made_by.program, found.made_by.version) == (name, version)
        assert found.made_by.source_type == source
        generated = None if source is None else "AlgorithmicMedia" in source
        assert found.made_by.is_generated is generated
        if source is None:
            assert "Whether it was generated is not said." in found.sentences
            assert [each.state for each in found.made_from] == ["none"]


# -- hostile ---------------------------------------------------------------------------------------


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
    from errors import KinoraError

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
