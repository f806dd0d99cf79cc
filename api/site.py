"""All doors as one application, and how it stands in front of the page on the same port.

Knows FastAPI and ASGI. What a door does is in its own module.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from api.batches import Batches
from api.compat import Compat
from api.core import ApiContext
from api.openai.videos import Videos
from api.openapi import add_pages
from api.ops import Ops
from api.rest import Native
from settings import VERSION
from web.errors import add_handlers
from web.guard import Guard
from web.identity import Callers
from web.limits import ClipLimits, windows_for
from web.metrics import Metrics

if TYPE_CHECKING:
    from jobs.service import JobService
    from settings import Settings

log = logging.getLogger(__name__)

DOORS = (
    "/api",
    "/v1",
    "/generate",
    "/status",
    "/results",
    "/health",
    "/ready",
    "/metrics",
    "/test",
)
"""What is ours; everything else is the page's."""


def build(service: JobService, settings: Settings, metrics: Metrics) -> FastAPI:
    app = FastAPI(title="Kinora", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.callers = Callers(settings)
    windows = windows_for(settings)
    core = ApiContext(
        service, ClipLimits(settings.clips_per_minute, settings.clips_per_day, windows)
    )
    doors = (Native(core), Batches(core), Videos(core), Compat(core), Ops(service, metrics))
    for door in doors:
        app.include_router(door.router())
    add_pages(app)
    add_handlers(app)
    return app


def is_ours(path: str) -> bool:
    return any(path == door or path.startswith(f"{door}/") for door in DOORS)


def with_doors(launch: dict[str, Any], service: JobService, settings: Settings) -> dict[str, Any]:
    """What `Blocks.launch` was to be given, with the doors and the MCP server."""
    app = launch.get("app_kwargs", {}) | {"lifespan": beside_the_page(service, settings)}
    return launch | {"app_kwargs": app, "mcp_server": True}


def beside_the_page(service: JobService, settings: Settings) -> Callable[[Any], Any]:
    """A lifespan that puts the doors in front of Gradio's application when it starts.

    Gradio adds its own CORS as the outermost layer of all, after whatever `launch` was given, and
    that echoes any origin; so ours goes around the finished stack. It can go when `launch` takes
    an outermost layer. uvicorn's own belief in X-Forwarded-For is switched off, see `callers`."""
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "")
    metrics = Metrics(service)
    api = build(service, settings, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(page: Any) -> AsyncIterator[None]:
        if page.middleware_stack is None:
            raise RuntimeError("the page's middleware is built before its lifespan begins")
        page.middleware_stack = Guard(page.middleware_stack, api, is_ours, settings, metrics)
        _keep_what_is_here()
        _give_back_what_was_large()
        yield

    return lifespan


def _keep_what_is_here() -> None:
    """What the imports made stays for good. To look through all of it for garbage again and again
    would stop every thread for 0.2 s each time."""
    gc.collect()
    gc.freeze()


def _give_back_what_was_large(threshold_bytes: int = 1 << 20) -> None:
    """glibc learns to keep large blocks, for each thread its own, and so each of the threads that
    ever decoded a picture would hold tens of megabytes. A threshold that was set is not moved."""
    if sys.platform == "linux":
        mmap_threshold = -3  # M_MMAP_THRESHOLD, malloc.h
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(mmap_threshold, threshold_bytes)
