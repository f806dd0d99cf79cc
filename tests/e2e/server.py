"""`python app.py` as a subprocess, on a free port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import httpx

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]

ADMIN_KEY = "the-operator-of-these-tests-0123"


class Server:
    """`python app.py`, as anybody would start it."""

    command: ClassVar[tuple[str, ...]] = ("app.py",)

    def __init__(self, data_dir: Path, models_dir: Path) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.parent / f"server-{self.port}.log"
        self.environment = os.environ | {
            "KINORA_DATA_DIR": str(data_dir),
            "KINORA_MODELS_DIR": str(models_dir),
            "KINORA_MAX_JOBS_PER_VISITOR": "30",
            "KINORA_ADMIN_KEY": ADMIN_KEY,
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(self.port),
            "GRADIO_TEMP_DIR": str(data_dir.parent / "gradio"),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "2",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if httpx.get(self.url, timeout=5, trust_env=False).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"The server did not come up:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
