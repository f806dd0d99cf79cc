"""Stores the files of clips: in a local folder, on a shared disk, or in an object store.

On a disk, files are made in place or moved into it. In an object store (ARTIFACTS_URL, through
fsspec) they are uploaded with the manifest last, and cached in the local folder when they are read
here; browsers download them with signed URLs. Stored files never change.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from errors import ErrorCode, KinoraError
from jobs.job import Job
from media import files, unmarked
from media.files import NO_ROOM, atomic_write
from media.operations.operation import FileKind

log = logging.getLogger(__name__)

MANIFEST = "result.json"
"""Written last: if it is complete, so is the clip."""

CREDENTIAL_SUFFIXES = (".inputTo.c2pa", ".componentOf.c2pa")
"""An upload's own Content Credentials, by C2PA's word for what a clip has of it."""
FILE_SUFFIXES: dict[FileKind, str] = {
    "clip": ".mp4",
    "picture": ".png",
    "sound": ".flac",
    "lut": ".cube",
    "subtitles": ".vtt",
}
"""What is uploaded, and the suffix of the stored file."""
UPLOAD_SUFFIXES = (*FILE_SUFFIXES.values(), ".json", *CREDENTIAL_SUFFIXES)
SIGNED_S = 3600


def upload_files(name: str) -> Iterator[str]:
    """The names that the files of an upload may have, below the folder of uploads."""
    yield from (f"{name}{suffix}" for suffix in UPLOAD_SUFFIXES)
    yield from (f"{unmarked.FOLDER}/{name}{suffix}" for suffix in unmarked.SUFFIXES)


class Artifacts:
    """`root` is a folder; `_remote` is an object store, or None."""

    def __init__(self, data: Path, url: str | None = None) -> None:
        on_disk = url is None or urlsplit(url).scheme in ("", "file")
        self.is_shared = url is not None
        """Other servers store files there too, so unknown files must not be deleted."""
        self.root = _path_of(url) if url and on_disk else data
        self.jobs = self.root / "jobs"
        self.uploads_folder = self.root / "pictures"
        self._remote: Any = None
        self._prefix = ""
        if url and not on_disk:
            self._remote, self._prefix = _open(url)

    @property
    def is_remote(self) -> bool:
        """Whether files are in an object store, and the local ones are copies."""
        return self._remote is not None

    def folder(self, job_id: str) -> Path:
        return self.jobs / job_id

    # -- clips -----------------------------------------------------------------------------------

    def publish(self, job_id: str, made: Path) -> None:
        """Stores all files of a worker's folder, the manifest last."""
        names = sorted(path.name for path in made.iterdir() if path.is_file())
        names.sort(key=lambda name: name == MANIFEST)
        with _storage_errors():
            if self._remote is None:
                files.publish([made / name for name in names], self.folder(job_id))
                return
            for name in names:
                self._remote.put_file(str(made / name), self._key("jobs", job_id, name))

    def put(self, job_id: str, made: Path) -> None:
        """Stores one file."""
        with _storage_errors():
            if self._remote is not None:
                self._remote.put_file(str(made), self._key("jobs", job_id, made.name))
            elif made != self.folder(job_id) / made.name:
                files.publish([made], self.folder(job_id))

    def strip(self, job_id: str, but: frozenset[str], prefix: str) -> None:
        """Removes all files of a clip except these and those whose names begin with `prefix`."""

        def is_kept(name: str) -> bool:
            return name in but or name.startswith(prefix)

        for path in files.list_or_empty(self.folder(job_id)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif not is_kept(path.name):
                path.unlink(missing_ok=True)
        if self._remote is None:
            return
        with _storage_errors(), contextlib.suppress(FileNotFoundError):
            self._remote.invalidate_cache()
            for key in self._remote.find(self._key("jobs", job_id)):
                if not is_kept(key.rsplit("/", 1)[-1]):
                    self._remote.rm_file(key)

    def drop(self, job_id: str, name: str) -> None:
        """Removes one file from all places."""
        (self.folder(job_id) / name).unlink(missing_ok=True)
        if self._remote is not None:
            with _storage_errors(), contextlib.suppress(FileNotFoundError):
                self._remote.rm_file(self._key("jobs", job_id, name))

    def keep(self, job_id: str) -> None:
        """Uploads a clip that was made in place."""
        if self._remote is not None and (self.folder(job_id) / MANIFEST).is_file():
            self.publish(job_id, self.folder(job_id))

    def fetch(self, job_id: str, name: str) -> Path | None:
        """The local path of a file, downloaded if necessary; None if it does not exist."""
        path = self.folder(job_id) / name
        if path.is_file() or self._remote is None:
            return path if path.is_file() else None
        return path if self._download(self._key("jobs", job_id, name), path) else None

    def size(self, job_id: str, name: str) -> int | None:
        """Bytes of the stored file; None if it does not exist."""
        if self._remote is None:
            stat = files.stat_or_none(self.folder(job_id) / name)
            return stat.st_size if stat else None
        with _storage_errors(), contextlib.suppress(FileNotFoundError):
            self._remote.invalidate_cache()
            return int(self._remote.info(self._key("jobs", job_id, name))["size"])
        return None

    def manifest(self, job_id: str) -> bytes | None:
        if self._remote is None:
            try:
                return (self.folder(job_id) / MANIFEST).read_bytes()
            except OSError:
                return None
        with _storage_errors(), contextlib.suppress(FileNotFoundError):
            return self._remote.cat_file(self._key("jobs", job_id, MANIFEST))
        return None

    def remove(self, job_id: str) -> None:
        shutil.rmtree(self.folder(job_id), ignore_errors=True)
        if self._remote is None:
            return
        with _storage_errors(), contextlib.suppress(FileNotFoundError):
            self._remote.invalidate_cache()
            # the manifest first: a clip without one does not exist
            keys = self._remote.find(self._key("jobs", job_id))
            for key in sorted(keys, key=lambda key: not key.endswith(MANIFEST)):
                self._remote.rm_file(key)

    def address(self, job_id: str, name: str, *, as_name: str | None = None) -> str | None:
        """A signed URL that is valid for an hour; None if the server must send the file."""
        if self._remote is None:
            return None
        options = {"ResponseContentDisposition": f'attachment; filename="{as_name}"'}
        with (
            _storage_errors(),
            contextlib.suppress(NotImplementedError),
        ):  # not every store can sign
            key = self._key("jobs", job_id, name)
            return self._remote.sign(key, expiration=SIGNED_S, **(options if as_name else {}))
        return None

    # -- sizes and ages ---------------------------------------------------------------------------

    def stored_bytes(self, *job_ids: str) -> dict[str, int]:
        """The sizes of these clips in the object store, or of all of them."""
        found = dict.fromkeys(job_ids, 0)
        for place in [self._key("jobs", each) for each in job_ids] or [self._key("jobs")]:
            for key, info in self._listed(place).items():
                job_id = key.rsplit("/", 2)[-2]
                found[job_id] = found.get(job_id, 0) + int(info["size"])
        return found

    def stored_uploads(self, older_than_s: float) -> set[str]:
        """The ids of uploads in the object store that are older than this."""
        then = datetime.now(timezone.utc) - timedelta(seconds=older_than_s)
        listed = self._listed(self._key("pictures"))
        return {
            key.rsplit("/", 1)[-1].partition(".")[0]
            for key, info in listed.items()
            if info.get("LastModified") and info["LastModified"] < then
        }

    def remove_upload(self, name: str) -> None:
        for file in upload_files(name):
            with _storage_errors(), contextlib.suppress(FileNotFoundError):
                self._remote.rm_file(self._key("pictures", file))

    # -- inputs ---------------------------------------------------------------------------------

    def share_uploads(self, job: Job) -> None:
        """Uploads the job's inputs for workers on other machines."""
        if self._remote is None:
            return
        with _storage_errors():
            for name in _input_files(job):
                path = self.uploads_folder / name
                key = self._key("pictures", name)
                if path.is_file() and not self._remote.exists(key):
                    self._remote.put_file(str(path), key)

    def fetch_uploads(self, job: Job, folder: Path) -> None:
        """Downloads the job's inputs to a worker's folder, unless they are on a shared disk."""
        if self._remote is not None:
            for name in _input_files(job):
                if not name.endswith(CREDENTIAL_SUFFIXES):  # only the server signs
                    self._download(self._key("pictures", name), folder / name)

    def fetch_clip(self, job_id: str, folder: Path) -> None:
        """Downloads a finished clip and what lies beside it from the object store to a worker's
        folder."""
        for key in self._listed(self._key("jobs", job_id)):
            name = key.rsplit("/", 1)[-1]
            if name == MANIFEST or Path(name).stem in ("clip", Path(unmarked.CLIP).stem):
                self._download(key, folder / "jobs" / job_id / name)

    def fetch_upload(self, name: str) -> Path | None:
        """The local path of an uploaded file, downloaded if necessary; None if it is not there."""
        path = self.uploads_folder / name
        if path.is_file():
            return path
        if self._remote is None or not self._download(self._key("pictures", name), path):
            return None
        return path

    def store_shared(self, file: Path, name: str, folder: str = "lent") -> None:
        """Stores a file for all servers and workers. The name is a hash of what is in it."""
        with _storage_errors():
            if self._remote is not None:
                key = self._key(folder, name)
                if not self._remote.exists(key):
                    self._remote.put_file(str(file), key)
            elif not (self.root / folder / name).is_file():
                with atomic_write(self.root / folder / name) as part:
                    files.link_or_copy(file, part)

    def fetch_shared(self, name: str, folder: str = "lent") -> Path | None:
        """The local path of such a file, downloaded once; None if it does not exist."""
        path = self.root / folder / name
        if path.is_file():
            return path
        if self._remote is not None and self._download(self._key(folder, name), path):
            return path
        return None

    def shared_names(self, folder: str) -> set[str]:
        """The names of all such files."""
        if self._remote is not None:
            return {key.rsplit("/", 1)[-1] for key in self._listed(self._key(folder))}
        return {path.name for path in files.list_or_empty(self.root / folder)}

    def remove_shared(self, name: str, folder: str) -> None:
        (self.root / folder / name).unlink(missing_ok=True)
        if self._remote is not None:
            with _storage_errors(), contextlib.suppress(FileNotFoundError):
                self._remote.rm_file(self._key(folder, name))

    # -- helpers ---------------------------------------------------------------------------------

    def _listed(self, place: str) -> dict[str, Any]:
        if self._remote is None:
            return {}
        with _storage_errors(), contextlib.suppress(FileNotFoundError):
            self._remote.invalidate_cache()
            return self._remote.find(place, detail=True)
        return {}

    def _download(self, key: str, path: Path) -> bool:
        with _storage_errors(), contextlib.suppress(FileNotFoundError), atomic_write(path) as part:
            self._remote.get_file(key, str(part))
            return True
        return False

    def _key(self, *parts: str) -> str:
        return "/".join([self._prefix, *parts])


def _input_files(job: Job) -> Iterator[str]:
    request = job.request
    inputs = (request.image, request.last_image, request.video, request.continue_from)
    uploads = (*filter(None, inputs), *job.edit_uploads)
    for name in dict.fromkeys(uploads):
        yield from upload_files(name)


def _open(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        # no cached listings: other machines write there too
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if urlsplit(url).scheme == "s3":  # the older signatures are refused in newer regions
            options["config_kwargs"] = {"signature_version": "s3v4"}
        remote, prefix = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            "The storage of ARTIFACTS_URL is not supported by the installed packages. "
            "For s3:// install requirements-scale.txt.",
        ) from error
    return remote, str(prefix).rstrip("/")


def _path_of(url: str) -> Path:
    """The folder of a file URL. `?` and `#` belong to its name: a folder has no query."""
    if "://" not in url:
        return Path(url.removeprefix("file:")).absolute()
    where = url.partition("://")[2]
    if not where.startswith("/"):
        raise KinoraError(
            ErrorCode.INVALID_INPUT, "ARTIFACTS_URL for a disk needs three slashes: file:///shared."
        )
    return Path(unquote(where)).absolute()


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Turns any exception of the storage libraries into a KinoraError, except FileNotFoundError."""
    try:
        yield
    except (KinoraError, FileNotFoundError):
        raise
    except Exception as error:
        if getattr(error, "errno", None) in NO_ROOM:
            raise KinoraError(ErrorCode.OUT_OF_DISK) from error
        if _is_store_full(error):
            raise KinoraError(ErrorCode.OUT_OF_DISK, STORE_FULL) from error
        raise _unreachable(error) from error


STORE_FULL = "The storage for clips is full. Delete some clips and try again."
FULL_CODES = ("XMinioStorageFull", "InsufficientStorage", "InsufficientCapacity", "QuotaExceeded")


def _is_store_full(error: BaseException | None) -> bool:
    """s3fs wraps the store's response in exceptions of its own."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return status == 507 or response.get("Error", {}).get("Code") in FULL_CODES
        error = error.__cause__
    return False


def _unreachable(error: Exception) -> KinoraError:
    log.warning("Artifact storage request failed: %s", error)
    return KinoraError(ErrorCode.UNAVAILABLE, "The storage for clips cannot be reached.")
