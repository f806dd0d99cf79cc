"""The gallery of a visitor with ten thousand clips: how long the server takes for a page, in ms.

The time from the request to the last byte of the response, in this process, without a network.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from app import build_service
from bench.common import Figure
from jobs.job import Job, State, new_id
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.many_clips_of_one import fill
from ui.gallery_routes import GalleryRoutes
from ui.routes import PageRoutes
from web.identity import COOKIE, VisitorCookie, owner_of

CLIPS = 10_000
VISITOR = "a" * 32
QUERIES = {
    "first page": "",
    "longest first": "sort=longest",
    "by model": "sort=model",
    "search that finds many": "search=balloon",
    "search that finds none": "search=nowhere",
    "starred, none": "starred=true",
    "failed, none": "status=failed",
}
BOUND_MS = 50.0


def measure(folder: Path, rounds: int) -> list[Figure]:
    settings = Settings.load().model_copy(
        update={"data_dir": folder, "database_url": f"sqlite:///{folder / 'kinora.db'}"}
    )
    service = build_service(settings)
    request = GenerationRequest(prompt="a balloon rises over the hills", seed=5)
    example = Job(
        id=new_id(), owner=owner_of(VISITOR), state=State.QUEUED, request=request,
        fitted=service.fit(request), created_at=time.time(),
    )  # fmt: skip
    fill(service._store, example, CLIPS)
    page = PageRoutes(service, settings)
    routes = GalleryRoutes(service, page.view, page.signatures).routes()
    site = Starlette(routes=routes, middleware=[Middleware(VisitorCookie)])
    figures = []
    with TestClient(site, cookies={COOKIE: VISITOR}) as client:
        for name, query in QUERIES.items():
            taken = [_time_page(client, query) for _ in range(rounds + 1)][1:]
            spread = (min(taken), max(taken))
            figure = Figure(f"gallery: {name}", statistics.median(taken), BOUND_MS, "ms", spread)
            figures.append(figure)
    service.close()
    return figures


def _time_page(client: TestClient, query: str) -> float:
    begun = time.perf_counter()
    client.get(f"/kinora/gallery?limit=60&{query}").raise_for_status()
    return 1000 * (time.perf_counter() - begun)
