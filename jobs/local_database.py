"""The database of a data folder on a network mount: a local file, with copies on the mount.

SQLite itself runs on a disk of this machine. A thread copies it to the mount while it changes, and
once more at the end; if the disk is empty at the start (a Space after a restart), the newest
complete copy is restored first. Handles files and SQLite, no jobs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

from jobs import database_copies
from jobs.database_copies import Copies, Number
from jobs.liveness import FileLiveness
from jobs.mounts import is_mounted, network_kind, why_not_writable
from jobs.store import JobStore
from settings import ROOT, Settings

log = logging.getLogger(__name__)

EVERY_S = 15.0
"""How old the copy on the mount may be while the database changes."""
SHARE = 20
"""A copy that takes long is made less often: at most this part of the time goes to copying."""


class NearDatabase:
    """Use `open` before the database is opened, `start` after, `close` once it is closed."""

    def __init__(self, data_dir: Path, kind: str, near: Path | None = None) -> None:
        self.kind = kind
        self.far = data_dir
        self.folder = (near or near_folder()) / hashlib.sha256(bytes(data_dir)).hexdigest()[:16]
        self.file = self.folder / "kinora.db"
        self.copies = Copies(data_dir / "database")
        self.knows_all = True
        """False if the database began empty though clips are on the mount: then files that are not
        in it must not be removed."""
        self._noted = self.folder / "copied.json"
        self._number = Number()
        self._version: int | None = None
        self._last: tuple[Path, int] | None = None
        """The last copy and its size."""
        self._watch: sqlite3.Connection | None = None
        self._failing = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    @property
    def servers(self) -> Path:
        """Where the servers that share this database show that they live."""
        return self.folder / "servers"

    def open(self) -> None:
        """The database as it was last copied, unless a newer one is here. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        liveness = FileLiveness(self.servers)
        try:
            with liveness.exclusive():
                # another process of this machine (the page, a command) may have it open
                names = {path.stem for path in self.servers.glob("*.alive")} - {liveness.name}
                if not any(liveness.is_alive(name) for name in names):
                    self._bring()
                newest = max(self.copies.newest_number(), self._last_noted())
                self._number = newest.next_generation()
                self._note(self._number)
        finally:
            liveness.close()

    def start(self) -> None:
        self._watch = sqlite3.connect(self.file, check_same_thread=False, timeout=30)
        self._thread = threading.Thread(target=self._keep, name="database-copies", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops copying, after a last copy if anything has changed."""
        self._stopping.set()
        if self._thread:
            self._thread.join()
            self.copy_if_changed()
        if self._watch:
            self._watch.close()

    # -- at the start ----------------------------------------------------------------------------

    def _bring(self) -> None:
        there, here = self.copies.newest_number(), self._last_noted()
        if self.file.exists() and here >= there:
            log.info("The database on this disk is newer than its copy, and is used.")
            return
        if copy := self.copies.restore(self.file):
            log.info("The database was restored from %s.", copy.path.name)
            return
        used_there = self.far / "kinora.db"
        if used_there.is_file() and database_copies.adopt(used_there, self.file):
            log.info("The database of %s is used from now on as a copy near by.", used_there)
            return
        if self.file.exists():
            log.error("No copy of the database in %s can be read.", self.copies.folder)
        elif self.copies.newest_first() or used_there.exists() or _is_any(self.far / "jobs"):
            self.knows_all = False
            log.error(
                "No copy of the database in %s can be read: the server starts with an empty one. "
                "The clips in %s are left as they are.", self.copies.folder, self.far,
            )  # fmt: skip

    def _last_noted(self) -> Number:
        """The last copy that this machine has made, or was about to make."""
        try:
            generation, serial = json.loads(self._noted.read_text(encoding="ascii"))
            return Number(int(generation), int(serial))
        except (OSError, ValueError, TypeError):
            return Number()

    def _note(self, number: Number) -> None:
        part = self._noted.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(number), encoding="ascii")
        part.replace(self._noted)

    # -- while it runs ---------------------------------------------------------------------------

    def _keep(self) -> None:
        pause = EVERY_S
        while not self._stopping.wait(pause):
            began = time.monotonic()
            self.copy_if_changed()
            pause = max(EVERY_S, SHARE * (time.monotonic() - began))

    def copy_if_changed(self) -> None:
        """A failure is logged, once, and the next round tries again."""
        snapshot = self.folder / f"snapshot.{os.getpid()}.part"
        try:
            version = self._changes()
            if version == self._version and self._is_there():
                return
            database_copies.take_snapshot(self.file, snapshot)
            number = self._number.next()
            # before the copy is there: else a copy of our own could look newer than the database
            self._note(number)
            copy = self.copies.write(snapshot, number)
            self._last = copy.path, snapshot.stat().st_size
            self._number, self._version = number, version
            if self._failing:
                log.info("The database is copied to %s again.", self.copies.folder)
            self._failing = False
        except (OSError, sqlite3.Error) as error:
            if not self._failing:
                log.error(
                    "The database could not be copied to %s, retrying (%s). Until then a restart "
                    "loses what is new.", self.copies.folder, error,
                )  # fmt: skip
            self._failing = True
        finally:
            snapshot.unlink(missing_ok=True)

    def _is_there(self) -> bool:
        """The last copy, as long as it was."""
        try:
            return self._last is not None and self._last[0].stat().st_size == self._last[1]
        except OSError:
            return False

    def _changes(self) -> int:
        """SQLite's own count of what other connections have committed."""
        if self._watch is None:
            return 0
        return int(self._watch.execute("PRAGMA data_version").fetchone()[0])


def near_database(settings: Settings) -> NearDatabase | None:
    """The local database if the data folder is on a network mount and DATABASE_URL is not set, else
    None. Logs the choice."""
    if "database_url" in settings.model_fields_set:
        return None
    kind = network_kind(settings.data_dir)
    if kind is None:
        return None
    near = NearDatabase(settings.data_dir.resolve(), kind)
    log.warning(
        "The data folder %s is on a network or user-space mount (%s), which SQLite must not be "
        "used on: the database is %s, and is copied to %s every %.0f s and at the end.",
        settings.data_dir, kind, near.file, near.copies.folder, EVERY_S,
    )  # fmt: skip
    return near


class NearStore(JobStore):
    """A JobStore of such a database."""

    def __init__(self, near: NearDatabase) -> None:
        near.open()
        super().__init__(near.url)
        self.knows_all = near.knows_all
        self._near = near
        near.start()

    def close(self) -> None:
        super().close()
        self._near.close()


def open_store(settings: Settings) -> JobStore:
    """The database of the settings, wherever it can safely be. Raises OSError."""
    say_where_clips_are_kept(settings)
    near = near_database(settings)
    return NearStore(near) if near else JobStore(settings.database_url)


def say_where_clips_are_kept(settings: Settings, disk: Path = Path("/data")) -> None:
    """On a Space, where a restart empties every folder that was not mounted."""
    chosen = "data_dir" in settings.model_fields_set
    if not settings.on_space or chosen or settings.data_dir == disk:
        return
    if is_mounted(disk):
        log.error(
            "%s is mounted, and cannot be written (%s; user %s): clips are kept in %s, which is "
            "empty after a restart. Mount it for writing, or set KINORA_DATA_DIR.",
            disk, why_not_writable(disk) or "it can be now", _user(), settings.data_dir,
        )  # fmt: skip
    else:
        log.info(
            "Clips are kept in %s, which is empty after a restart of the Space: mount a bucket at "
            "%s to keep them.", settings.data_dir, disk,
        )  # fmt: skip


def near_folder() -> Path:
    """A folder of this machine that can be written."""
    cache = os.environ.get("XDG_CACHE_HOME")
    candidates = [ROOT / "data", Path(cache) if cache else Path.home() / ".cache"]
    for folder in (*candidates, Path(tempfile.gettempdir())):
        if network_kind(folder) is None and why_not_writable(folder) is None:
            return folder / "kinora-near"
    log.warning("No local disk can be written: the database is in the folder for temporary files.")
    return Path(tempfile.gettempdir()) / "kinora-near"


def _is_any(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
