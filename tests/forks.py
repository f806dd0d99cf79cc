"""`python app.py ...` as a process of its own that need not import everything again.

Its arguments, environment, streams, signals and exit status are real; only its start is not, which
takes seven seconds of a processor where torch is needed. What is about the start itself runs
`sys.executable`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from settings import ROOT


class Fork:
    """A running process, as subprocess.Popen with pipes for standard output and error."""

    def __init__(self, connection: socket.socket, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self._answers = connection.makefile("r")
        self._connection = connection
        self.stdout, self.stderr = stdout, stderr
        self.pid = int(self._answers.readline())

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def communicate(self, timeout: float) -> tuple[int, bytes, bytes]:
        """Exit status, and the rest of standard output and of standard error."""
        said: list[bytes] = []
        reader = threading.Thread(target=lambda: said.append(self.stdout.read()), daemon=True)
        killer = threading.Timer(timeout, self.send_signal, [signal.SIGKILL])
        reader.start()
        killer.start()
        complained = self.stderr.read()
        reader.join()
        status = int(self._answers.readline())
        killer.cancel()
        for file in (self.stdout, self.stderr, self._answers, self._connection):
            file.close()
        return status, said[0], complained


class Forks:
    """Starts them. Close it in the end."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forks-")
        self._address = str(Path(self._folder.name) / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._address)
            listener.listen()
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(listener.fileno())],
                cwd=ROOT,
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def start(self, arguments: list[str], env: Mapping[str, str]) -> Fork:
        wanted = {"arguments": ["app.py", *arguments], "env": dict(env), "cwd": str(ROOT)}
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(300)  # the server may still import
        connection.connect(self._address)
        ends = [os.pipe(), os.pipe()]
        with Path(os.devnull).open() as nothing:
            streams = [nothing.fileno(), *(write for _, write in ends)]
            socket.send_fds(connection, [json.dumps(wanted).encode()], streams)
        for _, write in ends:
            os.close(write)
        stdout, stderr = (os.fdopen(read, "rb") for read, _ in ends)
        return Fork(connection, stdout, stderr)

    def run(
        self, arguments: list[str], env: Mapping[str, str], timeout: float = 300
    ) -> subprocess.CompletedProcess[bytes]:
        """Kills it after `timeout` seconds."""
        status, stdout, stderr = self.start(arguments, env).communicate(timeout)
        return subprocess.CompletedProcess(arguments, status, stdout, stderr)

    def run_text(
        self, arguments: list[str], env: Mapping[str, str], timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        done = self.run(arguments, env, timeout)
        return subprocess.CompletedProcess(
            arguments, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def close(self) -> None:
        self._server.kill()
        self._server.wait()
        self._folder.cleanup()
