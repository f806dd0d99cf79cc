"""How a server is told to stop. Knows signals, and what must end with the first of them."""

from __future__ import annotations

import signal
from collections.abc import Callable


def ends_by() -> list[signal.Signals]:
    """The signals that end a command: SIGTERM as `docker stop` and systemd send it, SIGHUP as a
    terminal does that is closed. Under nohup the latter is ignored, and stays so."""
    hang_up: signal.Signals | None = getattr(signal, "SIGHUP", None)
    if hang_up is None or signal.getsignal(hang_up) is signal.SIG_IGN:
        return [signal.SIGINT, signal.SIGTERM]
    return [signal.SIGINT, signal.SIGTERM, hang_up]


def stop_like_ctrl_c() -> None:
    for number in ends_by():
        signal.signal(number, signal.default_int_handler)


def when_told_to_stop(rest: Callable[[], None]) -> None:
    """Calls it at once: the page takes some seconds to close, in which more would be begun."""

    def stop(_number: int, _frame: object) -> None:
        rest()
        raise KeyboardInterrupt

    for number in ends_by():
        signal.signal(number, stop)
