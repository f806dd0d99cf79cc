"""How a server is told to stop. Knows signals, and what must end with the first of them."""

from __future__ import annotations

import signal
from collections.abc import Callable


def stop_like_ctrl_c() -> None:
    """SIGTERM, as `docker stop` and systemd send it, ends what Ctrl-C ends."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def when_told_to_stop(rest: Callable[[], None]) -> None:
    """Calls it at once: the page takes some seconds to close, in which more would be begun."""

    def stop(_number: int, _frame: object) -> None:
        rest()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
