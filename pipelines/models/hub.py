"""The Hugging Face Hub: lists repositories and fetches files into the Hub's own cache.

Transient failures are retried with backoff. Cached commits are used without the network.

    Hub.listing(repo, revision)    commit, files, sizes; nothing is downloaded
    Hub.read(listing, path)        one small file
    Hub.fetch(listing, paths)      the folder with those files; progress in bytes
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from huggingface_hub import constants
from huggingface_hub.utils import (
    build_hf_headers,
    get_session,
    hf_raise_for_status,
    validate_repo_id,
)

from errors import KinoraError
from pipelines.models.download import Blob, Download, Report, RetryPolicy
from pipelines.models.failures import Reason, failure, hub_reason, is_out_of_disk, is_transient
from settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")

COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit, or of a folder."""

    repo: str
    commit: str
    files: dict[str, Blob]
    name: str
    """The name for people."""
    folder: Path | None = None
    """The folder with the files, if this is no repository of the Hub."""

    @property
    def sizes(self) -> dict[str, int]:
        return {path: blob.size for path, blob in self.files.items()}


class Hub:
    """A client of the Hub's HTTP API and of huggingface_hub's cache on the disk."""

    def __init__(self, settings: Settings, retry_policy: RetryPolicy | None = None) -> None:
        self.retry_policy = retry_policy or RetryPolicy()
        self._token = settings.hf_token.get_secret_value() if settings.hf_token else None

    def listing(self, repo: str, revision: str | None = None, name: str = "") -> Listing:
        """The files at a revision, from the Hub or, where that is unreachable, from the cache.

        Raises KinoraError(MODEL_NOT_FOUND) with the reason, in a sentence about `name`."""
        name = name or repo
        try:
            validate_repo_id(repo)
        except ValueError as error:
            raise failure(Reason.BAD_ID, name) from error
        if "/" not in repo:
            raise failure(Reason.BAD_ID, name)

        # a commit never changes, so a stored listing needs no network
        revision = revision or constants.DEFAULT_REVISION
        if COMMIT.fullmatch(revision) and (known := self._read_listing(repo, revision, name)):
            return known
        try:
            return self._fetch_listing(repo, revision, name)
        except Exception as error:
            reason = hub_reason(error)
            if reason is None:
                raise
            cached = self._find_cached(repo, revision, name)
            if cached is not None and reason in (Reason.OFFLINE, Reason.UNREACHABLE):
                log.warning("Hub not reachable; using the cached copy of %s.", repo)
                return cached
            raise failure(reason, name, revision) from error

    def has_files(self, repo: str, revision: str | None = None) -> bool:
        """Whether any file of it is cached. Uses no network."""
        return self._find_cached(repo, revision or constants.DEFAULT_REVISION, repo) is not None

    def cached_commit(self, repo: str, revision: str | None = None) -> str | None:
        """The commit of a cached revision; None if it is not cached. Uses no network."""
        found = self._find_cached(repo, revision or constants.DEFAULT_REVISION, repo)
        return found.commit or None if found else None

    def read(self, listing: Listing, path: str) -> bytes:
        """A small file of a repository."""
        return (self.fetch(listing, [path]) / path).read_bytes()

    def fetch(self, listing: Listing, paths: list[str], report: Report | None = None) -> Path:
        """Downloads those of `paths` that are missing, resuming partial files; returns the folder.

        One download per repository at a time, in all threads and processes; others wait for it.
        What `report` raises stops it. Raises KinoraError(MODEL_NOT_FOUND, OUT_OF_DISK or
        MODEL_LOAD).
        """
        if listing.folder is not None:
            return listing.folder
        store = self._cache_folder(listing.repo)
        download = Download(
            name=listing.name,
            store=store,
            commit=listing.commit,
            files={path: listing.files[path] for path in paths},
            stream=lambda path, start: self._stream(listing, path, start),
            retry_policy=self.retry_policy,
        )
        try:
            folder = download.run(report or (lambda _done, _total: None))
        except KinoraError:
            raise
        except Exception as error:
            reason = hub_reason(error)
            if is_out_of_disk(error):
                raise failure(Reason.NO_DISK, listing.name, "nothing is left on it") from error
            if reason is None and isinstance(error, OSError) and not _is_interruption(error):
                reason = Reason.NO_CACHE
            if reason is None:
                raise
            raise failure(reason, listing.name, listing.commit) from error
        self._write_listing(listing)
        return folder

    # -- requests --------------------------------------------------------------------------------

    def _fetch_listing(self, repo: str, revision: str, name: str) -> Listing:
        quoted = quote(revision, safe="")
        info = self._with_retries(
            lambda: self._json(f"{constants.ENDPOINT}/api/models/{repo}/revision/{quoted}")[0]
        )
        commit = str(info["sha"])  # becomes a folder name
        if not COMMIT.fullmatch(commit):
            raise failure(Reason.UNREACHABLE, name)
        files: dict[str, Blob] = {}
        page: str | None = f"{constants.ENDPOINT}/api/models/{repo}/tree/{commit}?recursive=true"
        while page:
            url = page
            entries, page = self._with_retries(lambda: self._json(url))  # noqa: B023  # called at once
            for entry in entries:
                if entry["type"] == "file" and _is_safe_path(entry["path"]):
                    lfs = entry.get("lfs") or {}
                    files[entry["path"]] = Blob(
                        size=lfs.get("size", entry["size"]), digest=lfs.get("oid", entry["oid"])
                    )
        listing = Listing(repo=repo, commit=commit, files=files, name=name)
        if revision != commit:
            _write_atomically(self._cache_folder(repo) / "refs" / revision, commit)
        return listing

    def _json(self, url: str) -> tuple[Any, str | None]:
        """The JSON at an address, and the address of the next page."""
        response = get_session().get(
            url, headers=self._headers(), timeout=self.retry_policy.timeout_s
        )
        hf_raise_for_status(response)
        return response.json(), response.links.get("next", {}).get("url")

    def _stream(self, listing: Listing, path: str, start: int) -> Any:
        """A context manager of the response with a file from byte `start` on."""
        url = f"{constants.ENDPOINT}/{listing.repo}/resolve/{listing.commit}/{quote(path)}"
        headers = self._headers() | {"Accept-Encoding": "identity"}  # ranges count stored bytes
        if start:
            headers["Range"] = f"bytes={start}-"
        return get_session().stream(
            "GET", url, headers=headers, timeout=self.retry_policy.timeout_s
        )

    def _headers(self) -> dict[str, str]:
        return build_hf_headers(token=self._token, library_name="kinora")

    def _with_retries(self, request: Callable[[], T]) -> T:
        failures = 0
        while True:
            try:
                return request()
            except Exception as error:
                failures += 1
                if failures >= self.retry_policy.tries or not is_transient(error):
                    raise
                log.info("Hub request failed (%s), retrying.", type(error).__name__)
                time.sleep(self.retry_policy.wait_s(failures, error))

    # -- the cache, laid out as huggingface_hub lays it out ----------------------------------------

    def _cache_folder(self, repo: str) -> Path:
        return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"

    def _write_listing(self, listing: Listing) -> None:
        entries = {
            path: {"size": blob.size, "blob_id": blob.digest}
            | ({"lfs_sha256": blob.digest, "lfs_size": blob.size} if blob.is_large else {})
            for path, blob in sorted(listing.files.items())
        }
        path = self._tree_file(listing.repo, listing.commit)
        if not path.is_file():
            _write_atomically(path, json.dumps({"format_version": 1, "files": entries}, indent=1))

    def _read_listing(self, repo: str, commit: str, name: str) -> Listing | None:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            tree = json.loads(self._tree_file(repo, commit).read_text(encoding="utf-8"))
            files = {
                path: Blob(
                    size=entry.get("lfs_size") or entry["size"],
                    digest=entry.get("lfs_sha256") or entry["blob_id"],
                )
                for path, entry in tree["files"].items()
            }
            return Listing(repo=repo, commit=commit, files=files, name=name)
        return None

    def _find_cached(self, repo: str, revision: str, name: str) -> Listing | None:
        """The listing of a cached revision, whichever program downloaded it."""
        store, commit = self._cache_folder(repo), revision
        if not COMMIT.fullmatch(revision):
            with suppress(OSError):
                commit = (store / "refs" / revision).read_text(encoding="utf-8").strip()
        folder = store / "snapshots" / commit
        # `commit` may come from a file, so it must look like one before anything is read
        if not COMMIT.fullmatch(commit) or not folder.is_dir():
            return None
        return self._read_listing(repo, commit, name) or list_folder(folder, name)

    def _tree_file(self, repo: str, commit: str) -> Path:
        return self._cache_folder(repo) / "trees" / f"{commit}.json"


def _is_interruption(error: OSError) -> bool:
    """OSErrors that a `report` raises to stop a download, not failures of the disk."""
    return isinstance(error, InterruptedError | BlockingIOError)


def _is_safe_path(path: str) -> bool:
    """False for paths that could lead out of their folder: they come from the server."""
    return not path.startswith("/") and "\\" not in path and ".." not in path.split("/")


def list_folder(folder: Path, name: str) -> Listing:
    """The listing of a folder on this machine."""
    files = {
        path.relative_to(folder).as_posix(): Blob(size=path.stat().st_size, digest="")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return Listing(repo="", commit="", files=files, name=name, folder=folder)


def _write_atomically(path: Path, text: str) -> None:
    """Writes all or nothing. A failure is ignored: only a cache entry is missing then."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
