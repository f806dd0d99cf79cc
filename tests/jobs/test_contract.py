"""What a service promises, over the parts of a fleet: the very tests of `test_service`.

There it is SQLite, a disk and a spawned child; here PostgreSQL, an object store and workers behind
Redis. `make test` runs the other mixtures too.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.service import JobService
from settings import Settings
from tests.jobs import test_service
from tests.jobs.conftest import build_service, until
from tests.jobs.redis_fleet import RedisServer, Worker
from tests.jobs.services import PostgresServer, S3Server

pytestmark = pytest.mark.slow

ONE_WORKER_HERE = {
    "test_health_tells_what_goes_on",
    "test_a_running_clip_is_discarded_within_a_step",
}
"""Of the spawned child: it hears a wish at once. For the fleet, `test_redis_fleet` says how soon:
a far worker looks five times a second, in which a tiny model makes several steps."""

for _name, _test in vars(test_service).items():
    _is_test = _name.startswith("test_") and inspect.isfunction(_test)
    if (
        _is_test
        and _name not in ONE_WORKER_HERE
        and "service" in inspect.signature(_test).parameters
    ):
        globals()[_name] = _test

busy = test_service.busy


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server
    server.close()


MIXTURES = [
    ("postgresql", "object store", "redis"),
    ("postgresql", "object store", "process"),
    ("sqlite", "shared disk", "redis"),
]


@pytest.fixture(scope="module", params=MIXTURES, ids=", ".join)
def service(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_models_dir: Path,
) -> Iterator[JobService]:
    database, files, executor = request.param
    folder = tmp_path_factory.mktemp("contract")
    chosen: dict[str, str] = {}
    if database == "postgresql":
        chosen["database_url"] = request.getfixturevalue("postgres").database()
    chosen["artifacts_url"] = (folder / "shared").as_uri()
    if files == "object store":
        request.getfixturevalue("s3")
        chosen["artifacts_url"] = f"s3://clips/{folder.name}"
    if executor == "redis":
        chosen["redis_url"] = request.getfixturevalue("redis").url
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "server",
        models_dir=tiny_models_dir,
        max_jobs_per_visitor=50,
        **chosen,  # type: ignore[arg-type]
    )
    # a worker on another machine: it shares nothing with the server but Redis and the store
    there = settings.model_copy(update={"data_dir": folder / "worker"})
    worker = Worker(there) if executor == "redis" else None
    with build_service(settings) as service:
        until(lambda: service.health()["state"] == "ready")
        yield service
    if worker:
        assert worker.stop() == 0


def test_the_server_kept_no_file_it_was_not_asked_for(service: JobService) -> None:
    """It runs last: with an object store, what is here are copies somebody wanted to read."""
    until(lambda: not list(service.settings.data_dir.rglob("*.part")))  # a copy may still come
    assert not list((service.settings.data_dir / "work").glob("*"))
