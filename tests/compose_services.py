"""compose.yaml as Docker Compose reads it, and its services as processes of this machine.

Where a container would have an address or a folder of its own, the process gets a free port and a
folder of the test (`Places`); every command, variable and health check is otherwise as written.
Knows no engine and no image: what an image brings must be installed here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from settings import ROOT
from tests.ports import free_port

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
UP_S = 180.0


def composed(environment: Mapping[str, str]) -> dict[str, Any]:
    """The whole file, with `${NAME:-default}` filled in."""

    def filled(value: Any) -> Any:
        match value:
            case str():
                return VARIABLE.sub(lambda m: environment.get(m[1]) or m[2] or "", value)
            case list():
                return [filled(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
            case dict():
                return {key: filled(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
            case _:
                return value

    return filled(yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8")))


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, its words) in order; lines that go on are joined, comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined if line)]


def image_environment() -> dict[str, str]:
    pairs = [word for name, rest in dockerfile() if name == "ENV" for word in rest.split()]
    return dict(pair.split("=", 1) for pair in pairs)


@dataclass
class Places:
    """Where the containers' addresses and folders are on this machine."""

    folder: Path
    ports: dict[str, int] = field(
        default_factory=lambda: {"redis": free_port(), "postgres": free_port(), "api": free_port()}
    )

    def here(self, text: str) -> str:
        for name, port in (("redis", 6379), ("postgres", 5432), ("api", 7860)):
            text = text.replace(f"@{name}:{port}", f"@127.0.0.1:{self.ports[name]}")
        text = text.replace("127.0.0.1:7860", f"127.0.0.1:{self.ports['api']}")
        return re.sub(r"(^|//)/data\b", rf"\1{self.folder / 'data'}", text)


class Service:
    """A process as one service of the file would run it."""

    def __init__(
        self, name: str, places: Places, given: Mapping[str, str], more: Mapping[str, str]
    ) -> None:
        self.name, self._places = name, places
        self.spec = composed(given)["services"][name]
        told = image_environment() if "build" in self.spec else {}
        told |= {key: str(value) for key, value in self.spec.get("environment", {}).items()}
        told = {key: places.here(value) for key, value in told.items()}
        if "build" in self.spec:
            told["GRADIO_SERVER_PORT"] = str(places.ports["api"])
            told["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        told |= {"PGPORT": str(places.ports["postgres"])}
        self.environment = os.environ | told | dict(more)
        self.log = places.folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._entrypoint(), *map(self._places.here, self.spec["command"]), *arguments],
                cwd=ROOT if "build" in self.spec else self._places.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def healthy(self) -> bool:
        """One run of the health check, as it is written."""
        how, *command = self.spec["healthcheck"]["test"]
        assert how == "CMD"
        program = _found(command[0])
        if command[0] == "redis-cli":
            command[1:1] = ["-p", str(self._places.ports["redis"])]
        done = subprocess.run(
            [program, *map(self._places.here, command[1:])],
            cwd=ROOT,
            env=self.environment | {"no_proxy": "127.0.0.1"},
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.returncode == 0

    def wait_until_healthy(self) -> None:
        ends = time.monotonic() + UP_S
        while time.monotonic() < ends:
            if self.healthy():
                return
            assert self.process is None or self.process.poll() is None, self.said()
            time.sleep(0.3)
        raise AssertionError(f"{self.name} is not healthy: {self.said()}")

    def stop(self, *, in_a_terminal: bool = False) -> int:
        """Its exit status, within the time that the file allows. `docker compose stop` tells the
        first process; Ctrl-C in a terminal all of them."""
        assert self.process
        if in_a_terminal:
            os.killpg(self.process.pid, signal.SIGINT)
        else:
            self.process.terminate()
        grace_s = int(str(self.spec.get("stop_grace_period", "10s")).rstrip("s"))
        return self.process.wait(grace_s)

    def kill(self) -> None:
        """And whatever it has started."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def _entrypoint(self) -> list[str]:
        if "build" not in self.spec:
            return []
        (words,) = (json.loads(rest) for name, rest in dockerfile() if name == "ENTRYPOINT")
        assert words[:3] == ["tini", "--", "python"]
        return [sys.executable, *words[3:]]


def _found(program: str) -> str:
    """On the PATH, or where Debian keeps PostgreSQL's own programs."""
    if program == "python":
        return sys.executable
    here = sorted(str(path.parent) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    found = shutil.which(program, path=os.pathsep.join([os.environ["PATH"], *here]))
    assert found, f"{program} is not installed"
    return found
