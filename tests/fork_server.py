"""Runs `app.py` in forks of this process, which has imported what a clip needs: `tests.forks`.

A caller sends the arguments, environment and working directory with three file descriptors, and
receives the process id, later the exit status. A fork ends as any process does, except that it
does not free what this one has imported: that takes two seconds.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import sys
import threading
import traceback
from importlib import import_module

NEEDED = (
    *("cli.commands", "jobs.local_database", "jobs.workers.inline", "media.encode"),
    *("pipelines.engine.manager", "tests.zoo.ltx"),  # with the pipelines of diffusers
)
"""What `generate` imports."""


def serve(listener: socket.socket) -> None:
    """Returns in forks only, as the process that a caller wants."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return supervise(connection)
        connection.close()


def supervise(connection: socket.socket) -> None:
    said, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    pid = os.fork()
    if pid:
        for stream in streams:
            os.close(stream)
        connection.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    wanted = json.loads(said)
    os.environ.clear()
    os.environ.update(wanted["env"])
    os.chdir(wanted["cwd"])
    sys.argv = wanted["arguments"]


def run_app() -> int:
    """The exit status."""
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    for name in NEEDED:
        import_module(name)
    gc.freeze()  # a fork that looks through all of it copies all of it
    serve(socket.socket(fileno=int(sys.argv[1])))
    status = run_app()
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status)
