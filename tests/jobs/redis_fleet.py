"""Real parts of a fleet for the tests: a Redis of our own, and workers as people start them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from jobs.store import JobStore
from settings import ROOT, Settings
from tests.e2e.server import Server
from tests.ports import free_port

UP_S = 20.0
ME = "somebody-who-asks-for-clips"


class RedisServer:
    """redis-server on a port of its own. `keeps`: it writes down what it holds, as compose does."""

    def __init__(self, folder: Path, *, keeps: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._keeps = keeps
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "yes" if self._keeps else "no", "--dir", str(self._folder),
             "--loglevel", "warning"],
        )  # fmt: skip
        ends = time.monotonic() + UP_S
        while time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("redis-server does not answer")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


class Worker:
    """`python app.py worker`, or one whose GPU is only a clock (`pretends`)."""

    def __init__(
        self,
        settings: Settings,
        *arguments: str,
        pretends: dict[str, float] | None = None,
        **more: str,
    ) -> None:
        """`more` goes into its environment."""
        start = ["app.py", "worker"] if pretends is None else ["-m", "bench.fake_gpu_worker"]
        self.process = subprocess.Popen(
            [sys.executable, *start, *arguments],
            cwd=ROOT,
            env=environment(settings) | {"FAKE_GPU": json.dumps(pretends or {})} | more,
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, wait_s: float = 40.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(wait_s)


class Front(Server):
    """`python app.py` before the fleet, asked by HTTP; what it wrote down is read beside it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__(settings.data_dir, settings.models_dir)
        self.store = JobStore(settings.database_url)
        self.client = httpx.Client(
            base_url=self.url,
            trust_env=False,
            timeout=30,
            headers={"Authorization": "Bearer " + ME},
        )

    def start(self) -> None:
        self.environment |= environment(self._settings) | {
            "KINORA_MAX_JOBS_PER_VISITOR": "1000",
            "KINORA_MAX_QUEUE": "1000",
            "KINORA_CLIPS_PER_MINUTE": "0",
        }
        super().start()

    def ask(self, steps: int, prompt: str = "a dog") -> httpx.Response:
        body = {"prompt": prompt, "num_inference_steps": steps}
        return self.client.post("/api/generate", json=body)

    def submit(self, steps: int) -> str:
        answer = self.ask(steps)
        assert answer.status_code == 202, answer.text
        return answer.json()["job_id"]

    def kinds(self, job_id: str) -> list[str]:
        return [event.kind for event in self.store.events(job_id)]

    def stop(self) -> None:
        self.client.close()
        self.store.close()
        super().stop()


def environment(settings: Settings) -> dict[str, str]:
    given = {
        "KINORA_DATA_DIR": str(settings.data_dir),
        "KINORA_MODELS_DIR": str(settings.models_dir),
        "REDIS_URL": settings.redis_address or "",
        "DATABASE_URL": settings.database_url,
        "ARTIFACTS_URL": settings.artifacts_url or "",
        "REQUEST_TIMEOUT": str(settings.request_timeout_s),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    return os.environ | given
