"""MessagePipe: messages between this process and a worker it spawned, over the worker's pipes.

They are pickled, which is safe because both ends are this program: nothing else may write to the
pipe.
"""

from __future__ import annotations

import pickle
import struct
import threading
from typing import Any, BinaryIO

HEADER = struct.Struct(">Q")


class MessagePipe:
    """One end. `send` may be called from any thread, `receive` from one."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._sending = threading.Lock()

    def send(self, *message: Any) -> None:
        """Raises OSError if the other end is closed."""
        body = pickle.dumps(message)
        with self._sending:
            self._outgoing.write(HEADER.pack(len(body)) + body)
            self._outgoing.flush()

    def receive(self) -> tuple[Any, ...]:
        """Raises EOFError if the other end is closed."""
        (size,) = HEADER.unpack(self._read(HEADER.size))
        return pickle.loads(self._read(size))  # noqa: S301 - see above

    def _read(self, size: int) -> bytes:
        data = self._incoming.read(size)
        if len(data) < size:
            raise EOFError
        return data
