"""A command's messages, progress line, logging and stop signals."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import typer
from typing_extensions import assert_never

from jobs.event_types import (
    Decoding,
    Encoding,
    Event,
    Failed,
    Fallback,
    JobCancelled,
    Loading,
    PreviewReady,
    Queued,
    Requeued,
    Started,
    StepDone,
    Succeeded,
    UnknownEvent,
    WaitingForGpu,
)


def say(sentence: str) -> None:
    with suppress(OSError):  # the terminal was closed
        print(sentence, file=sys.stderr, flush=True)


class ProgressLine:
    """One line on standard error that follows a job; off a terminal, one per phase."""

    def __init__(self, *, is_edit: bool = False) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._last = ""
        self._loading, self._step = "Loading the model", "Sampling"
        if is_edit:
            self._loading, self._step = "Reading the clips", "Editing"

    def on_event(self, event: Event) -> None:
        match event.body:
            case Started() | Loading():
                self._show(self._loading)
            case StepDone(index, total, eta_s, part, parts):
                which = f" part {part}/{parts}, step" if parts else ""
                left = f"about {eta_s or 0:.0f} s left"
                self._show(self._step, f"{which} {index}/{total}, {left}")
            case Decoding():
                self._show("Decoding frames")
            case Encoding():
                self._show("Writing the file")
            case (
                Queued() | WaitingForGpu() | Fallback() | PreviewReady() | Requeued()
                | Succeeded() | Failed() | JobCancelled() | UnknownEvent()
            ):  # fmt: skip
                pass
            case _:
                assert_never(event.body)

    def _show(self, phase: str, more: str = "") -> None:
        if self._is_terminal:
            self._write(f"\r\x1b[2K{phase}{more} ...")
        elif phase != self._last:
            say(f"{phase} ...")
        self._last = phase

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            self._write("\r\x1b[2K")

    def _write(self, text: str) -> None:
        with suppress(OSError):  # the terminal was closed
            sys.stderr.write(text)
            sys.stderr.flush()


def configure_logging(verbose: bool) -> None:
    """Without `verbose`, libraries neither log nor warn: `say` prints what users need."""
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL)
    if verbose:
        logging.getLogger("cli").setLevel(logging.DEBUG)
    elif not sys.warnoptions:
        warnings.simplefilter("ignore")


@contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """Redirects what is printed, in Python or in C, to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP discard the clip and end with the shell's status for them."""
    stopped_by, numbers = 0, ends_by()

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopped_by
        stopped_by = number
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)  # while files are removed
        raise KeyboardInterrupt

    for each in numbers:
        signal.signal(each, stop)
    try:
        yield
    except KeyboardInterrupt:
        say("Discarded.")
        raise typer.Exit(128 + stopped_by) from None


def ends_by() -> list[signal.Signals]:
    """The signals that end a command: SIGTERM as `docker stop` and systemd send it, SIGHUP as a
    terminal does that is closed. Under nohup the latter is ignored, and stays so."""
    hang_up: signal.Signals | None = getattr(signal, "SIGHUP", None)
    if hang_up is None or signal.getsignal(hang_up) is signal.SIG_IGN:
        return [signal.SIGINT, signal.SIGTERM]
    return [signal.SIGINT, signal.SIGTERM, hang_up]


def interrupt_on_stop_signals() -> None:
    for number in ends_by():
        signal.signal(number, signal.default_int_handler)


def on_stop_signal(callback: Callable[[], None]) -> None:
    """Calls back as soon as a stop signal arrives, then raises KeyboardInterrupt. The page takes
    some seconds to close, and no job should be started in that time."""

    def stop(_number: int, _frame: object) -> None:
        callback()
        raise KeyboardInterrupt

    for number in ends_by():
        signal.signal(number, stop)
