"""The error of `make space`, with a message that says what to do."""

from __future__ import annotations


class Problem(Exception):
    """The message is for the person at the terminal; no traceback is shown."""
