"""Tools for killing servers: a doomed one, what its client remembers, and what it left on disk."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

WAIT_S = 60.0


class Doomed:
    """One `tests.jobs.scripted_server` or another such program, and everything it has said."""

    def __init__(self, env: dict[str, str], module: str = "tests.jobs.scripted_server") -> None:
        self.began = time.monotonic()
        self.said: list[str] = []
        self.heard_at: dict[str, float] = {}
        """When the first line with that first word came."""
        self._is_over = False
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", module],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, *words: str) -> None:
        stdin = self.process.stdin
        assert stdin
        stdin.write(" ".join(words) + "\n")
        stdin.flush()

    def wait_for(self, start: str, wait_s: float = WAIT_S) -> str:
        """The first line that begins so."""

        def found() -> str | None:
            return next((line for line in self.said if line.startswith(start)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or self._is_over, wait_s)
            line = found()
        if line is None and not self._is_over:
            self.process.send_signal(signal.SIGABRT)  # where each of its threads is, to stderr
            self.end()
        assert line, f"never said: {start}, but {self.said[-20:]}"
        return line

    def kill(self) -> None:
        assert self.process.poll() is None, "it ended by itself"
        self.process.kill()
        self.end()

    def end(self) -> None:
        self.process.wait(WAIT_S)
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            if not line.endswith("\n"):  # killed in the middle of it
                break
            with self._changed:
                self.said.append(line.strip())
                self.heard_at.setdefault(line.split()[0], time.monotonic())
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()


class Client:
    """Asks under keys of its own, and asks again where it got no answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ids: dict[str, str] = {}
        self.other_answers = 0
        """How often a key that was answered before was answered by another clip."""

    def ask(self, server: Doomed, more: int) -> None:
        again = [key for key in self.asked if key not in self.ids] + self.asked[-1:]
        new = [str(len(self.asked) + n) for n in range(more)]
        self.asked += new
        for key in again + new:
            server.tell("submit", key)

    def hear(self, server: Doomed) -> None:
        for line in server.said:
            match line.split():
                case ["accepted", key, job_id]:
                    self.other_answers += self.ids.get(key, job_id) != job_id
                    self.ids[key] = job_id


class Row(NamedTuple):
    id: str
    state: str
    server: str
    ended_at: float | None


class Left(NamedTuple):
    """What a dead server left in its database."""

    is_whole: bool
    rows: list[Row]

    def stuck(self, server: str) -> int:
        """Unfinished clips that wait for nobody who lives."""
        return sum(row.state in ("queued", "running") and row.server != server for row in self.rows)


def look(data: Path, beside: Path) -> Left:
    """Looks at a copy, so that the next server itself has to take up what the log holds."""
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    for path in data.glob("kinora.db*"):
        if not path.name.endswith("-shm"):
            shutil.copyfile(path, beside / path.name)
    if not (beside / "kinora.db").exists():
        return Left(True, [])
    connection = sqlite3.connect(beside / "kinora.db")
    try:
        is_whole = connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'jobs'").fetchone():
            return Left(is_whole, [])
        rows = connection.execute("SELECT id, state, server, ended_at FROM jobs").fetchall()
    finally:
        connection.close()
    return Left(is_whole, [Row(*row) for row in rows])


def phase(server: Doomed, left: Left, data: Path) -> str:
    """What a server was at when it was killed."""
    first = [line.split()[0] for line in server.said]
    if "started" not in first:
        return "recovering" if "opening" in first else "starting"
    if first.count("submitting") > first.count("accepted"):
        return "submitting"
    running = [row.id for row in left.rows if row.state == "running"]
    if any(any((data / "jobs" / job_id).glob("*")) for job_id in running):
        return "writing"
    if running:
        return "running"
    return "queued" if any(row.state == "queued" for row in left.rows) else "idle"
