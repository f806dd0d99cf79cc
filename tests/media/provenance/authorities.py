"""A certificate authority of the tests, whose certificates can be wrong on purpose."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
CLAIM_SIGNING = "1.3.6.1.4.1.62558.2.1"
EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"


class Authority:
    def __init__(self, organization: str) -> None:
        self.organization = organization
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._begins = datetime.now(timezone.utc) - timedelta(days=2)
        self._root = (
            self._builder("Root", "Root", self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=False, issues=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )

    @property
    def root_pem(self) -> str:
        return self._root.public_bytes(PEM).decode()

    def issue(
        self,
        folder: Path,
        key: Any,
        *,
        ends: datetime | None = None,
        use: str = CLAIM_SIGNING,
        digital_signature: bool = True,
        other_key: bool = False,
    ) -> tuple[Path, Path]:
        """The paths of the chain and of the key."""
        public = (ec.generate_private_key(ec.SECP256R1()) if other_key else key).public_key()
        leaf = (
            self._builder("Root", "Signer", public, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=digital_signature, issues=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier(use)]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        certificate, private = folder / "chain.pem", folder / "key.pem"
        certificate.write_bytes(leaf.public_bytes(PEM) + self._root.public_bytes(PEM))
        private.write_bytes(
            key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return certificate, private

    def _builder(
        self, issuer: str, subject: str, public_key: Any, ends: datetime | None = None
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(self._name(subject))
            .issuer_name(self._name(issuer))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begins)
            .not_valid_after(ends or datetime.now(timezone.utc) + timedelta(days=30))
        )

    def _name(self, common_name: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.organization),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )


def _usage(*, digital_signature: bool, issues: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=not (digital_signature or issues),
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issues,
        crl_sign=issues,
        encipher_only=False,
        decipher_only=False,
    )
