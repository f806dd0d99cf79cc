"""The server goes by what its worker computes on: an A10G that torch cannot use is no A10G.

nvidia-smi lists one, and the installed torch passes for a build with CUDA until it is tried.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import build_service
from errors import ErrorCode, KinoraError
from jobs.fleet.protocol import WorkerInfo, device_to_show
from jobs.job import State
from jobs.workers.foreground import ForegroundExecutor
from pipelines.engine import torch_device as engine_device
from pipelines.planning import Device, device
from pipelines.request import GenerationRequest
from settings import ROOT, Settings
from tests import tiny
from tests.pipelines.fake_gpu import as_a_cuda_build, nvidia_smi
from tests.ports import free_port

ME = "me"
PROBLEM = "There is an NVIDIA GPU (NVIDIA A10G) that PyTorch cannot use: "
HUGE = {"ram_gb": 9000, "vram_gb": 20, "disk_gb": 1}
"""A model for a GPU: no machine has the memory for it without one."""


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Path:
    folder = tmp_path_factory.mktemp("cards")
    tiny.write_card(folder, tiny_repo)
    tiny.write_card(folder, tiny_repo, id="huge", name="Huge", needs=HUGE)
    return folder


@pytest.fixture
def seeming(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", nvidia_smi(tmp_path / "bin"))
    monkeypatch.setattr(device, "installed_version", lambda _package: "2.13.0")
    engine_device.torch_device.cache_clear()
    yield
    engine_device.torch_device.cache_clear()


def test_clips_that_were_accepted_for_a_gpu_fail_with_a_sentence_once_it_turns_out_unusable(
    cards: Path, tiny_settings: Settings, seeming: None
) -> None:
    settings = tiny_settings.model_copy(update={"models_dir": cards})
    executor = ForegroundExecutor(settings)
    service = build_service(settings, executor)
    executor.start(service._lifecycle)
    asked = GenerationRequest(prompt="a dog", num_inference_steps=1)
    try:
        huge = service.submit(asked.model_copy(update={"model": "huge"}), ME)
        small = service.submit(asked, ME)
        assert executor.find_device().problem
        failed = service.get(huge.id)
        assert failed.state is State.FAILED
        assert failed.error and failed.error["error"] == ErrorCode.TOO_LARGE.value
        assert "9000 GB of memory" in failed.error["message"]
        assert service.get(small.id).state is State.QUEUED
        with pytest.raises(KinoraError) as refused:
            service.submit(asked.model_copy(update={"model": "huge"}), ME)
        assert refused.value.action == {"label": "Use Tiny", "set": {"model": "pocket"}}
        executor.run(small.id)
        assert service.get(small.id).state is State.SUCCEEDED
    finally:
        service.close()


def test_a_workers_card_carries_its_device_and_a_problem_comes_first() -> None:
    good, bad = Device("H100", 80.0), Device(problem=f"{PROBLEM}x.")
    card = WorkerInfo(name="a", host="b", pid=1, device=bad)
    assert WorkerInfo.model_validate_json(card.model_dump_json()) == card
    assert device_to_show([None, good, bad]) == bad
    assert device_to_show([Device(), good, None]) == good
    assert device_to_show([None]) is None


@pytest.fixture(scope="module")
def environment(cards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("gpu")
    hidden = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
    return {name: value for name, value in os.environ.items() if name not in hidden} | {
        "PATH": nvidia_smi(place / "bin"),
        "PYTHONPATH": as_a_cuda_build(place / "site"),
        "KINORA_DATA_DIR": str(place / "data"),
        "KINORA_MODELS_DIR": str(cards),
    }


@pytest.fixture(scope="module")
def server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=environment | {"GRADIO_SERVER_PORT": str(port)},
            stdout=file,
            stderr=file,
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        try:
            ends = time.monotonic() + 300
            while True:
                assert process.poll() is None and time.monotonic() < ends, log.read_text()
                try:
                    health = client.get("/health").json()
                    if health.get("device"):
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
            yield client, log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@pytest.mark.slow
def test_health_log_page_and_doors_all_say_that_the_gpu_is_not_used(server: Any) -> None:
    client, log = server
    told = client.get("/health").json()["device"]
    assert (told["gpu_name"], told["vram_gb"]) == (None, None)
    assert told["problem"].startswith(PROBLEM)
    assert log.read_text().count(PROBLEM) == 1
    assert "Clips are made on the CPU." in log.read_text()

    client.get("/")  # the visitor's cookie
    offered = client.get("/kinora/models", params={"task": "t2v"}).json()["models"]
    rows = {row["id"]: row for row in offered}
    assert rows["huge"]["level"] == "no"
    assert rows["pocket"]["verdict"].startswith("Runs here on the CPU. The GPU here cannot be used")
    assert "on the GPU (NVIDIA A10G)" not in str(offered)

    refused = client.post("/api/generate", json={"prompt": "a dog", "model": "huge"})
    assert refused.status_code == 413
    assert "9000 GB of memory" in refused.text
    accepted = client.post("/api/generate", json={"prompt": "a dog", "num_inference_steps": 1})
    assert accepted.status_code == 202


@pytest.mark.slow
def test_the_commands_say_so_too(environment: dict[str, str]) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "app.py", *words]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    listed = run("models")
    assert listed.stderr.startswith(PROBLEM)
    assert "9000 GB of memory" in listed.stdout
    assert "on the GPU" not in listed.stdout.replace("needs", "")
    made = run("generate", "a dog", "--model", "huge", "--steps", "1")
    assert made.returncode == 1
    assert PROBLEM in made.stderr
    assert "9000 GB of memory" in made.stderr
