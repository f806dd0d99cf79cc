"""A data folder on a network mount: the database is near by, and what was copied comes back."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import build_service
from jobs import database_copies, local_database, mounts
from jobs.database import Database
from jobs.database_copies import Copies, Number
from jobs.job import State
from jobs.local_database import NearDatabase, near_database, open_store, say_where_clips_are_kept
from jobs.retention import remove_leftovers
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.foreground import ForegroundExecutor
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.test_mounts import line
from tests.programs import program

REQUEST = GenerationRequest(prompt="a dog", num_inference_steps=1, seed=1)


class ServerExecutor(ForegroundExecutor):
    """Makes clips in the calling thread, for a server: its clips outlive its process."""

    in_foreground = False


class Machine:
    """One that may be replaced: its own disk goes, the mount stays."""

    def __init__(self, place: Path) -> None:
        self.far, self.disk = place / "far", place / "disk"
        self.disk.mkdir(parents=True)
        self.near: NearDatabase | None = None

    def start(self) -> NearDatabase:
        self.near = NearDatabase(self.far, "fuse.test", self.disk)
        self.near.open()
        with closing(sqlite3.connect(self.near.file)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE IF NOT EXISTS rows (n INTEGER)")
            database.commit()
        self.near.start()
        return self.near

    def write(self, n: int) -> None:
        assert self.near
        with closing(sqlite3.connect(self.near.file)) as database:
            database.execute("INSERT INTO rows VALUES (?)", (n,))
            database.commit()

    def rows(self) -> list[int]:
        assert self.near
        with closing(sqlite3.connect(self.near.file)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return [n for (n,) in database.execute("SELECT n FROM rows ORDER BY rowid")]

    def die(self) -> None:
        """Without a last copy."""
        assert self.near and self.near._watch
        self.near._stopping.set()
        if self.near._thread:
            self.near._thread.join()
        self.near._watch.close()
        self.near = None

    def lose_disk(self) -> None:
        shutil.rmtree(self.disk)
        self.disk.mkdir()


DAMAGE = st.sampled_from(["truncate", "flip", "empty", "remove", "unreadable"])
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 99)),
        st.tuples(st.just("copy"), st.just(0)),
        st.tuples(DAMAGE, st.integers(0, 10**6)),
        st.tuples(st.sampled_from(["stop", "die"]), st.booleans()),
    ),
    max_size=14,
)


def damage(folder: Path, how: str, where: int) -> bool:
    """The newest copy as a mount leaves it that was cut off; False if there was none."""
    found = Copies(folder).newest_first()
    if not found:
        return False
    path = found[0].path
    data = path.read_bytes()
    path.unlink()
    if how == "truncate":
        path.write_bytes(data[: where % len(data)])
    elif how == "flip":
        spot = where % len(data)
        path.write_bytes(data[:spot] + bytes([data[spot] ^ 1]) + data[spot + 1 :])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "unreadable":
        path.mkdir()
    return True


@settings(max_examples=20, deadline=None)
@given(DEEDS)
def test_what_comes_back_is_the_last_whole_copy_and_never_half_of_one(
    deeds: list[tuple[str, int]],
) -> None:
    """Whatever the mount did to the copies, and however the machine ended."""
    with tempfile.TemporaryDirectory() as place:
        machine = Machine(Path(place))
        machine.start()
        rows: list[int] = []
        whole: list[list[int] | None] = []  # the copies; None: damaged
        for deed, n in [*deeds, ("die", True)]:
            if deed == "write":
                machine.write(n)
                rows.append(n)
            elif deed == "copy":
                before = len(Copies(machine.far / "database").newest_first())
                assert machine.near
                machine.near.copy_if_changed()
                if len(Copies(machine.far / "database").newest_first()) > before:
                    whole.append(list(rows))
            elif deed in ("stop", "die"):
                if deed == "stop":
                    before = len(Copies(machine.far / "database").newest_first())
                    assert machine.near
                    machine.near.close()
                    if len(Copies(machine.far / "database").newest_first()) > before:
                        whole.append(list(rows))
                else:
                    machine.die()
                if n:
                    machine.lose_disk()
                    rows = next((list(r) for r in reversed(whole) if r is not None), [])
                machine.start()
                assert machine.rows() == rows
            elif damage(machine.far / "database", deed, n):
                # damage to one that is damaged already changes nothing that counts
                if deed == "remove":
                    whole.pop()
                else:
                    whole[-1] = None
        machine.die()


def test_a_server_that_still_ends_does_not_hide_what_the_next_one_wrote(tmp_path: Path) -> None:
    """A Space starts its new version while the one before still runs."""
    old, new = Machine(tmp_path / "old"), Machine(tmp_path / "new")
    new.far = old.far
    first = old.start()
    for n in range(5):
        old.write(n)
        first.copy_if_changed()
    second = new.start()
    assert new.rows() == [0, 1, 2, 3, 4]
    new.write(100)
    second.copy_if_changed()
    for n in range(5, 9):
        old.write(n)
        first.copy_if_changed()
    first.close()
    second.close()
    new.lose_disk()
    new.start()
    assert new.rows() == [0, 1, 2, 3, 4, 100]
    new.die()


def test_a_command_beside_a_running_server_takes_the_database_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path)
    server = machine.start()
    presence = local_database.FileLiveness(server.servers)
    server.copy_if_changed()
    machine.write(7)
    server._noted.unlink()  # as if the copy were newer than anything known here
    beside = NearDatabase(machine.far, "fuse.test", machine.disk)
    beside.open()
    assert machine.rows() == [7]
    presence.close()
    machine.die()


def test_old_copies_go_but_not_before_a_mount_has_had_time_to_write(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    server = machine.start()
    for n in range(6):
        machine.write(n)
        server.copy_if_changed()
    kept = Copies(machine.far / "database").newest_first()
    assert len(kept) == 6
    for copy in kept:
        os.utime(copy.path, (1, 1))
    machine.write(6)
    server.copy_if_changed()
    left = Copies(machine.far / "database").newest_first()
    assert [copy.number.serial for copy in left] == [7, 6, 5][: database_copies.KEPT]
    assert server._number == left[0].number > Number(1, 6)
    machine.die()


def test_a_mount_that_is_away_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    machine = Machine(tmp_path)
    server = machine.start()
    machine.far.write_text("a file where the folder should be")
    for n in range(3):
        machine.write(n)
        server.copy_if_changed()
    failed = [r for r in caplog.records if "could not be copied" in r.getMessage()]
    assert [record.levelname for record in failed] == ["ERROR"]
    machine.far.unlink()
    server.copy_if_changed()
    assert "is copied to" in caplog.records[-1].getMessage()
    machine.die()
    machine.lose_disk()
    machine.start()
    assert machine.rows() == [0, 1, 2]
    machine.die()


def test_a_database_that_was_used_on_the_mount_is_taken_over_with_its_log(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.far.mkdir()
    used = sqlite3.connect(machine.far / "kinora.db")
    used.execute("PRAGMA journal_mode = WAL")
    used.execute("CREATE TABLE rows (n INTEGER)")
    used.execute("INSERT INTO rows VALUES (5)")
    used.commit()  # in the log only, for it is still open
    machine.start()
    used.close()
    assert machine.rows() == [5]
    machine.die()


# -- in the app ----------------------------------------------------------------------------------


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the kernel's list has as a mount, and a disk of this machine."""
    folder = tmp_path / "far"
    folder.mkdir()
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")
    mounts.MOUNTS.write_text(line("/", "ext4") + line(str(folder), "fuse.hf-mount"))
    monkeypatch.setattr(local_database, "near_folder", lambda: tmp_path / "disk")
    return folder


def on(folder: Path, tiny_settings: Settings, **more: object) -> Settings:
    values = tiny_settings.model_dump(include={"models_dir"}) | {"data_dir": folder} | more
    return Settings(_env_file=None, **values)  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_it_is_said_which_database_is_used_and_a_local_folder_says_nothing(
    far: Path, tiny_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = near_database(on(far, tiny_settings))
    assert chosen
    assert chosen.file.is_relative_to(far.parent / "disk")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "fuse.hf-mount" in record.getMessage()
    assert str(chosen.file) in record.getMessage()
    caplog.clear()
    assert near_database(tiny_settings) is None
    assert caplog.records == []


def clips_survive_a_new_machine(folder: Path, disk: Path, tiny_settings: Settings) -> None:
    settings = on(folder, tiny_settings)

    def service() -> tuple[ServerExecutor, JobService]:
        executor = ServerExecutor(settings)
        service = build_service(settings, executor)
        executor.start(service._lifecycle)
        return executor, service

    executor, first = service()
    made, waits = first.submit(REQUEST, "me"), first.submit(REQUEST, "me")
    executor.run(made.id)
    first.close()
    assert not list(folder.rglob("kinora.db*"))
    assert not list(folder.glob("servers"))
    shutil.rmtree(disk)
    executor, second = service()
    try:
        second._recover()
        remove_leftovers(second._lifecycle)
        clip = second.clip_path(made.id, "me")
        assert clip.stat().st_size > 1000
        assert clip.is_relative_to(folder)
        assert second.get(waits.id).state is State.QUEUED
        executor.run(waits.id)
        assert second.get(waits.id).state is State.SUCCEEDED
    finally:
        second.close()


def test_clips_and_the_queue_are_there_on_a_new_machine(far: Path, tiny_settings: Settings) -> None:
    clips_survive_a_new_machine(far, far.parent / "disk", tiny_settings)


@pytest.fixture
def bindfs(tmp_path: Path) -> Iterator[Path]:
    """A real mount in user space."""
    behind, folder = tmp_path / "behind", tmp_path / "mounted here"
    behind.mkdir()
    folder.mkdir()
    if subprocess.run([program("bindfs"), behind, folder], capture_output=True).returncode:
        pytest.skip("mounting in user space is not permitted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_real_mount_in_user_space_is_known_and_its_clips_survive(
    bindfs: Path, tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_database, "near_folder", lambda: tmp_path / "disk")
    assert mounts.network_kind(bindfs / "x") is not None
    clips_survive_a_new_machine(bindfs, tmp_path / "disk", tiny_settings)


def test_clips_are_left_alone_by_a_database_that_had_to_begin_empty(
    far: Path, tiny_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Else one unreadable copy would cost every clip."""
    settings = on(far, tiny_settings)
    executor = ServerExecutor(settings)
    first = build_service(settings, executor)
    executor.start(first._lifecycle)
    made = first.submit(REQUEST, "me")
    executor.run(made.id)
    first.close()
    for copy in Copies(far / "database").newest_first():
        copy.path.write_bytes(b"torn")
    shutil.rmtree(far.parent / "disk")
    second = build_service(settings, ServerExecutor(settings))
    try:
        assert "starts with an empty one" in caplog.text
        second._recover()
        remove_leftovers(second._lifecycle)
        assert (far / "jobs" / made.id / "clip.mp4").exists()
    finally:
        second.close()


def test_an_address_that_names_the_mount_is_used_with_a_journal_that_it_bears(
    far: Path, tiny_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings = on(far, tiny_settings, database_url=f"sqlite:///{far / 'mine.db'}")
    store = open_store(settings)
    try:
        with store.database.durable.begin() as tx:
            assert tx.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
            assert tx.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    finally:
        store.close()
    assert "DATABASE_URL is on a network or user-space mount" in caplog.text
    assert not (far / "mine.db-wal").exists()


def test_on_a_local_disk_nothing_changes(tiny_settings: Settings) -> None:
    store = open_store(tiny_settings)
    try:
        assert type(store) is JobStore
    finally:
        store.close()
    database = Database(tiny_settings.database_url)
    with database.reading.begin() as tx:
        assert tx.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    database.close()


# -- a data folder that cannot be written --------------------------------------------------------


def test_a_disk_that_is_mounted_and_cannot_be_written_is_said_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")
    disk = Path("/proc")  # nobody may write there, not even root
    mounts.MOUNTS.write_text(line("/", "ext4") + line(str(disk), "fuse.hf-mount"))
    space = Settings(_env_file=None, space_id="you/kinora")  # pyright: ignore[reportCallIssue]
    say_where_clips_are_kept(space, disk)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "/proc is mounted, and cannot be written" in record.getMessage()
    assert "empty after a restart" in record.getMessage()
    caplog.clear()
    say_where_clips_are_kept(space, tmp_path / "nothing")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    caplog.clear()
    say_where_clips_are_kept(space.model_copy(update={"data_dir": tmp_path}), disk)
    say_where_clips_are_kept(Settings(_env_file=None), disk)  # pyright: ignore[reportCallIssue]
    assert caplog.records == []
