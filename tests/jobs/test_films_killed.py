"""kill -9 of a server, of a worker and of both in the middle of a film: finished shots are kept,
nothing is made twice, and the film is there at the end. On one machine, and on a fleet with Redis
and PostgreSQL."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.film import FilmState
from jobs.film_maker import ShotChange
from jobs.film_rows import FilmRows
from jobs.job import State
from jobs.liveness import Heartbeat
from jobs.service import JobService
from jobs.store import JobStore
from settings import ROOT, Settings
from tests import tiny
from tests.jobs.conftest import WORKER_UP_S, until
from tests.jobs.fake_engine_worker import LEDGER
from tests.jobs.film_server import FADE_S, OWNER, film_service
from tests.jobs.film_worker import MODULE
from tests.jobs.killer import Doomed
from tests.jobs.redis_fleet import RedisServer, environment
from tests.jobs.services import PostgresServer
from tests.media.reading import read

pytestmark = pytest.mark.slow

Takes = list[str | None]


class Deployment:
    """A data folder, the environment of its processes, and what they have made whole."""

    def __init__(self, folder: Path, **more: str) -> None:
        models = folder / "models"
        tiny.write_card(models, folder / "nowhere")
        self.settings = Settings(
            _env_file=None,  # pyright: ignore[reportCallIssue]
            data_dir=folder / "data",
            models_dir=models,
            **more,  # pyright: ignore[reportArgumentType]
        )
        self.ledger = folder / "ledger"
        self.environment = environment(self.settings) | {LEDGER: str(self.ledger)}

    def kill_server_at(self, moment: str) -> tuple[str, Takes]:
        """Starts a server with a film and kills it: the film's id, and the takes it had."""
        server = Doomed(self.environment, "tests.jobs.film_server")
        film_id = server.wait_for("film ", WORKER_UP_S).split()[1]
        server.wait_for(f"event {moment}", WORKER_UP_S)
        server.kill()
        store = JobStore(self.settings.database_url)
        found = FilmRows(store.database).find(film_id)
        store.close()
        assert found is not None and found.state == "working"
        return film_id, takes(found)

    def made(self) -> Counter[str]:
        """How often each job was made whole."""
        return Counter(self.ledger.read_text().split())


def takes(state: FilmState) -> Takes:
    return [shot.job for shot in state.film.shots]


def ended(service: JobService, film_id: str) -> FilmState:
    """Once nothing of it is being made any more."""
    try:
        until(lambda: service.find_film(film_id).state != "working")
    except AssertionError:
        print(service.find_film(film_id), service.health())  # what it hangs on
        raise
    return service.find_film(film_id)


def check_film(service: JobService, state: FilmState, jobs: int) -> None:
    """It is complete, and nothing else was made or left."""
    assert state.state == "succeeded", state
    assert state.file is not None
    counts = [len(read(service.clip_path(job or "")).frames) for job in takes(state)]
    assert len(read(service.clip_path(state.file.id)).frames) == sum(counts) - round(FADE_S * 8)
    assert state.film.shots[1].after == takes(state)[0]
    assert len(service.list(OWNER, 50)) == jobs
    assert service._store.running() == []
    assert not list((service.settings.data_dir / "jobs").rglob("*.part"))


@pytest.mark.parametrize("moment", ["succeeded 1", "started 4"], ids=["second_shot", "joining"])
def test_a_film_goes_on_where_its_server_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    place = Deployment(tmp_path)
    film_id, before = place.kill_server_at(moment)
    whole = place.made()
    monkeypatch.setenv(LEDGER, str(place.ledger))
    with film_service(place.settings) as service:
        state = ended(service, film_id)
        assert [job for job in takes(state) if job in before] == [job for job in before if job]
        check_film(service, state, jobs=4)
        again = place.made()
        assert {job: again[job] for job in whole} == whole, "what was whole is not made again"

        service.redo_shot(film_id, 3, ShotChange(prompt="a bird"))
        until(lambda: service.find_film(film_id).shot_state(2) == "running")
        os.kill(service.health()["worker_pid"], 9)
        redone = ended(service, film_id)
        assert takes(redone)[:2] == takes(state)[:2]
        assert service.get(takes(redone)[2] or "").attempts == 2
        check_film(service, redone, jobs=6)
        assert max(place.made().values()) == 1


# -- on a fleet ------------------------------------------------------------------------------------


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Deployment]:
    postgres, redis = PostgresServer(), RedisServer(tmp_path / "redis")
    yield Deployment(tmp_path, redis_url=redis.url, database_url=postgres.database())
    redis.close()
    postgres.close()


def start_worker(place: Deployment) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, "redis"], cwd=ROOT, env=place.environment
    )


def test_a_film_of_a_fleet_outlives_its_server_and_a_worker(
    fleet: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.liveness.Heartbeat", functools.partial(Heartbeat, silent_s=4.0))
    workers = [start_worker(fleet)]
    try:
        film_id, before = fleet.kill_server_at("succeeded 1")
        with film_service(fleet.settings) as service:
            until(lambda: "running" in states(service, film_id))
            workers[0].kill()  # with a shot in its hands
            workers.append(start_worker(fleet))
            state = ended(service, film_id)
            assert takes(state)[0] == before[0]
            check_film(service, state, jobs=4)
            assert fleet.made()[before[0] or ""] == 1

            service.redo_shot(film_id, 2, ShotChange(prompt="it sleeps"))
            until(lambda: states(service, film_id)[1] == "running")
            service.cancel_film(film_id)
            cancelled = ended(service, film_id)
            assert (cancelled.state, cancelled.file) == ("cancelled", state.file)
            assert states(service, film_id) == ["succeeded", "cancelled", "succeeded"]
            until(lambda: service.get(takes(cancelled)[1] or "").state is State.CANCELLED)
            service.resume_film(film_id)
            check_film(service, ended(service, film_id), jobs=7)
    finally:
        for each in workers:
            each.kill()
            each.wait()


def states(service: JobService, film_id: str) -> list[str]:
    state = service.find_film(film_id)
    return [state.shot_state(index) for index in range(len(state.film.shots))]
