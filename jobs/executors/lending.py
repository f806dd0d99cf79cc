"""Lends a web request's GPU quota to a clip, where no Gradio event carries the request.

On ZeroGPU the Hub's proxy writes who calls into a header of every request; `spaces` looks for it in
the Gradio request of its context. Knows `spaces`, where it is installed; knows no web framework.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

TOKEN_HEADER = "x-ip-token"  # noqa: S105 - its name


class _Headers(dict[str, str]):
    """`spaces` wants an object that has attributes, and a `get`."""


class _Request:
    def __init__(self, token: str) -> None:
        self.headers = _Headers({TOKEN_HEADER: token, "x-gradio-user": "api"})


def with_quota(token: str, drive: Callable[[], None]) -> None:
    """Calls `drive` in a context in which `spaces` finds that token and nothing else."""
    from spaces.utils import gradio_request_var

    context = contextvars.copy_context()
    of_the_call: contextvars.ContextVar[Any] = gradio_request_var()
    context.run(of_the_call.set, _Request(token))
    context.run(drive)
