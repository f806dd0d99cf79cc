"""Verification: of our files, of other makers' files, and of changed ones."""

from __future__ import annotations

import io
import random
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from PIL import Image

from media import mp4
from media.encode import encode
from media.ffmpeg import base_command
from media.provenance.c2pa_package import settings
from media.provenance.certificates import load_credentials, self_made_credentials
from media.provenance.credential_report import Report, no_report, report_of
from media.provenance.sandbox import file_type, read_credentials
from media.provenance.sandbox_child import examine
from media.provenance.signer import ClipSigner
from tests.media.provenance.authorities import Authority
from tests.media.provenance.test_signing_files import FRAMES, KEYS, made, signed
from tests.unsigned import C2PA_UUID

LEFT_OUT = {"ftyp", "free", "credentials"}
FLIPS = 200


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
