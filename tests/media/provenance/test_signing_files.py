"""Signed files, as C2PA's own reader validates them."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import av
import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from PIL import Image

from media import mp4
from media.encode import encode
from media.metadata import read_comment
from media.provenance.c2pa_package import TYPES, settings
from media.provenance.certificates import (
    SELF_MADE_FILE,
    load_credentials,
    self_made_credentials,
)
from media.provenance.claims import Ingredient, Making, archive_name
from media.provenance.plain_tags import GENERATED
from media.provenance.signer import ClipSigner, describe_ingredient
from media.stills import write_last_frame, write_poster
from pipelines.request import Format
from tests.media.provenance.authorities import CLAIM_SIGNING, EMAIL_PROTECTION, Authority
from tests.media.reading import read
from tests.media.test_encode import moving

MAKING = Making(
    title="clip.mp4",
    version="0.1.0",
    made_at=datetime(2026, 11, 30, 10, tzinfo=timezone.utc),
    model="wan-small",
    revision="0123abc",
)
FRAMES = moving(9, 48, 64)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> ClipSigner:
    return ClipSigner(self_made_credentials(tmp_path_factory.mktemp("signing")))


def validated(path: Path, manifest: bytes | None = None, **trust: str) -> dict[str, Any]:
    """What c2pa's reader finds; with our settings, which fetch nothing."""
    context = c2pa.Context.from_dict(settings(**trust))
    with path.open("rb") as file:
        reader = c2pa.Reader(TYPES[path.suffix], file, manifest, context=context)
        return json.loads(reader.json())


def active(found: dict[str, Any]) -> dict[str, Any]:
    return found["manifests"][found["active_manifest"]]


def assertion(found: dict[str, Any], label: str) -> dict[str, Any]:
    return next(a["data"] for a in active(found)["assertions"] if a["label"] == label)


def made(tmp_path: Path, format: Format = "mp4") -> Path:
    return encode(FRAMES, tmp_path / f"clip.{format}", fps=8, format=format, comment="{}").path


def signed(signer: ClipSigner, path: Path, making: Making = MAKING) -> Path:
    target = path.with_name(f"signed{path.suffix}")
    signer.sign(path, target, making)
    return target


def test_a_signed_mp4_says_that_a_model_made_it_and_which(
    signer: ClipSigner, tmp_path: Path
) -> None:
    found = validated(signed(signer, made(tmp_path)))
    assert found["validation_state"] == "Valid"
    (action,) = assertion(found, "c2pa.actions.v2")["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"] == GENERATED
    assert action["softwareAgent"] == {"name": "wan-small", "version": "0123abc"}
    assert action["when"] == "2026-11-30T10:00:00+00:00"
    generator = active(found)["claim_generator_info"][0]
    assert (generator["name"], generator["version"]) == ("Kinora", "0.1.0")
    generation = assertion(found, "app.kinora.generation")
    assert generation == {"model": "wan-small", "model_revision": "0123abc"}


def test_a_signature_changes_neither_the_frames_nor_the_order_of_the_file(
    signer: ClipSigner, tmp_path: Path
) -> None:
    plain = made(tmp_path)
    path = signed(signer, plain)
    before, after = read(plain), read(path)
    assert np.array_equal(before.frames, after.frames)
    assert before.times == after.times
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert read_comment(path) == {}
    assert path.stat().st_size - plain.stat().st_size < 8_000


@pytest.mark.parametrize("name", ["clip.gif", "poster.jpg", "last.png"])
def test_gifs_and_pictures_are_signed_too(signer: ClipSigner, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "clip.gif":
        made(tmp_path, "gif")
    elif name == "poster.jpg":
        write_poster(FRAMES, path)
    else:
        write_last_frame(FRAMES, path)
    with Image.open(path) as before:
        frames = getattr(before, "n_frames", 1)
        pixels = np.asarray(before.convert("RGB"))
    result = signed(signer, path)
    assert validated(result)["validation_state"] == "Valid"
    with Image.open(result) as after:
        assert getattr(after, "n_frames", 1) == frames
        assert np.array_equal(np.asarray(after.convert("RGB")), pixels)


def test_the_credentials_of_a_webm_stand_beside_it(signer: ClipSigner, tmp_path: Path) -> None:
    path = made(tmp_path, "webm")
    before = path.read_bytes()
    manifest = signer.sign_detached(path, MAKING)
    assert path.read_bytes() == before
    assert validated(path, manifest)["validation_state"] == "Valid"
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert validated(path, manifest)["validation_state"] == "Invalid"


def test_the_prompt_is_signed_only_where_it_is_given(signer: ClipSigner, tmp_path: Path) -> None:
    path = signed(signer, made(tmp_path), MAKING)
    assert b"a secret dog" not in path.read_bytes()
    told = Making(**{**MAKING.__dict__, "prompt": "a secret dog"})
    found = validated(signed(signer, made(tmp_path), told))
    assert assertion(found, "app.kinora.generation")["prompt"] == "a secret dog"


# -- plain tags ------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", get_args(Format))
def test_unsigned_files_say_that_they_are_generated(tmp_path: Path, format: Format) -> None:
    path = made(tmp_path, format)
    with av.open(str(path)) as clip:
        tags = {name.lower(): value for name, value in clip.metadata.items()}
    if format != "gif":
        assert tags["digitalsourcetype"] == GENERATED
        assert tags["description"] == "AI generated"
    if format != "webm":
        assert f'Iptc4xmpExt:DigitalSourceType="{GENERATED}"'.encode() in path.read_bytes()


def test_the_xmp_of_an_mp4_is_in_the_box_that_xmp_has(tmp_path: Path) -> None:
    path = made(tmp_path)
    with path.open("rb") as file:
        (box,) = [atom for atom in mp4.atoms(file, 0, path.stat().st_size) if atom.kind == b"uuid"]
        file.seek(box.start)
        body = file.read(box.end - box.start)
    assert body[:16].hex() == "be7acfcb97a942e89c71999491e3afac"
    assert body[16:].startswith(b"<?xpacket")


def test_pictures_say_in_xmp_that_they_are_generated(tmp_path: Path) -> None:
    write_poster(FRAMES, tmp_path / "poster.jpg")
    write_last_frame(FRAMES, tmp_path / "last.png")
    for name in ("poster.jpg", "last.png"):
        with Image.open(tmp_path / name) as picture:
            picture.load()
            assert GENERATED.encode() in bytes(picture.info["xmp"])


# -- ingredients -----------------------------------------------------------------------------------


def ingredient(
    tmp_path: Path, path: Path, relationship: Any, file_id: str = "ab" * 32
) -> Ingredient:
    with path.open("rb") as file:
        archive = describe_ingredient(
            file, TYPES[path.suffix], file_id, "Continued clip", relationship
        )
    kept = None
    if archive is not None:
        kept = tmp_path / archive_name(file_id, relationship)
        kept.write_bytes(archive)
    return Ingredient(file_id, "Continued clip", TYPES[path.suffix], relationship, kept)


def test_an_ingredient_keeps_its_own_manifest(signer: ClipSigner, tmp_path: Path) -> None:
    first = signed(signer, made(tmp_path))
    part = ingredient(tmp_path, first, "componentOf")
    second = Making(**{**MAKING.__dict__, "ingredients": (part,)})
    found = validated(signed(signer, made(tmp_path), second))
    assert found["validation_state"] == "Valid"
    (kept,) = active(found)["ingredients"]
    assert kept["relationship"] == "componentOf"
    assert kept["active_manifest"] in found["manifests"]
    created, placed = assertion(found, "c2pa.actions.v2")["actions"]
    assert created["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert placed["action"] == "c2pa.placed" and placed["parameters"]["ingredients"]


def test_an_ingredient_without_a_manifest_is_named(signer: ClipSigner, tmp_path: Path) -> None:
    picture = tmp_path / "given.png"
    write_last_frame(FRAMES, picture)
    given = ingredient(tmp_path, picture, "inputTo")
    assert given.archive is None
    making = Making(**{**MAKING.__dict__, "ingredients": (given,)})
    found = validated(signed(signer, made(tmp_path), making))
    (kept,) = active(found)["ingredients"]
    assert (kept["relationship"], kept["format"]) == ("inputTo", "image/png")
    (created,) = assertion(found, "c2pa.actions.v2")["actions"]
    assert created["digitalSourceType"] == GENERATED


def test_a_changed_ingredient_stays_marked_as_changed(signer: ClipSigner, tmp_path: Path) -> None:
    first = signed(signer, made(tmp_path))
    data = bytearray(first.read_bytes())
    data[data.index(b"mdat") + 100] ^= 1
    first.write_bytes(data)
    part = ingredient(tmp_path, first, "inputTo")
    found = validated(
        signed(signer, made(tmp_path), Making(**{**MAKING.__dict__, "ingredients": (part,)}))
    )
    assert found["validation_state"] == "Valid"
    results = active(found)["ingredients"][0]["validation_results"]["activeManifest"]
    assert "assertion.bmffHash.mismatch" in [each["code"] for each in results["failure"]]


# -- certificates ----------------------------------------------------------------------------------


def test_the_self_made_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    credentials = self_made_credentials(tmp_path / "signing")
    path = tmp_path / "signing" / SELF_MADE_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"PRIVATE" in path.read_bytes() and b"PRIVATE" not in credentials.chain
    assert "PRIVATE" not in repr(credentials)
    assert self_made_credentials(tmp_path / "signing") == credentials
    left = {each.name for each in (tmp_path / "signing").iterdir()} - {"self-made.lock"}
    assert left == {SELF_MADE_FILE}


@pytest.mark.parametrize("there", [None, b"damaged"])
def test_processes_that_start_together_get_the_same_certificate(
    tmp_path: Path, there: bytes | None
) -> None:
    for number in range(12):
        folder = tmp_path / str(number)
        folder.mkdir()
        if there:
            (folder / SELF_MADE_FILE).write_bytes(there)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(self_made_credentials, [folder] * 8))
        assert len({each.chain for each in found}) == 1


@pytest.mark.parametrize("data", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAA\n"])
def test_a_damaged_self_made_certificate_is_made_anew(tmp_path: Path, data: bytes) -> None:
    (tmp_path / SELF_MADE_FILE).write_bytes(data)
    assert self_made_credentials(tmp_path).is_self_made


def test_the_self_made_chain_follows_the_profile(tmp_path: Path) -> None:
    leaf, authority = x509.load_pem_x509_certificates(self_made_credentials(tmp_path).chain)
    leaf.verify_directly_issued_by(authority)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    uses = [use.dotted_string for use in _value(leaf, x509.ExtendedKeyUsage)]
    assert "1.3.6.1.4.1.62558.2.1" in uses and "2.5.29.37.0" not in uses
    assert _value(leaf, x509.KeyUsage).digital_signature
    assert not _value(leaf, x509.KeyUsage).key_cert_sign


def _value(certificate: x509.Certificate, kind: Any) -> Any:
    return certificate.extensions.get_extension_for_class(kind).value


KEYS = {
    "es256": ec.generate_private_key(ec.SECP256R1()),
    "es384": ec.generate_private_key(ec.SECP384R1()),
    "ps256": rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize("use", [CLAIM_SIGNING, EMAIL_PROTECTION])
@pytest.mark.parametrize("algorithm", KEYS)
def test_ones_own_certificate_signs_and_is_trusted_by_its_root(
    tmp_path: Path, algorithm: str, use: str
) -> None:
    authority = Authority("Example Press")
    certificate, key = authority.issue(tmp_path, KEYS[algorithm], use=use)
    credentials = load_credentials(certificate, key)
    assert credentials.algorithm == algorithm
    path = signed(ClipSigner(credentials), made(tmp_path))
    found = validated(path, trust_anchors=authority.root_pem)
    assert found["validation_state"] == "Trusted"
    assert active(found)["signature_info"]["issuer"] == "Example Press"


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"ends": datetime.now(timezone.utc) - timedelta(days=1)}, "expired"),
    "not a signature": ({"digital_signature": False}, "Key Usage"),
    "for servers": ({"use": "1.3.6.1.5.5.7.3.1"}, "Extended Key Usage"),
    "of another key": ({"other_key": True}, "does not belong"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_certificate_that_cannot_sign_is_refused_with_its_reason(
    tmp_path: Path, case: str
) -> None:
    options, words = UNUSABLE[case]
    certificate, key = Authority("Example Press").issue(tmp_path, KEYS["es256"], **options)
    with pytest.raises(ValueError, match=words):
        load_credentials(certificate, key)


def test_files_that_are_no_certificate_are_refused(tmp_path: Path) -> None:
    certificate, key = Authority("Example Press").issue(tmp_path, KEYS["es256"])
    with pytest.raises(ValueError, match="cannot be read"):
        load_credentials(tmp_path / "nowhere.pem", key)
    with pytest.raises(ValueError, match="PEM"):
        load_credentials(key, certificate)
    locked = KEYS["es256"].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    key.write_bytes(locked)
    with pytest.raises(ValueError, match="without a password"):
        load_credentials(certificate, key)
