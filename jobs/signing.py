"""Signs finished clips and their pictures, in the server, as the last step before they are stored
for good. A clip that cannot be signed is finished all the same."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jobs.artifacts import MANIFEST, Artifacts
from jobs.edit_inputs import find_clip
from jobs.job import Job, Provenance, Result, is_job_id
from media.files import atomic_write
from media.provenance.c2pa_package import (
    NOT_INSTALLED,
    SIDECAR,
    SIDECAR_ONLY,
    TYPES,
    UnavailableError,
)
from media.provenance.generated_mark import is_marked_as_generated
from pipelines.models.cards import ModelCard
from pipelines.request import Adjustment
from settings import VERSION, Settings

if TYPE_CHECKING:
    from media.operations.edit_request import EditRequest
    from media.provenance.claims import Ingredient, Making, Relationship
    from media.provenance.signer import ClipSigner

T = TypeVar("T")

log = logging.getLogger(__name__)

FOLDER = "signing"
"""In the data folder: the self-made certificate and its key."""
RETRY_S = 60.0
"""After the certificate could not be loaded: the operator may have repaired it."""
UNSIGNED = "This clip could not be signed: it has no Content Credentials."
UNSIGNED_GENERATED = (
    "This clip could not be signed: it has no Content Credentials, only the tag “AI generated”."
)
NO_PLACE = "A zip has no place for Content Credentials."
NO_PLACE_GENERATED = (
    "A zip has no place for Content Credentials: its pictures have only the tag “AI generated”."
)


class Signing:
    """Thread-safe."""

    def __init__(
        self, artifacts: Artifacts, settings: Settings, cards: Mapping[str, ModelCard]
    ) -> None:
        self._artifacts, self._settings, self._cards = artifacts, settings, cards
        self._lock = threading.Lock()
        self._signer: ClipSigner | None = None
        self._problem: str | None = None
        self._failed_at: float | None = None

    def prepare(self) -> None:
        """Loads the library and the certificate, in a thread of its own: that takes a moment."""
        if self._settings.sign:
            threading.Thread(target=self._find_signer, name="signing", daemon=True).start()

    def sign(self, job: Job, result: Result) -> Result:
        """The result with `provenance` and the size of the signed clip. Raises nothing: a clip that
        cannot be signed is not lost. A clip that is signed already stays as it is."""
        if not self._settings.sign:
            return result
        try:
            if self._is_signed(job.id, result):
                return result
            with tempfile.TemporaryDirectory(prefix="kinora-") as archives:
                return self._sign(job, result, Path(archives))
        except Exception:  # of any kind, from the library too: the clip is finished and not lost
            log.exception("Signing failed, the clip is kept without a signature (job=%s).", job.id)
            return _unsigned(result, _unsigned_sentence(result))

    def sign_copy(self, path: Path, title: str) -> None:
        """Signs a contact sheet, a grid video or the copy of a clip in its place, without a model
        and a prompt. A WebM stays as it is, with its plain tags. Raises nothing."""
        if not self._settings.sign or path.suffix in SIDECAR_ONLY:
            return
        try:
            signer = self._find_signer()
            if signer is not None:
                making = replace(_making(title), is_generated=is_marked_as_generated(path))
                _replace_signed(signer, path, making)
        except Exception:  # the same for a copy: it stays as it was
            log.exception("Signing failed, the file is kept without a signature (%s).", path.name)

    # -- one clip ----------------------------------------------------------------------------------

    def _is_signed(self, job_id: str, result: Result) -> bool:
        """False for a clip that was being signed when the server was killed."""
        is_said = result.provenance is not None and result.provenance.signed
        return is_said and self._artifacts.size(job_id, result.clip) == result.size_bytes

    def _sign(self, job: Job, result: Result, archives: Path) -> Result:
        """`archives`: an empty folder."""
        signer = self._find_signer()
        if signer is None:
            # a missing package is the operator's business, not a message for every clip
            sentence = _unsigned_sentence(result) if self._problem is None else None
            return _unsigned(result, sentence, self._problem)
        # 1. Fetch the files, where a worker has stored them in an object store.
        is_local = (self._artifacts.folder(job.id) / MANIFEST).is_file()
        making = self._making_of(job, result, archives)
        clip, poster, last = (
            self._fetch(job.id, name) for name in (result.clip, result.poster, result.last_frame)
        )

        # 2. Sign the pictures, then the clip. The manifest with both sizes is stored before the
        # signed clip takes the place of the unsigned one: at every moment the clip is complete.
        for picture in (poster, last):
            _replace_signed(signer, picture, making)
            if not is_local:
                self._artifacts.put(job.id, picture)
        if clip.suffix not in TYPES:
            return _unsigned(result, NO_PLACE_GENERATED if result.generated else NO_PLACE)
        signed = Provenance(signed=True, self_made=signer.is_self_made)
        if clip.suffix in SIDECAR_ONLY:
            sidecar = clip.with_name(f"{clip.name}{SIDECAR}")
            with atomic_write(sidecar) as part:
                part.write_bytes(
                    _with_ingredients(making, lambda each: signer.sign_detached(clip, each))
                )
            signed = signed.model_copy(update={"sidecar": sidecar.name})
            result = result.model_copy(update={"provenance": signed})
            if not is_local:
                self._artifacts.put(job.id, sidecar)
            self._store_manifest(job.id, result, is_local=is_local)
            return result
        with atomic_write(clip) as part:
            _with_ingredients(making, lambda each: signer.sign(clip, part, each))
            sizes = {
                "size_bytes": part.stat().st_size,
                "unsigned_size_bytes": clip.stat().st_size,
            }
            result = result.model_copy(update={"provenance": signed, **sizes})
            self._store_manifest(job.id, result, is_local=is_local)
        if not is_local:
            self._artifacts.put(job.id, clip)
        return result

    def _fetch(self, job_id: str, name: str) -> Path:
        path = self._artifacts.fetch(job_id, name)
        if path is None:
            raise FileNotFoundError(name)
        return path

    def _store_manifest(self, job_id: str, result: Result, *, is_local: bool) -> None:
        text = result.model_dump_json()
        if is_local:
            with atomic_write(self._artifacts.folder(job_id) / MANIFEST) as part:
                part.write_text(text, encoding="utf-8")
            return
        with tempfile.TemporaryDirectory(prefix="kinora-") as folder:
            manifest = Path(folder) / MANIFEST
            manifest.write_text(text, encoding="utf-8")
            self._artifacts.put(job_id, manifest)

    # -- what is said about it ---------------------------------------------------------------------

    def _making_of(self, job: Job, result: Result, archives: Path) -> Making:
        card = self._cards.get(job.fitted.model)
        making = _making(f"kinora-{job.id[:8]}{Path(result.clip).suffix}")
        if job.edit:
            return replace(
                making,
                model=job.fitted.model or None,
                is_generated=result.generated,
                ingredients=tuple(self._sources(job.edit, archives)),
                edits=tuple(step.title for step in job.edit.operations),
            )
        return replace(
            making,
            model=job.fitted.model,
            revision=card.revision if card else None,
            prompt=job.fitted.prompt if self._settings.sign_prompt else None,
            ingredients=tuple(self._ingredients(job)),
        )

    def _ingredients(self, job: Job) -> list[Ingredient]:
        fitted = job.fitted
        inputs: list[tuple[str | None, str, str, Relationship]] = [
            (fitted.image, "First picture", ".png", "inputTo"),
            (fitted.last_image, "Last picture", ".png", "inputTo"),
            (fitted.video, "Clip", ".mp4", "inputTo"),
            (fitted.continue_from, "Continued clip", ".mp4", "componentOf"),
        ]
        found: dict[str, Ingredient] = {}
        for name, title, suffix, relationship in inputs:
            if name is not None and name not in found:
                found[name] = self._ingredient(name, title, suffix, relationship)
        return list(found.values())

    def _sources(self, edit: EditRequest, archives: Path) -> Iterator[Ingredient]:
        """The clips of an edit, each with its own credentials."""
        from media.provenance.claims import Ingredient, archive_name
        from media.provenance.sandbox import read_ingredient

        for name in dict.fromkeys(edit.clips):
            if not is_job_id(name):
                yield self._ingredient(name, "Clip", ".mp4", "componentOf")
                continue
            archive: Path | None = None
            clip = find_clip(self._artifacts, name)
            if clip is None:  # deleted meanwhile
                continue
            title = f"kinora-{name[:8]}{clip.suffix}"
            for relationship, data in read_ingredient(clip, name, title, ("componentOf",)).items():
                archive = archives / archive_name(name, relationship)
                archive.write_bytes(data)
            type = TYPES.get(clip.suffix, "application/octet-stream")
            yield Ingredient(name, title, type, "componentOf", archive)

    def _ingredient(
        self, name: str, title: str, suffix: str, relationship: Relationship
    ) -> Ingredient:
        from media.provenance.claims import Ingredient, archive_name

        archive = self._artifacts.fetch_upload(archive_name(name, relationship))
        return Ingredient(name, title, TYPES[suffix], relationship, archive)

    # -- the certificate ---------------------------------------------------------------------------

    def _find_signer(self) -> ClipSigner | None:
        """None if there is none; the log says why."""
        with self._lock:
            recently = self._failed_at is not None and time.monotonic() - self._failed_at < RETRY_S
            if self._signer is None and not recently and self._problem is None:
                self._signer = self._load_signer()
                self._failed_at = None if self._signer else time.monotonic()
            return self._signer

    def _load_signer(self) -> ClipSigner | None:
        try:
            from media.provenance.certificates import load_credentials, self_made_credentials
            from media.provenance.signer import ClipSigner
        except ImportError:  # `cryptography` comes with the library
            return self._give_up(NOT_INSTALLED)
        settings = self._settings
        try:
            if settings.sign_certificate or settings.sign_key:
                if not (settings.sign_certificate and settings.sign_key):
                    raise ValueError("set both KINORA_SIGN_CERTIFICATE and KINORA_SIGN_KEY")
                credentials = load_credentials(settings.sign_certificate, settings.sign_key)
            else:
                credentials = self_made_credentials(settings.data_dir / FOLDER)
            return ClipSigner(credentials, settings.timestamp_url)
        except UnavailableError as error:
            return self._give_up(str(error))
        except Exception as error:  # ValueError, OSError, or whatever the library raises
            log.error("Clips are not signed until this is solved: %s", error)
            return None

    def _give_up(self, problem: str) -> None:
        log.warning("Clips are not signed. %s", problem)
        self._problem = problem


def _making(title: str) -> Making:
    from media.provenance.claims import Making

    return Making(title=title, version=VERSION, made_at=datetime.now(timezone.utc))


def _with_ingredients(making: Making, sign: Callable[[Making], T]) -> T:
    """Signs, and if an input's own credentials cannot be used, signs again without them."""
    try:
        return sign(making)
    except Exception as error:
        if not any(each.archive for each in making.ingredients):
            raise
        log.warning("Signing failed, trying without the credentials of the inputs: %s", error)
        plain = tuple(replace(each, archive=None) for each in making.ingredients)
        return sign(replace(making, ingredients=plain))


def _replace_signed(signer: ClipSigner, path: Path, making: Making) -> None:
    with atomic_write(path) as part:
        _with_ingredients(making, lambda each: signer.sign(path, part, each))


def _unsigned_sentence(result: Result) -> str:
    return UNSIGNED_GENERATED if result.generated else UNSIGNED


def _unsigned(result: Result, sentence: str | None, problem: str | None = None) -> Result:
    provenance = Provenance(signed=False, problem=problem or sentence)
    changes = result.adjustments
    if sentence is not None:
        changes += (
            Adjustment(field="provenance", asked="signed", used="unsigned", sentence=sentence),
        )
    return result.model_copy(update={"provenance": provenance, "adjustments": changes})
