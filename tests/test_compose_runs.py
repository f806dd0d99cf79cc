"""What compose.yaml starts, started as it says: commands, variables, health checks, ends.

Without Docker the services are processes of this machine; tests/compose_services.py says what
differs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from errors import ErrorCode, KinoraError
from jobs.job import State
from settings import ROOT
from tests.compose_services import Places, Service
from tests.jobs.services import PostgresServer

PASSWORDS = {
    "REDIS_PASSWORD": "redis-of-the-test",
    "POSTGRES_PASSWORD": "postgres-of-the-test",
}
DONE_S = 120.0
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}

pytestmark = pytest.mark.slow


class Fleet:
    def __init__(self, folder: Path, models_dir: Path, postgres_port: int) -> None:
        self.places = Places(folder)
        self.places.ports["postgres"] = postgres_port
        self.models = {"KINORA_MODELS_DIR": str(models_dir), "OMP_NUM_THREADS": "2"}
        self.redis, self.postgres, self.api, self.worker = map(
            self.service, ("redis", "postgres", "api", "worker")
        )

    def service(self, name: str, **more: str) -> Service:
        return Service(name, self.places, PASSWORDS | more, self.models)

    def start_redis(self) -> None:
        port = str(self.places.ports["redis"])
        self.redis.start("--port", port, "--bind", "127.0.0.1", "--dir", str(self.places.folder))
        self.redis.wait_until_healthy()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.places.ports['api']}"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, tiny_models_dir: Path) -> Iterator[Fleet]:
    database = PostgresServer()
    fleet = Fleet(tmp_path_factory.mktemp("composed"), tiny_models_dir, database.port)
    try:
        set_up(database, fleet.postgres.environment)
        assert not fleet.redis.healthy()
        fleet.start_redis()
        fleet.postgres.wait_until_healthy()
        for service in (fleet.api, fleet.worker):
            assert not service.healthy()
            service.start()
        for service in (fleet.api, fleet.worker):
            service.wait_until_healthy()
        yield fleet
    finally:
        for service in (fleet.worker, fleet.api, fleet.redis):
            service.kill()
        database.close()


def set_up(server: PostgresServer, told: dict[str, str]) -> None:
    """What the image's entry point makes of POSTGRES_USER, _PASSWORD and _DB."""
    user, password, name = (told[f"POSTGRES_{each}"] for each in ("USER", "PASSWORD", "DB"))
    address = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'".encode())
        connection.execute(f"CREATE DATABASE {name} OWNER {user}".encode())
        (rules,) = connection.execute("SHOW hba_file").fetchone() or ("",)
        Path(rules).write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        connection.execute("SELECT pg_reload_conf()")


def figures(fleet: Fleet) -> str:
    """What Prometheus would be told, asked as docker/prometheus.yml says."""
    (scrape,) = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())["scrape_configs"]
    (found,) = scrape["dns_sd_configs"]
    assert (found["names"], found["port"]) == (["api"], 7860)
    answer = httpx.get(fleet.url + scrape["metrics_path"], trust_env=False)
    assert answer.status_code == 200
    return answer.text


def expressions() -> list[str]:
    board = json.loads((ROOT / "docker/grafana/dashboards/kinora.json").read_text())
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    alerts = yaml.safe_load((ROOT / "docker/alerts.yml").read_text())
    return shown + [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]


def test_a_clip_is_made_and_kept_where_the_file_says(fleet: Fleet) -> None:
    with httpx.Client(base_url=fleet.url, trust_env=False, timeout=30) as program:
        ends = time.monotonic() + DONE_S
        while program.get("/ready").status_code != 200:
            assert time.monotonic() < ends, fleet.worker.said()
            time.sleep(0.3)
        job_id = program.post("/api/generate", json={"prompt": "a dog"}).json()["job_id"]
        while (state := program.get(f"/api/jobs/{job_id}").json()["state"]) != "succeeded":
            assert time.monotonic() < ends, (state, fleet.worker.said())
            time.sleep(0.2)
        clip = program.get(f"/api/result/{job_id}").content
        found = program.post("/api/verify", content=clip).json()["provenance"]
        assert found["state"] == "valid", "the server signs what a worker behind Redis has made"
        assert found["signed_by"]["kind"] == "this_installation"
    kept = fleet.places.folder / "data" / "shared" / "jobs" / job_id / "clip.mp4"
    assert kept.read_bytes() == clip


def test_a_wrong_password_is_not_healthy(fleet: Fleet) -> None:
    assert fleet.redis.healthy()
    assert not fleet.service("redis", REDIS_PASSWORD="another").healthy()  # noqa: S106


def test_graphs_and_alerts_speak_of_figures_that_the_server_gives(fleet: Fleet) -> None:
    given: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(figures(fleet)):
        for suffix in SUFFIXES.get(family.type, ("",)):
            given.setdefault(family.name + suffix, set())
        for sample in family.samples:
            given.setdefault(sample.name, set()).update(sample.labels)
    asked = expressions()
    assert len(asked) > 15
    for expression in asked:
        names = re.findall(r"\bkinora_\w+", expression)
        assert names or "up{" in expression
        for name in names:
            assert name in given, f"{name} of {expression}"
        by = re.findall(r"by \(([^)]*)\)", expression)
        labels = {each.strip() for group in by for each in group.split(",")}
        labels |= set(re.findall(r"[{,]\s*(\w+)\s*=", expression)) - {"job"}
        known = {"gpu"}.union(*(given[name] for name in names)) if names else labels
        assert labels <= known, expression


def test_alerts_speak_of_states_and_answers_that_exist(fleet: Fleet) -> None:
    states = set(re.findall(r'kinora_worker_state{state="(\w+)"}', figures(fleet)))
    statuses = {str(KinoraError(code).kind.http_status) for code in ErrorCode}
    known = {
        "kinora_worker_state": states,
        "kinora_jobs_ended_total": {state.value for state in State},
        "kinora_http_requests_total": statuses,
    }
    pattern = r'(kinora_\w+){(?:state|status)=~?"([^"]+)"}'
    asked = [found for each in expressions() for found in re.findall(pattern, each)]
    assert {name for name, _ in asked} == set(known)
    for name, values in asked:
        assert set(values.split("|")) <= known[name], (name, values)


def test_a_worker_that_is_gone_is_seen_by_its_health_check(fleet: Fleet) -> None:
    assert fleet.worker.healthy()
    assert fleet.worker.stop() == 0, fleet.worker.said()
    assert not fleet.worker.healthy()


def test_ctrl_c_ends_workers_that_still_load_and_such_that_wait(fleet: Fleet) -> None:
    fleet.worker.kill()  # the one before, should this test run alone
    fleet.worker.start("--gpu", "0,1", "--models", "pocket")
    fleet.worker.wait_until_healthy()  # one of the two; the other may not be there yet
    assert fleet.worker.stop(in_a_terminal=True) == 0
    assert "Traceback" not in fleet.worker.said()


def test_a_server_ends_in_its_time(fleet: Fleet) -> None:
    assert fleet.api.stop() == 0, fleet.api.said()
    assert not fleet.api.healthy()
