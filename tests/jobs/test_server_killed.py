"""kill -9 of the server at random points: what was accepted is not lost, not doubled, not stuck.

`make reliability` kills a hundred, at every thing a server does.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from jobs.event_types import TERMINAL_KINDS
from jobs.job import State
from jobs.store import JobStore
from settings import Settings
from tests.goals import Goal, rounds
from tests.jobs.conftest import until
from tests.jobs.fake_engine_worker import LEDGER
from tests.jobs.killer import Client, Doomed, Left, look, phase

pytestmark = pytest.mark.slow

PHASES = ("recovering", "submitting", "queued", "running", "writing")


def recovering(server: Doomed, _client: Client) -> float:
    server.wait_for("opening")
    return 0.06


def submitting(server: Doomed, client: Client) -> float:
    server.wait_for("started")
    client.ask(server, 1)
    server.wait_for(f"submitting {client.asked[-1]}")
    return 0.005


def queued(server: Doomed, client: Client) -> float:
    server.wait_for("started")
    client.ask(server, 2)
    server.wait_for(f"accepted {client.asked[-1]}")
    return 0.3


def running(server: Doomed, client: Client) -> float:
    queued(server, client)
    server.wait_for("event step")
    return 0.1


def writing(server: Doomed, client: Client) -> float:
    queued(server, client)
    server.wait_for("event encoding")
    return 0.12


def anything(_server: Doomed, _client: Client) -> float:
    return 3.0


AIMS: tuple[Callable[[Doomed, Client], float], ...] = (
    *(submitting, recovering, queued, running, recovering, writing, recovering, anything),
)
"""Each waits for its moment, and says within how many seconds after it the kill may come."""


@pytest.fixture
def harness_env(tiny_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return tiny_env | {
        LEDGER: str(tmp_path / "ledger"),
        "KINORA_MAX_JOBS_PER_VISITOR": "1000",
        "KINORA_MAX_QUEUE": "1000",
    }


@pytest.mark.goal("G3")
def test_killed_servers_lose_no_clip(
    goal: Goal, tiny_settings: Settings, harness_env: dict[str, str], tmp_path: Path
) -> None:
    kills = rounds(len(AIMS), 100)
    chance = random.Random(kills)
    client, data = Client(), tiny_settings.data_dir
    hit: Counter[str] = Counter()
    broken = stuck = made_again = 0
    slowest_s = 0.0
    finished: dict[str, float] = {}

    for number in range(kills):
        server = Doomed(harness_env)
        time.sleep(chance.uniform(0.0, AIMS[number % len(AIMS)](server, client)))
        server.kill()
        client.hear(server)
        left = look(data, tmp_path / "copy")
        hit[phase(server, left, data)] += 1
        broken += not left.is_whole
        made_again += changed(finished, left)
        stuck += stuck_after_start(server, left)
        slowest_s = max(slowest_s, server.heard_at.get("started", 0.0) - server.began)

    drained(client, harness_env)

    left = look(data, tmp_path / "copy")
    made_again += changed(finished, left)
    ledger = Path(harness_env[LEDGER]).read_text().split()
    ends = Endings(tiny_settings, client)
    for name in (*PHASES, *sorted(hit.keys() - PHASES)):
        goal.count(f"kills while {name}", hit[name], at_least=rounds(0, 5 * (name in PHASES)))
    goal.count("accepted jobs", len(client.ids))
    goal.count("ended as worker_lost, killed twice", ends.given_up)
    goal.count("accepted jobs lost", ends.lost, at_most=0)
    goal.count("doubled: accepted twice", len(left.rows) - len(client.asked), at_most=0)
    goal.count("doubled: answered otherwise", client.other_answers, at_most=0)
    goal.count("doubled: made twice", len(ledger) - len(set(ledger)) + made_again, at_most=0)
    goal.count("doubled: ended twice", ends.twice, at_most=0)
    goal.count("stuck after the next start", stuck + left.stuck(""), at_most=0)
    goal.count("broken databases", broken + (not left.is_whole), at_most=0)
    goal.count("half files left", len(list(data.rglob("*.part"))), at_most=0)
    goal.count("signs of life of the dead", len(list(data.glob("servers/*.alive"))), at_most=0)
    goal.time("from start to nothing stuck", slowest_s, at_most=5)


def changed(finished: dict[str, float], left: Left) -> int:
    """How many that had ended have another end now. Remembers those that have ended since."""
    now = {row.id: row.ended_at for row in left.rows if row.ended_at}
    again = sum(now.get(job_id) != ended_at for job_id, ended_at in finished.items())
    finished |= now
    return again


def stuck_after_start(server: Doomed, left: Left) -> int:
    """What a server that said it had started had still not taken up when it was killed."""
    name = next((line.split()[1] for line in server.said if line.startswith("started")), None)
    return left.stuck(name) if name else 0


def drained(client: Client, env: dict[str, str]) -> None:
    """The last server asks again for what was never answered, and works until all is done."""
    server = Doomed(env)
    client.ask(server, 1)
    server.tell("drain")
    server.wait_for("idle")
    server.end()
    client.hear(server)
    assert server.process.returncode == 0
    assert set(client.ids) == set(client.asked)


class Endings:
    """How the accepted clips have ended."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self.lost = self.given_up = self.twice = 0
        store = JobStore(settings.database_url)
        for job_id in client.ids.values():
            job, log = store.get(job_id), store.events(job_id)
            self.twice += sum(event.kind in TERMINAL_KINDS for event in log) > 1
            assert [event.n for event in log] == list(range(1, len(log) + 1))
            if job and job.state is State.SUCCEEDED and job.result:
                clip = settings.data_dir / "jobs" / job_id / job.result.clip
                said = f"{job_id} {job.fitted.seed}".encode() * 1000
                self.lost += not (clip.is_file() and clip.read_bytes() == said)
            elif job and job.error and (job.error["error"], job.attempts) == ("worker_lost", 2):
                self.given_up += 1
            else:
                self.lost += 1
        store.close()


def test_the_worker_ends_with_its_server(harness_env: dict[str, str]) -> None:
    server = Doomed(harness_env)
    server.wait_for("started")
    process = psutil.Process(server.process.pid)
    until(lambda: len(process.children()) == 1, 10)
    (worker,) = process.children()
    server.kill()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 10)


def test_the_process_that_serves_imports_no_torch() -> None:
    code = (
        "import sys, jobs.service, jobs.workers.process, jobs.workers.run\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'gradio'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
