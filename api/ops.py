"""Health, readiness and metrics, for operators.

`/health` has the states of cog's health check and always responds with 200; `/ready` is for load
balancers. No response contains the id of a clip.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.responses import JSONResponse, Response

from errors import ErrorCode, KinoraError
from jobs.service import JobService
from web.errors import ERRORS, NO_STORE
from web.metrics import Metrics

REPORTED = ("loading", "error", "restarts", "queued", "running", "uptime_s", "device")
HealthStatus = Literal["STARTING", "READY", "BUSY", "SETUP_FAILED", "DEFUNCT"]


class DeviceView(BaseModel):
    """What the worker computes on, as reported by the worker."""

    gpu_name: str | None = None
    """None for the CPU."""
    vram_gb: float | None = None
    problem: str | None = None
    """Why an installed NVIDIA GPU is not used."""


class Health(BaseModel):
    status: HealthStatus
    loading: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    restarts: int = 0
    queued: int = 0
    running: int = 0
    uptime_s: float = 0.0
    device: DeviceView | None = None


class Ready(BaseModel):
    ready: bool
    status: HealthStatus


class Ops:
    def __init__(self, service: JobService, metrics: Metrics) -> None:
        self.service = service
        self.metrics = metrics

    def router(self) -> APIRouter:
        router = APIRouter(responses=ERRORS)
        router.add_api_route("/health", self.health, response_model=Health)
        router.add_api_route("/ready", self.ready, response_model=Ready)
        router.add_api_route("/test", self.test)
        plain = {200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."}}
        router.add_api_route(
            "/metrics", self.show_metrics, response_class=Response, response_model=None,
            responses={**ERRORS, **plain},
        )  # fmt: skip
        return router

    async def health(self) -> Response:
        """STARTING (models load), READY, BUSY, SETUP_FAILED (the default model did not load),
        DEFUNCT (the worker does not start). Always 200 while the process responds."""
        body = Health(**await in_thread(self._state))
        return JSONResponse(body.model_dump(), headers=NO_STORE)

    async def ready(self) -> Response:
        """200 if a clip that is requested now will be made, otherwise 503."""
        status = (await in_thread(self._state))["status"]
        if status not in ("READY", "BUSY"):
            raise KinoraError(
                ErrorCode.UNAVAILABLE, "No clips are made right now.", details={"status": status}
            )
        try:
            await in_thread(self.service.refuse_if_full)
        except KinoraError as error:
            details = {"status": status, "reason": error.code.value}
            raise KinoraError(ErrorCode.UNAVAILABLE, error.message, details=details) from error
        return JSONResponse(Ready(ready=True, status=status).model_dump(), headers=NO_STORE)

    async def show_metrics(self) -> Response:
        """For Prometheus."""
        text = await in_thread(self.metrics.text)
        return Response(text, headers={**NO_STORE, "Content-Type": CONTENT_TYPE_LATEST})

    async def test(self) -> dict[str, str]:
        """Responds if the server runs."""
        return {"status": "ok", "service": "kinora"}

    def _state(self) -> dict[str, Any]:
        health = self.service.health()
        reported = {name: health[name] for name in REPORTED if name in health}
        return reported | {"status": str(health["state"]).upper()}
