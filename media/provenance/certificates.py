"""The certificate and the key that files are signed with: the operator's, or self-made ones.

The self-made chain is a CA and a leaf by C2PA's certificate profile. The key of the CA is used once
and never stored, so nothing else can be issued under it.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from filelock import FileLock

from media.provenance.claims import SELF_MADE_ISSUER

SELF_MADE_FILE = "self-made.pem"
LOCK_TIMEOUT_S = 60
VALID_DAYS = 3650
RENEW_DAYS = 30
CLAIM_SIGNING = x509.ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
ALLOWED_USES = (CLAIM_SIGNING, ExtendedKeyUsageOID.EMAIL_PROTECTION)
"""Document signing (1.3.6.1.5.5.7.3.36) is allowed too, but has no name in older libraries."""
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
MIN_RSA_BITS = 2048
PEM = serialization.Encoding.PEM
KEY_BEGINS = b"-----BEGIN PRIVATE KEY-----"


@dataclass(frozen=True)
class Credentials:
    """`chain` is PEM, the signing certificate first, without the root where that is public."""

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str
    is_self_made: bool = False


def load_credentials(certificate: Path, key: Path) -> Credentials:
    """The operator's own. Raises ValueError with a sentence if they cannot sign."""
    try:
        chain, private = certificate.read_bytes(), key.read_bytes()
    except OSError as error:
        raise ValueError(
            f"The signing certificate or key cannot be read ({error.strerror})."
        ) from error
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
        loaded = serialization.load_pem_private_key(private, password=None)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "The signing certificate and its key must be PEM files; the key without a password."
        ) from error
    if loaded.public_key() != leaf.public_key():
        raise ValueError("The signing key does not belong to the first certificate of the chain.")
    _check_profile(leaf)
    return Credentials(chain, _pkcs8(loaded), _algorithm(loaded))


def self_made_credentials(folder: Path) -> Credentials:
    """Those in the folder, made if there are none or they expire soon. Several processes may call
    this at once: all get the same ones. Raises OSError."""
    path = folder / SELF_MADE_FILE
    if found := _read_self_made(path):
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock"), timeout=LOCK_TIMEOUT_S):  # Timeout is an OSError
        found = _read_self_made(path)  # another process may have been faster
        if found is None:
            path.unlink(missing_ok=True)
            _create(path, _make_self_made())
            found = _read_self_made(path)
    if found is None:
        raise OSError(f"{path} has no usable certificate")
    return found


def self_made_chain(folder: Path) -> str:
    """The certificates in the folder as PEM, for a verifier; empty if there are none."""
    found = _read_self_made(folder / SELF_MADE_FILE)
    return found.chain.decode() if found else ""


def _read_self_made(path: Path) -> Credentials | None:
    """None if there is none, if it is damaged or if it expires soon."""
    try:
        data = path.read_bytes()
        certificates = x509.load_pem_x509_certificates(data)
        key = serialization.load_pem_private_key(data[data.index(KEY_BEGINS) :], password=None)
    except (FileNotFoundError, ValueError):
        return None
    left = certificates[0].not_valid_after_utc - datetime.now(timezone.utc)
    if left < timedelta(days=RENEW_DAYS) or key.public_key() != certificates[0].public_key():
        return None
    chain = b"".join(each.public_bytes(PEM) for each in certificates)
    return Credentials(chain, _pkcs8(key), "es256", is_self_made=True)


def _create(path: Path, data: bytes) -> None:
    """Writes the file with mode 0600, unless another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(made, path)  # fails if it exists, unlike a rename
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            if not path.exists():
                made.replace(path)
    finally:
        made.unlink(missing_ok=True)


def _make_self_made() -> bytes:
    """A leaf, its CA and the leaf's key, as PEM."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    installation = secrets.token_hex(4)
    begins = datetime.now(timezone.utc) - timedelta(hours=1)  # clocks differ
    ends = begins + timedelta(days=VALID_DAYS)
    issuer = _name(f"Kinora self-made authority {installation}")
    authority = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(authority_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), False)
        .sign(authority_key, hashes.SHA256())
    )
    leaf = (
        x509.CertificateBuilder()
        .subject_name(_name(f"Kinora {installation}"))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(ALLOWED_USES), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), False
        )
        .sign(authority_key, hashes.SHA256())
    )
    return leaf.public_bytes(PEM) + authority.public_bytes(PEM) + _pkcs8(key)


def _pkcs8(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, SELF_MADE_ISSUER),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _check_profile(leaf: x509.Certificate) -> None:
    """Raises ValueError if C2PA's certificate profile does not allow this certificate to sign."""
    now = datetime.now(timezone.utc)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise ValueError("The signing certificate has expired or is not valid yet.")
    try:
        uses = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound as error:
        raise ValueError(
            "The signing certificate needs the extensions Key Usage, Extended Key Usage and "
            "Authority Key Identifier."
        ) from error
    if not usage.digital_signature:
        raise ValueError("The signing certificate does not allow digital signatures (Key Usage).")
    if not uses & {*ALLOWED_USES, DOCUMENT_SIGNING}:
        raise ValueError(
            "The signing certificate needs the Extended Key Usage of C2PA claim signing, document "
            "signing or e-mail protection."
        )


def _algorithm(key: object) -> str:
    """C2PA's name. Raises ValueError for a key that it does not allow."""
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in CURVES:
            return CURVES[key.curve.name]
        case rsa.RSAPrivateKey() if key.key_size >= MIN_RSA_BITS:
            return "ps256"
        case ed25519.Ed25519PrivateKey():
            return "ed25519"
    raise ValueError(
        "The signing key must be P-256, P-384, P-521, Ed25519, or RSA of 2048 bits or more."
    )
