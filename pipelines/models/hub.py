"""The Hugging Face Hub: what a repository holds, and its files in the Hub's own cache.

Every request is tried again, more and more slowly, while the failure may pass. What is cached is
used without the network. Light: no torch. Knows the Hub's protocol; knows no pipeline and no card.

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
    """What people call it."""
    folder: Path | None = None
    """Where the files are, if they need not be fetched."""

    @property
    def sizes(self) -> dict[str, int]:
        return {path: blob.size for path, blob in self.files.items()}


class Hub:
    def __init__(self, settings: Settings, patience: RetryPolicy | None = None) -> None:
        self.patience = patience or RetryPolicy()
        self._token = settings.hf_token.get_secret_value() if settings.hf_token else None

    def listing(self, repo: str, revision: str | None = None, name: str = "") -> Listing:
        """What is there. KinoraError says why it cannot be told, of the model by that name."""
        name = name or repo
        try:
            validate_repo_id(repo)
        except ValueError as error:
            raise failure(Reason.BAD_ID, name) from error
        if "/" not in repo:
            raise failure(Reason.BAD_ID, name)

        # a commit never changes: what is known of it needs no network
        wanted = revision or constants.DEFAULT_REVISION
        if COMMIT.fullmatch(wanted) and (known := self._remembered(repo, wanted, name)):
            return known
        try:
            return self._asked(repo, wanted, name)
        except Exception as error:
            reason = hub_reason(error)
            if reason is None:
                raise
            cached = self._cached(repo, wanted, name)
            if cached is not None and reason in (Reason.OFFLINE, Reason.UNREACHABLE):
                log.warning("Hub not reachable; using the cached copy of %s.", repo)
                return cached
            raise failure(reason, name, wanted) from error

    def has(self, repo: str, revision: str | None = None) -> bool:
        """Whether something of it was fetched before; no network is asked."""
        return self._cached(repo, revision or constants.DEFAULT_REVISION, repo) is not None

    def read(self, listing: Listing, path: str) -> bytes:
        """A small file of a repository."""
        return (self.fetch(listing, [path]) / path).read_bytes()

    def fetch(self, listing: Listing, paths: list[str], report: Report | None = None) -> Path:
        """Whatever of `paths` is not here yet is downloaded, going on where an earlier try ended.

        One download per repository at a time, in all threads and processes; the others wait and
        find it done. What `report` raises stops it.
        """
        if listing.folder is not None:
            return listing.folder
        store = self._store(listing.repo)
        download = Download(
            name=listing.name,
            store=store,
            commit=listing.commit,
            wanted={path: listing.files[path] for path in paths},
            stream=lambda path, start: self._stream(listing, path, start),
            patience=self.patience,
        )
        try:
            folder = download.run(report or (lambda _done, _total: None))
        except KinoraError:
            raise
        except Exception as error:
            reason = hub_reason(error)
            if is_out_of_disk(error):
                raise failure(Reason.NO_DISK, listing.name, "nothing is left on it") from error
            if reason is None and isinstance(error, OSError) and not _is_a_stop(error):
                reason = Reason.NO_CACHE
            if reason is None:
                raise
            raise failure(reason, listing.name, listing.commit) from error
        self._remember(listing)
        return folder

    # -- asking ----------------------------------------------------------------------------------

    def _asked(self, repo: str, revision: str, name: str) -> Listing:
        quoted = quote(revision, safe="")
        info = self._patiently(
            lambda: self._json(f"{constants.ENDPOINT}/api/models/{repo}/revision/{quoted}")[0]
        )
        commit = str(info["sha"])
        if not COMMIT.fullmatch(commit):
            raise failure(Reason.UNREACHABLE, name)
        files: dict[str, Blob] = {}
        page: str | None = f"{constants.ENDPOINT}/api/models/{repo}/tree/{commit}?recursive=true"
        while page:
            url = page
            entries, page = self._patiently(lambda: self._json(url))  # noqa: B023  # called at once
            for entry in entries:
                if entry["type"] == "file" and _is_plain(entry["path"]):
                    lfs = entry.get("lfs") or {}
                    files[entry["path"]] = Blob(
                        size=lfs.get("size", entry["size"]), digest=lfs.get("oid", entry["oid"])
                    )
        listing = Listing(repo=repo, commit=commit, files=files, name=name)
        if revision != commit:
            _write(self._store(repo) / "refs" / revision, commit)
        return listing

    def _json(self, url: str) -> tuple[Any, str | None]:
        """What is at an address, and the address of the next page."""
        response = get_session().get(url, headers=self._headers(), timeout=self.patience.timeout_s)
        hf_raise_for_status(response)
        return response.json(), response.links.get("next", {}).get("url")

    def _stream(self, listing: Listing, path: str, start: int) -> Any:
        """A context manager with the response that brings a file from byte `start` on."""
        url = f"{constants.ENDPOINT}/{listing.repo}/resolve/{listing.commit}/{quote(path)}"
        headers = self._headers() | {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        return get_session().stream("GET", url, headers=headers, timeout=self.patience.timeout_s)

    def _headers(self) -> dict[str, str]:
        return build_hf_headers(token=self._token, library_name="kinora")

    def _patiently(self, ask: Callable[[], T]) -> T:
        failures = 0
        while True:
            try:
                return ask()
            except Exception as error:
                failures += 1
                if failures >= self.patience.tries or not is_transient(error):
                    raise
                log.info("Hub request failed (%s), retrying.", type(error).__name__)
                time.sleep(self.patience.wait_s(failures, error))

    # -- the cache, laid out as huggingface_hub lays it out ----------------------------------------

    def _store(self, repo: str) -> Path:
        return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"

    def _remember(self, listing: Listing) -> None:
        entries = {
            path: {"size": blob.size, "blob_id": blob.digest}
            | ({"lfs_sha256": blob.digest, "lfs_size": blob.size} if blob.is_large else {})
            for path, blob in sorted(listing.files.items())
        }
        path = self._tree_file(listing.repo, listing.commit)
        if not path.is_file():
            _write(path, json.dumps({"format_version": 1, "files": entries}, indent=1))

    def _remembered(self, repo: str, commit: str, name: str) -> Listing | None:
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

    def _cached(self, repo: str, revision: str, name: str) -> Listing | None:
        """What is on this machine, whoever fetched it."""
        store, commit = self._store(repo), revision
        if not COMMIT.fullmatch(revision):
            with suppress(OSError):
                commit = (store / "refs" / revision).read_text(encoding="utf-8").strip()
        folder = store / "snapshots" / commit
        if not COMMIT.fullmatch(commit) or not folder.is_dir():
            return None
        return self._remembered(repo, commit, name) or listing_of(folder, name)

    def _tree_file(self, repo: str, commit: str) -> Path:
        return self._store(repo) / "trees" / f"{commit}.json"


def _is_a_stop(error: OSError) -> bool:
    """What a `report` raises to end a download is an interruption, not a disk's."""
    return isinstance(error, InterruptedError | BlockingIOError)


def _is_plain(path: str) -> bool:
    """False for what could lead out of its folder."""
    return not path.startswith("/") and "\\" not in path and ".." not in path.split("/")


def listing_of(folder: Path, name: str) -> Listing:
    """A folder on this machine, as if it were a repository."""
    files = {
        path.relative_to(folder).as_posix(): Blob(size=path.stat().st_size, digest="")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return Listing(repo="", commit="", files=files, name=name, folder=folder)


def _write(path: Path, text: str) -> None:
    """All or nothing; a cache that cannot be written is no reason to fail."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
