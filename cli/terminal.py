"""Manners of a command: what is said where, and how it is stopped.

Knows standard output and error, signals, and the events of a job.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from jobs.job import Event


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


class ProgressLine:
    """One line on standard error that follows a job; off a terminal, one per phase."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._last = ""

    def heard(self, event: Event) -> None:
        match event.kind:
            case "started" | "loading":
                self._show("Loading the model")
            case "step":
                done, total, eta_s = (event.data[k] for k in ("index", "total", "eta_s"))
                self._show("Sampling", f" {done}/{total}, about {eta_s:.0f} s left")
            case "decoding":
                self._show("Developing the frames")
            case "encoding":
                self._show("Writing the file")

    def _show(self, phase: str, more: str = "") -> None:
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[2K{phase}{more} ...")
            sys.stderr.flush()
        elif phase != self._last:
            say(f"{phase} ...")
        self._last = phase

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def hush(verbose: bool) -> None:
    """Libraries speak only when asked to; what concerns people is said by us."""
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL)
    if verbose:
        logging.getLogger("cli").setLevel(logging.DEBUG)
    elif not sys.warnoptions:
        warnings.simplefilter("ignore")


@contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """Whatever prints meanwhile, in Python or below it, prints to standard error."""
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
    """Ctrl-C and SIGTERM discard the clip, tidily, and end with the shell's status for them."""
    stopped_by = 0

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopped_by
        stopped_by = number
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # while we tidy
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        say("Discarded.")
        raise typer.Exit(128 + stopped_by) from None
