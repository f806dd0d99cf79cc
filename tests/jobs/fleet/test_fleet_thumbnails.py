"""`style-thumbnails` where Redis hands out the jobs: a worker makes the clips."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app import build_service
from cli.commands import Parts, app
from settings import Settings
from tests import tiny
from tests.jobs.redis_fleet import RedisServer, Worker, environment


@pytest.fixture
def settings(
    tmp_path: Path, tiny_repo: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    redis = RedisServer(tmp_path / "redis")
    tiny.write_card(tmp_path / "models", tiny_repo)
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
        redis_url=redis.url,
    )
    for name, value in environment(settings).items():
        if name.startswith(("KINORA_", "REDIS_", "DATABASE_")):
            monkeypatch.setenv(name, value)
    yield settings
    redis.close()


@pytest.mark.slow
def test_a_worker_of_the_fleet_makes_thumbnails(settings: Settings) -> None:
    worker = Worker(settings)
    try:
        words = ["style-thumbnails", "--style", "anime", "--style", "vhs"]
        done = CliRunner().invoke(app, words, obj=Parts(lambda: None, build_service))
    finally:
        worker.stop()  # and the process that it supervises
    assert done.exit_code == 0, (done.output, done.exception)
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert len({path.read_bytes() for path in paths}) == 2
    assert all(path.is_relative_to(settings.data_dir / "thumbnails") for path in paths)
    with sqlite3.connect(settings.data_dir / "kinora.db") as database:
        assert database.execute("select count(*) from jobs").fetchone() == (0,)
