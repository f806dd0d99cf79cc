"""Free ports for servers that bind theirs some seconds later.

The system gives away ports from its own range to whoever asks, also to connections, so these lie
below it; each process of the tests has a part of its own.
"""

from __future__ import annotations

import itertools
import os
import random
import socket

FIRST, EACH, PROCESSES = 15_000, 4_000, 4
_LAST = f"gw{PROCESSES - 1}"  # the browser's tests, which run beside three numbered processes
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", _LAST).removeprefix("gw")) % PROCESSES
_numbers = itertools.count(random.SystemRandom().randrange(EACH))


def free_port() -> int:
    for number in _numbers:
        port = FIRST + EACH * _PROCESS + number % EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable")
