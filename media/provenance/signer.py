"""ClipSigner: signs finished files with C2PA."""

from __future__ import annotations

import io
import logging
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from media.provenance import c2pa_package
from media.provenance.certificates import Credentials
from media.provenance.claims import Making, Relationship, instance_id

log = logging.getLogger(__name__)

MAX_ARCHIVE_BYTES = 4_000_000
"""Of an ingredient's own credentials; larger ones are left out, and the ingredient stays."""
TIMESTAMP_S = 10.0
"""Until a file is signed without a time stamp, because the authority does not answer."""
CLIPS = (".mp4", ".webm", ".gif")
SPOOL_BYTES = 32_000_000

T = TypeVar("T")


class ClipSigner:
    """Thread-safe. The key stays in this object and in the library's memory."""

    def __init__(self, credentials: Credentials, timestamp_url: str | None = None) -> None:
        """Raises UnavailableError, and c2pa.C2paError for credentials that it refuses."""
        self.is_self_made = credentials.is_self_made
        self._context = _signing_context(credentials, None)
        self._stamping = timestamp_url and _signing_context(credentials, timestamp_url)
        self._lock = threading.Lock()

    def sign(self, source: Path, target: Path, making: Making) -> None:
        """Writes the signed file. Raises c2pa.C2paError or OSError."""
        with target.open("w+b") as signed:
            self._sign(source, signed, making)

    def sign_detached(self, source: Path, making: Making) -> bytes:
        """The credentials for a container that has no place for them, for a sidecar file."""
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as copy:
            return self._sign(source, cast(BinaryIO, copy), making, embed=False)

    def _sign(self, source: Path, signed: BinaryIO, making: Making, *, embed: bool = True) -> bytes:
        def sign(context: Any, into: BinaryIO) -> bytes:
            with source.open("rb") as file:
                builder = _builder(making, context)
                if not embed:
                    builder.set_no_embed()
                return builder.sign(c2pa_package.TYPES[source.suffix], file, into)

        with self._lock:
            if self._stamping and source.suffix in CLIPS:  # their pictures are not time-stamped
                stamped = _within(TIMESTAMP_S, lambda: _buffered(sign, self._stamping))
                if stamped is not None:
                    data, manifest = stamped
                    signed.write(data)
                    return manifest
            return sign(self._context, signed)


def sidecar_of(path: Path) -> Path:
    return path.with_name(path.name + c2pa_package.SIDECAR)


def describe_ingredient(
    file: BinaryIO, type: str, file_id: str, title: str, relationship: Relationship
) -> bytes | None:
    """The Content Credentials of a file, validated against it, for a file that is made from it;
    None if it has none. Raises c2pa.C2paError."""
    c2pa = c2pa_package.load()
    context = c2pa.Context.from_dict(c2pa_package.settings())
    if c2pa.Reader.try_create(type, file, context=context) is None:
        return None
    file.seek(0)
    about = {"title": title, "relationship": relationship, "instance_id": instance_id(file_id)}
    builder = c2pa.Builder({"claim_generator_info": [{"name": "Kinora"}]}, context)
    builder.add_ingredient(about, type, file)
    archive = io.BytesIO()
    builder.write_ingredient_archive(instance_id(file_id), archive)
    return archive.getvalue()


def _signing_context(credentials: Credentials, timestamp_url: str | None) -> Any:
    c2pa = c2pa_package.load()
    info = c2pa.C2paSignerInfo(
        credentials.algorithm.encode(),
        credentials.chain,
        credentials.key,
        timestamp_url.encode() if timestamp_url else None,
    )
    return c2pa.Context.from_dict(c2pa_package.settings(), signer=c2pa.Signer.from_info(info))


def _builder(making: Making, context: Any) -> Any:
    archives = {
        each.id: each.archive.read_bytes()
        for each in making.ingredients
        if each.archive and each.archive.stat().st_size <= MAX_ARCHIVE_BYTES
    }
    plain = tuple(each for each in making.ingredients if each.id not in archives)
    builder = c2pa_package.load().Builder(making.manifest(plain), context)
    for archive in archives.values():
        builder.add_ingredient_from_archive(io.BytesIO(archive))
    return builder


def _buffered(sign: Callable[[Any, BinaryIO], bytes], context: Any) -> tuple[bytes, bytes]:
    """In memory: after a time-out its thread still runs, and must not write the file."""
    signed = io.BytesIO()
    manifest = sign(context, signed)
    return signed.getvalue(), manifest


def _within(seconds: float, work: Callable[[], T]) -> T | None:
    """None if it fails or takes longer."""
    results: list[T] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # whatever the authority or the network does
            log.warning("Time stamp failed, signing without one: %s", error)

    thread = threading.Thread(target=run, name="time-stamp", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        log.warning("Time stamp timeout, signing without one.")
    return results[0] if results else None
