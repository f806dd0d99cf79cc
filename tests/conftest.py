"""What every test may use: a tiny pipeline, a card that points at it, and settings for both."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: no test may fetch
# before torch is imported: tiny models gain nothing from threads, and on a busy machine threads
# that wait for each other take a hundred times as long
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pipelines.models.cards import ModelCard, load_cards
from settings import Settings
from tests import tiny
from tests.forks import Forks
from tests.goals import FULL, Goal

if TYPE_CHECKING:
    from pipelines.engine.manager import PipelineManager


# a shell's background job has Ctrl-C ignored, and so would everything that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)

# how long an example takes is the machine's matter; the same commit gives the same answer, and
# `make reliability` looks further
hypothesis.settings.register_profile(
    "kinora",
    deadline=None,
    derandomize=not FULL,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("kinora")


LONGEST = (
    "training/evaluation/test_short.py", "jobs/test_worker_lost.py", "test_demo.py",
    "test_compose_runs.py", "test_reload.py", "jobs/fleet/test_goals.py",
    "jobs/fleet/test_redis_lost.py", "api/test_no_leaks.py", "tools/test_header.py",
    "jobs/test_shutdown.py", "jobs/test_soak.py", "jobs/test_server_killed.py",
)  # fmt: skip
"""Files whose slow tests take half a minute and more come first: begun last, they would keep the
other processes of `make test` waiting for their end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The modules of the tests import torch, gradio and more, which stay to the end: the collector
    looks through them once, when all are there. It was a third of the time of collecting."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own settings do not reach the tests."""
    for name, _, _ in Settings.table():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def goal(request: pytest.FixtureRequest) -> Goal:
    """Where a test marked `goal` says what it found."""
    return Goal(request.node)


@pytest.fixture(scope="session")
def tiny_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("tiny") / "pipeline")


@pytest.fixture(scope="session")
def tiny_models_dir(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_card(folder, tiny_repo)
    return folder


@pytest.fixture(scope="session")
def tiny_cards(tiny_models_dir: Path) -> dict[str, ModelCard]:
    return load_cards(tiny_models_dir)


@pytest.fixture
def tiny_settings(tmp_path: Path, tiny_models_dir: Path) -> Settings:
    """Settings of an app whose only model, "pocket", is the tiny pipeline."""
    return Settings(_env_file=None, data_dir=tmp_path / "data", models_dir=tiny_models_dir)  # pyright: ignore[reportCallIssue]


@pytest.fixture
def tiny_env(tiny_settings: Settings) -> dict[str, str]:
    """The same settings as the environment of a subprocess."""
    return os.environ | {
        "KINORA_DATA_DIR": str(tiny_settings.data_dir),
        "KINORA_MODELS_DIR": str(tiny_settings.models_dir),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"],
    }


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with closing(Forks()) as running:
        yield running


@pytest.fixture(scope="session")
def tiny_manager(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_cards: dict[str, ModelCard],
    tiny_models_dir: Path,
) -> Iterator[PipelineManager]:
    """One manager for all tests that only read from it."""
    from pipelines.engine.manager import PipelineManager

    data_dir = tmp_path_factory.mktemp("manager")
    settings = Settings(_env_file=None, data_dir=data_dir, models_dir=tiny_models_dir)  # pyright: ignore[reportCallIssue]
    manager = PipelineManager(tiny_cards, settings)
    yield manager
    manager.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails before a server shows what the server has written."""
    report = yield
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and isinstance(log := getattr(server, "log", None), Path) and log.exists():
        report.sections.append(("the server's log", log.read_text(errors="replace")[-6000:]))
    return report
