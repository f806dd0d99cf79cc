"""The container files, as far as they can be checked without an engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from settings import ROOT, Settings

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COMMANDS = ("serve", "worker", "generate", "models", "verify")


def test_the_fleet_is_whole() -> None:
    wanted = {"api", "worker", "worker-gpu", "redis", "postgres", "prometheus", "grafana"}
    assert set(SERVICES) == wanted


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_refers_to_is_there(name: str) -> None:
    service = SERVICES[name]
    depends = service.get("depends_on", {})
    for other in depends:
        assert other in SERVICES
        if isinstance(depends, dict) and depends[other]["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]
    if "build" in service:
        assert service["command"][0] in COMMANDS
        assert (ROOT / service["build"]["context"] / "Dockerfile").is_file()


@pytest.mark.parametrize("name", ["api", "worker", "worker-gpu"])
def test_every_variable_that_is_given_is_a_setting(name: str) -> None:
    known = {setting for setting, _, _ in Settings.table()}
    assert set(SERVICES[name]["environment"]) <= known


def test_nothing_but_the_page_and_the_graphs_can_be_reached_and_only_from_here() -> None:
    open_to = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(open_to) == {"api", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in open_to.values() for port in ports)


def test_images_are_pinned() -> None:
    for service in SERVICES.values():
        image = service["image"]
        assert re.search(r":(\d|v\d|cpu|cuda)", image), image


def test_redis_keeps_what_it_holds_and_wants_a_password() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert "--requirepass" in command


def test_a_worker_gets_the_time_to_end_its_clip() -> None:
    from jobs.executors.redis_worker import GRACE_S

    for name in ("worker", "worker-gpu"):
        assert int(SERVICES[name]["stop_grace_period"].rstrip("s")) > GRACE_S + 5


def test_the_dockerfile_copies_what_is_there_and_runs_as_nobody_special() -> None:
    lines = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    for copy in (line for line in words if line[0] == "COPY"):
        for source in (word for word in copy[1:-1] if not word.startswith("--")):
            assert (ROOT / source).exists(), source
    assert [line[1] for line in words if line[0] == "USER"] == ["kinora"]
    assert not [line for line in words if line[0] == "ADD"]
    (cmd,) = (line for line in lines if line.startswith("CMD"))
    assert json.loads(cmd.removeprefix("CMD"))[0] in COMMANDS
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".env", ".git", "data"} <= set(ignored)


def test_the_dashboard_shows_figures_that_exist() -> None:
    board = json.loads((ROOT / "docker/grafana/dashboards/kinora.json").read_text())
    metrics = (ROOT / "api" / "metrics.py").read_text()
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    named = {name for each in expressions for name in re.findall(r"kinora_[a-z_]+", each)}
    assert len(named) > 10
    for name in named:
        assert f'"{re.sub("_(bucket|total)$", "", name)}"' in metrics, name


def test_prometheus_and_grafana_find_each_other() -> None:
    scrape = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())["scrape_configs"][0]
    assert scrape["dns_sd_configs"][0]["names"] == ["api"]
    source = yaml.safe_load(
        (ROOT / "docker/grafana/provisioning/datasources/prometheus.yml").read_text()
    )["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    board = json.loads((ROOT / "docker/grafana/dashboards/kinora.json").read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}


def test_compose_itself_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("no `docker compose` here")
    command = [docker, "compose", "--profile", "gpu", "config", "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True)
