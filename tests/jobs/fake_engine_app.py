"""`python app.py`, whole and real, but for its worker's engine.

python -m tests.jobs.fake_engine_app
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import psutil

import app
from jobs.workers.process import ProcessExecutor
from settings import Settings
from tests import tiny
from tests.api.conftest import ApiServer
from tests.jobs.fake_engine_worker import LEDGER, MODULE

MOST_STEPS = 200


class FakeEngineApp(ApiServer):
    command: ClassVar[tuple[str, ...]] = ("-m", "tests.jobs.fake_engine_app")

    def __init__(self, folder: Path, **more: str) -> None:
        self.data = folder / "data"
        limits: dict[str, Any] = tiny.CARD["limits"]  # type: ignore[assignment]
        tiny.write_card(
            folder / "models", folder / "nowhere", limits=limits | {"max_steps": MOST_STEPS}
        )
        super().__init__(self.data, folder / "models", **{LEDGER: str(folder / "ledger")}, **more)


def worker_of(server: ApiServer) -> psutil.Process:
    assert server.process
    children = psutil.Process(server.process.pid).children()
    (worker,) = [
        each for each in children if {MODULE, "jobs.workers.process_worker"} & {*each.cmdline()}
    ]
    return worker


def main() -> None:
    build = app.build_service
    app.build_service = lambda settings, executor=None: build(
        settings, ProcessExecutor(Settings.load(), MODULE)
    )
    app.serve()


if __name__ == "__main__":
    main()
