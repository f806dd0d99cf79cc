"""Builds the HTTP API as one application and puts it in front of the page, on the same port."""

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

from api.admin_pages import AdminPages
from api.batches import Batches
from api.clip_operations import ClipOperations
from api.clip_reports import ClipReports
from api.clips import ClipGallery
from api.compat import Compat
from api.core import ApiContext
from api.explore import Explore
from api.films import Films
from api.openai.videos import Videos
from api.openapi import add_pages
from api.ops import Ops
from api.prompts import Prompts
from api.rest import Native
from api.settings_reader import SettingsReader
from api.share_links import ShareLinks
from api.share_pages import SharePages
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

PREFIXES = (
    "/api",
    "/v1",
    "/generate",
    "/status",
    "/results",
    "/health",
    "/ready",
    "/metrics",
    "/test",
    "/c",
    "/oembed",
    "/admin",
)
"""Prefixes of the API; every other path is the page's."""


def build(service: JobService, settings: Settings, metrics: Metrics) -> FastAPI:
    app = FastAPI(title="Kinora", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.callers = Callers(settings)
    windows = windows_for(settings)
    core = ApiContext(
        service, ClipLimits(settings.clips_per_minute, settings.clips_per_day, windows)
    )
    parts = (
        Native, Batches, Explore, ClipGallery, Prompts, SettingsReader, ShareLinks, Videos, Compat,
        AdminPages, ClipReports, ClipOperations, Films,
    )  # fmt: skip
    for part in (*(each(core) for each in parts), SharePages(core), Ops(service, metrics)):
        app.include_router(part.router())
    add_pages(app)
    add_handlers(app)
    return app


def is_ours(path: str) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in PREFIXES)


def with_api(launch: dict[str, Any], service: JobService, settings: Settings) -> dict[str, Any]:
    """The arguments of `Blocks.launch`, plus the API and the MCP server."""
    app = launch.get("app_kwargs", {}) | {"lifespan": api_lifespan(service, settings)}
    return launch | {"app_kwargs": app, "mcp_server": True}


def api_lifespan(service: JobService, settings: Settings) -> Callable[[Any], Any]:
    """A lifespan that puts the API in front of Gradio's application when it starts.

    Gradio adds CORS middleware as the outermost layer, around all middleware passed to `launch`,
    and it echoes any origin. So ours wraps the finished stack. This can go when `launch` accepts an
    outermost layer. uvicorn's handling of X-Forwarded-For is disabled: see `web/identity.py`."""
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "")
    metrics = Metrics(service)
    api = build(service, settings, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(page: Any) -> AsyncIterator[None]:
        if page.middleware_stack is None:
            raise RuntimeError("the page's middleware is built before its lifespan begins")
        page.middleware_stack = Guard(page.middleware_stack, api, is_ours, settings, metrics)
        _freeze_imported_objects()
        _return_large_blocks()
        yield

    return lifespan


def _freeze_imported_objects() -> None:
    """Excludes the objects of the imports, which live forever, from garbage collection: scanning
    them stops every thread for 0.2 s each time."""
    gc.collect()
    gc.freeze()


def _return_large_blocks(threshold_bytes: int = 1 << 20) -> None:
    """Makes glibc return large freed blocks to the system. By default it raises the threshold with
    use, and each thread that ever decoded an image would hold tens of megabytes. A threshold that
    was set explicitly stays constant."""
    if sys.platform == "linux":
        mmap_threshold = -3  # M_MMAP_THRESHOLD, malloc.h
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(mmap_threshold, threshold_bytes)
