"""A Hub that is served here, and a process that is told to use it by HF_ENDPOINT."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from errors import KinoraError
from settings import ROOT
from tests import tiny
from tests.hub.server import TestHub


class Child:
    """`tests.hub.client_process` in a process of its own."""

    def __init__(self, hub: TestHub, home: Path, **environment: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "KINORA_"))}
        env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.hub.client_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=env | environment,
        )

    def ask(self, act: str, **arguments: Any) -> Any:
        self.send(act, **arguments)
        return self.answer()

    def send(self, act: str, **arguments: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"act": act} | arguments) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise KinoraError.from_dict(answer["error"])
        assert "crash" not in answer, answer["crash"]
        return answer["value"]

    def close(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture(scope="session")
def hub() -> Iterator[TestHub]:
    with TestHub() as hub:
        yield hub


@pytest.fixture(autouse=True)
def _no_faults_left(hub: TestHub) -> Iterator[None]:
    yield
    hub.faults.clear()


@pytest.fixture(scope="session")
def hub_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf")


@pytest.fixture(scope="session")
def child(hub: TestHub, hub_home: Path) -> Iterator[Child]:
    child = Child(hub, hub_home)
    yield child
    child.close()


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Settings for the child: one card, "pocket", for a repository."""

    def made(repo: str, *, card: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        changes = {"repo": repo} | (card or {})
        tiny.write_card(tmp_path / "cards", Path(str(changes.pop("repo"))), **changes)
        data, models = str(tmp_path / "data"), str(tmp_path / "cards")
        return {"data_dir": data, "models_dir": models} | more

    return made
