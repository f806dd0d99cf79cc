"""G1, G16, G20: workers are killed in the middle of their clips, Redis goes away, nothing grows.

All of it is real but the engine: a server asked by HTTP, redis-server, worker processes whose GPU
is a clock: a step takes as long as it takes, however busy the machine is.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from errors import ErrorCode
from jobs.fleet.client import connect
from jobs.fleet.protocol import RedisProtocol
from jobs.job import Job, State
from settings import Settings
from tests import tiny
from tests.goals import FULL, Goal, rounds
from tests.jobs.conftest import until
from tests.jobs.redis_fleet import Front, RedisServer, Worker

pytestmark = pytest.mark.slow
STEP_S = 0.4
PRETENDS = {"step_s": STEP_S}
SHORT, LASTING, ENDLESS = 2, 20, 200
OUTAGE_S = 60 if FULL else 16
LONGER = round((OUTAGE_S + 14) / STEP_S)
AT_ONCE = 10
"""So many workers die within the same seconds."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Settings:
    folder = tmp_path_factory.mktemp("goals")
    limits = tiny.CARD["limits"] | {"max_steps": ENDLESS}  # type: ignore[operator]
    tiny.write_card(folder / "models", folder / "nowhere", limits=limits)
    return Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "data",
        models_dir=folder / "models",
        redis_url=redis.url,
    )


@pytest.fixture(scope="module")
def front(settings: Settings) -> Iterator[Front]:
    front = Front(settings)
    yield front
    front.stop()


class Crew:
    """The workers of a test, and who of them makes what."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fleet = RedisProtocol(connect(settings.redis_url or ""))
        self._workers: dict[int, Worker] = {}

    def hire(self, how_many: int) -> None:
        hired = [Worker(self._settings, pretends=PRETENDS) for _ in range(how_many)]
        self._workers |= {worker.process.pid: worker for worker in hired}

    def all_up(self) -> None:
        """As many as there should be, and none that is dead."""

        def are_up() -> bool:
            cards = self._fleet.workers().values()
            return sorted(c.pid for c in cards if c.state == "ready") == sorted(self._workers)

        until(are_up)

    def maker_of(self, job_id: str) -> int:
        """The process that makes this clip."""
        ticket = self._fleet.ticket(job_id)
        assert ticket
        return self._fleet.workers()[ticket.worker].pid

    def kill(self, pid: int) -> float:
        self._workers.pop(pid).kill()
        return time.time()

    def leave(self) -> None:
        for worker in self._workers.values():
            worker.stop()
        until(lambda: not self._fleet.workers())
        self._fleet.redis.close()


@pytest.fixture
def crew(settings: Settings) -> Iterator[Crew]:
    crew = Crew(settings)
    yield crew
    crew.leave()


def job(front: Front, job_id: str) -> Job:
    found = front.store.get(job_id)
    assert found
    return found


def ended(front: Front, ids: list[str], within_s: float = 120.0) -> list[Job]:
    until(lambda: all(job(front, each).state.ended for each in ids), within_s)
    return [job(front, each) for each in ids]


def steps_of_this_attempt(front: Front, job_id: str) -> int:
    kinds = front.kinds(job_id)
    began = len(kinds) - kinds[::-1].index("started") if "started" in kinds else len(kinds)
    return kinds[began:].count("step")


@pytest.mark.goal("G1")
def test_a_killed_worker_is_seen_and_its_clip_is_made_again_once(
    front: Front, crew: Crew, goal: Goal
) -> None:
    """Killed -9 in the middle; so is the worker that makes the clip again."""
    chance, seen_after_s, sentences = random.Random(1), [], set()
    how_many = rounds(2, 20)
    requeued_once = lost = 0
    for begin in range(0, how_many, AT_ONCE):
        wave = min(AT_ONCE, how_many - begin)
        crew.hire(wave)
        crew.all_up()
        ids = [front.submit(ENDLESS) for _ in range(wave)]
        killed: dict[str, list[float]] = {job_id: [] for job_id in ids}
        for attempt in (1, 2):
            for job_id in ids:
                until(lambda j=job_id, a=attempt: front.kinds(j).count("started") == a)
                least = chance.randint(1, 5)
                until(lambda j=job_id, n=least: steps_of_this_attempt(front, j) >= n)
                killed[job_id].append(crew.kill(crew.maker_of(job_id)))
            if attempt == 1:
                crew.hire(wave)
        for found in ended(front, ids):
            events = front.store.events(found.id)
            again = [event.at for event in events if event.kind == "requeued"]
            requeued_once += len(again) == 1
            error = found.error or {}
            lost += (found.state, error.get("error")) == (State.FAILED, ErrorCode.WORKER_LOST.value)
            sentences.add(str(error.get("message")))
            noticed = [again[0], events[-1].at]
            seen_after_s += [at - k for at, k in zip(noticed, killed[found.id], strict=True)]
    goal.count("of workers killed, clips made again exactly once", requeued_once, at_least=how_many)
    goal.count("lost twice: failed as worker_lost", lost, at_least=how_many)
    goal.time("a worker's death is seen after, at most", max(seen_after_s), at_most=15)
    assert sentences == {"The worker stopped in the middle of this clip. Try again."}
    assert front.store.running() == []


@pytest.mark.goal("G1")
def test_a_clip_of_a_killed_worker_is_there_in_the_end(
    front: Front, crew: Crew, goal: Goal
) -> None:
    how_many = rounds(1, 5)
    crew.hire(how_many)
    crew.all_up()
    ids = [front.submit(10) for _ in range(how_many)]
    for job_id in ids:
        until(lambda j=job_id: "step" in front.kinds(j))
        crew.kill(crew.maker_of(job_id))
    crew.hire(1)
    whole = 0
    for made in ended(front, ids):
        answer = front.client.get(f"/api/result/{made.id}")
        whole += answer.text == f"pretended {made.id} 2"
        numbers = [event.n for event in front.store.events(made.id)]
        assert numbers == list(range(1, len(numbers) + 1))
    goal.count("their clips made by the second worker", whole, at_least=how_many)


@pytest.mark.goal("G16")
def test_two_seconds_without_redis_harm_nobody(
    front: Front, redis: RedisServer, crew: Crew, goal: Goal
) -> None:
    chance = random.Random(2)
    crew.hire(3)
    crew.all_up()
    harmed = refused = 0
    for _ in range(rounds(1, 6)):
        ids = [front.submit(chance.randint(1, 12)) for _ in range(10)]
        until(lambda ids=ids: job(front, ids[0]).started_at is not None)
        time.sleep(chance.uniform(0, 2))
        redis.kill()
        away_at = time.monotonic()
        while time.monotonic() - away_at < 2:
            answer = front.ask(SHORT)
            refused += answer.status_code != 202
            ids += [answer.json()["job_id"]] if answer.status_code == 202 else []
            time.sleep(0.4)
        redis.start()
        for done in ended(front, ids):
            harmed += (done.state, done.attempts) != (State.SUCCEEDED, 1)
    goal.count("Redis away for 2 s: clips failed or made twice", harmed, at_most=0)
    goal.count("Redis away for 2 s: requests refused", refused, at_most=0)
    assert front.store.running() == []


@pytest.mark.goal("G16")
def test_a_long_time_without_redis_is_told_and_everything_is_resolved_after(
    front: Front, redis: RedisServer, crew: Crew, goal: Goal
) -> None:
    """Clips that end meanwhile, that go on, that lose their worker, that people stop, that wait."""
    crew.hire(9)
    crew.all_up()
    going_on = [front.submit(LONGER) for _ in range(3)]
    ending = [front.submit(LASTING) for _ in range(3)]
    losing = [front.submit(LASTING) for _ in range(3)]
    running = [*going_on, *ending, *losing]
    until(lambda: all("step" in front.kinds(each) for each in running))
    waiting = [front.submit(SHORT) for _ in range(12)]
    doomed = [crew.maker_of(job_id) for job_id in losing]

    redis.kill()
    away_at = time.monotonic()
    for pid in doomed:
        crew.kill(pid)
    front.client.post(f"/api/jobs/{going_on[0]}/cancel").raise_for_status()
    front.client.post(f"/api/jobs/{going_on[1]}/finish").raise_for_status()
    front.client.post(f"/api/jobs/{waiting[0]}/cancel").raise_for_status()
    refusals: list[httpx.Response] = []
    told_after_s = slowest_s = 0.0
    while (gone_s := time.monotonic() - away_at) < OUTAGE_S:
        answer = front.ask(SHORT)
        slowest_s = max(slowest_s, answer.elapsed.total_seconds())
        if answer.status_code == 202:
            assert not refusals, "accepted again, though Redis was still away"
            told_after_s = gone_s
            waiting.append(answer.json()["job_id"])
        else:
            refusals.append(answer)
        assert front.client.get(f"/api/jobs/{running[0]}").status_code == 200
        time.sleep(1)
    clear = [r for r in refusals if r.status_code == 503 and "Redis" in r.json()["message"]]
    is_ready = front.client.get("/ready").status_code
    redis.start()
    back_at = time.time()

    crew.hire(3)
    jobs = ended(front, [*running, *waiting])
    resolved_s = max(job.ended_at or 0.0 for job in jobs) - back_at
    goal.count("Redis away: refusals", len(refusals), at_least=OUTAGE_S / 4)
    goal.count("refusals that are no clear 503", len(refusals) - len(clear), at_most=0)
    goal.time("Redis away: requests are refused after", told_after_s, at_most=8)
    goal.time("an answer while Redis was away, at most", slowest_s, at_most=1)
    goal.time(f"after {OUTAGE_S} s without Redis, all resolved in", resolved_s, at_most=30)
    goal.count("stuck after it", len(front.store.running()), at_most=0)
    states = {job.id: (job.state, job.attempts) for job in jobs}
    assert is_ready == 503
    assert states.pop(going_on[0]) == (State.CANCELLED, 1)
    assert states.pop(waiting[0]) == (State.CANCELLED, 0)
    assert [states.pop(each) for each in losing] == [(State.SUCCEEDED, 2)] * 3
    assert set(states.values()) == {(State.SUCCEEDED, 1)}
    assert front.kinds(going_on[1]).count("step") < LONGER
    assert front.client.get("/ready").status_code == 200


@pytest.mark.goal("G20")
def test_nothing_grows_in_a_worker_or_in_redis_with_the_clips_that_were_made(
    front: Front, settings: Settings, goal: Goal
) -> None:
    worker = Worker(settings, pretends={"steps": 2, "step_s": 0.01})
    process, redis = psutil.Process(worker.process.pid), connect(settings.redis_url or "")

    def make(how_many: int) -> None:
        done = ended(front, [front.submit(SHORT) for _ in range(how_many)])
        assert {each.state for each in done} == {State.SUCCEEDED}
        until(lambda: not redis.keys("kinora:job:*"))

    make(20)
    how_many = rounds(40, 300)
    files, threads, rss = process.num_fds(), process.num_threads(), process.memory_info().rss
    keys = redis.dbsize()
    for _ in range(how_many // 20):
        make(20)
    grown_mb = (process.memory_info().rss - rss) / 1e6
    goal.count("a far worker: memory per clip", grown_mb / how_many, at_most=0.2, unit="MB")
    goal.count("a far worker: more open files", process.num_fds() - files, at_most=2)
    goal.count("a far worker: more threads", process.num_threads() - threads, at_most=1)
    goal.count("more keys in Redis", int(redis.dbsize()) - int(keys), at_most=50)  # type: ignore[arg-type]
    redis.close()
    assert worker.stop() == 0
    assert not list((settings.data_dir / "work").iterdir())
