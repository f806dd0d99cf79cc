"""The container files, as far as they can be checked without an engine.

tests/test_compose_runs.py starts what is written here.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from settings import ROOT, Settings
from tests.compose_services import composed, dockerfile, image_environment
from tests.programs import program

COMPOSE: dict[str, Any] = composed({})
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("api", "worker", "worker-gpu")
COMMANDS = ("serve", "worker", "generate", "models", "verify")
SECRET = re.compile(r"(?i)(password|secret|token|api_?key)")
TOP_KEYS = {"services", "volumes", "x-kinora"}
KEYS = {
    "image", "build", "restart", "env_file", "environment", "volumes", "security_opt", "cap_drop",
    "depends_on", "command", "ports", "stop_grace_period", "healthcheck", "profiles", "deploy",
}  # fmt: skip
"""Of compose-spec.json, those that are used here: one that is mistyped would be refused."""
CHECK_KEYS = {"test", "interval", "timeout", "retries", "start_period"}


def test_the_fleet_is_whole() -> None:
    assert set(SERVICES) == {*OURS, "redis", "postgres", "prometheus", "grafana"}


def test_nothing_is_mistyped() -> None:
    assert set(COMPOSE) <= TOP_KEYS
    for service in SERVICES.values():
        assert set(service) <= KEYS
        assert service["restart"] == "always"
        check = service["healthcheck"]
        assert set(check) <= CHECK_KEYS
        assert isinstance(check["retries"], int)
        assert check["test"][0] == "CMD", "a health check without a shell"
        assert all(isinstance(word, str) for word in [*check["test"], *service.get("command", [])])
        times = [check.get(key, "1s") for key in ("interval", "timeout", "start_period")]
        times.append(service.get("stop_grace_period", "1s"))
        assert all(re.fullmatch(r"\d+s", each) for each in times)


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_refers_to_is_there(name: str) -> None:
    service = SERVICES[name]
    depends = service.get("depends_on", {})
    for other in depends:
        assert other in SERVICES
        if isinstance(depends, dict):
            assert depends[other] == {"condition": "service_healthy"}
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]
    if "build" in service:
        assert service["command"][0] in COMMANDS
        assert (ROOT / service["build"]["context"] / "Dockerfile").is_file()
        assert (ROOT / f"docker/torch-{service['build']['args']['TORCH']}.lock").is_file()


@pytest.mark.parametrize("name", OURS)
def test_every_variable_that_is_given_is_a_setting(name: str) -> None:
    known = {setting for setting, _, _ in Settings.table()} | set(image_environment())
    assert set(SERVICES[name]["environment"]) <= known


@pytest.mark.parametrize("name", OURS)
def test_every_setting_of_the_readme_can_be_given_in_the_env_file(name: str) -> None:
    assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]
    for variable, value in image_environment().items():
        if variable.startswith(("KINORA_DATA", "GRADIO_SERVER")):
            assert SERVICES[name]["environment"][variable] == value, "not another machine's .env"


def test_nothing_but_the_page_and_the_graphs_can_be_reached_and_only_from_here() -> None:
    open_to = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(open_to) == {"api", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in open_to.values() for port in ports)


def test_what_we_run_has_no_rights_that_it_does_not_need() -> None:
    for name in OURS:
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_images_are_pinned() -> None:
    for service in SERVICES.values():
        image = service["image"]
        assert re.search(r":(\d|v\d|cpu|cuda)", image), image


def test_every_password_comes_from_the_environment() -> None:
    given = {"REDIS_PASSWORD": "one", "POSTGRES_PASSWORD": "two", "GRAFANA_PASSWORD": "three"}
    services = composed(given)["services"]
    assert services["redis"]["command"][-2:] == ["--requirepass", "one"]
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] == "two"  # noqa: S105
    assert services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "three"  # noqa: S105
    for name in OURS:
        told = services[name]["environment"]
        assert told["REDIS_URL"] == "redis://:one@redis:6379/0"
        assert told["DATABASE_URL"] == "postgresql://kinora:two@postgres:5432/kinora"
    text = yaml.safe_dump(services)
    assert ":-" not in text
    assert "${" not in text


def test_redis_keeps_what_it_holds_and_wants_a_password() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert "--requirepass" in command


def test_a_worker_gets_the_time_to_end_its_clip() -> None:
    from jobs.fleet.worker import GRACE_S

    for name in ("worker", "worker-gpu"):
        assert int(SERVICES[name]["stop_grace_period"].rstrip("s")) > GRACE_S + 5


def test_prometheus_and_grafana_find_each_other() -> None:
    prometheus = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())
    assert prometheus["scrape_configs"][0]["dns_sd_configs"][0]["names"] == ["api"]
    mounted = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]
    for file in prometheus["rule_files"]:
        assert f"/etc/prometheus/{file}" in mounted
    source = yaml.safe_load(
        (ROOT / "docker/grafana/provisioning/datasources/prometheus.yml").read_text()
    )["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    board = json.loads((ROOT / "docker/grafana/dashboards/kinora.json").read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    (folder,) = yaml.safe_load(
        (ROOT / "docker/grafana/provisioning/dashboards/kinora.yml").read_text()
    )["providers"]
    mounts = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert folder["options"]["path"] in mounts


def test_an_alert_says_what_it_is_about() -> None:
    (group,) = yaml.safe_load((ROOT / "docker/alerts.yml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(names) == len(set(names)) >= 5
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")
    page = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    assert [name for name in names if name not in page] == [], "what is to be done then?"


# -- the image -----------------------------------------------------------------------------------


def words_of(instruction: str) -> list[str]:
    return [rest for name, rest in dockerfile() if name == instruction]


def test_the_dockerfile_copies_what_is_there_and_no_secret_lies_there() -> None:
    for copy in words_of("COPY"):
        for source in (word for word in copy.split()[:-1] if not word.startswith("--")):
            assert (ROOT / source).exists(), source
    assert not words_of("ADD")
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".env", ".git", ".venv", "data"} <= set(ignored)
    for name in ("ENV", "ARG"):
        assert not [words for words in words_of(name) if SECRET.search(words)]


def test_the_image_stands_on_one_named_base() -> None:
    (base,) = words_of("FROM")
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base)


def test_nothing_runs_as_root() -> None:
    (user,) = words_of("USER")
    assert user == "1000:1000"
    order = [name for name, _ in dockerfile()]
    assert order.index("USER") > max(n for n, name in enumerate(order) if name == "RUN")
    (setup,) = (words for words in words_of("RUN") if "useradd" in words)
    assert "--uid 1000" in setup
    assert "--gid 1000" in setup


def test_a_layer_leaves_no_package_lists_behind() -> None:
    for words in words_of("RUN"):
        if "apt-get" in words:
            assert "--no-install-recommends" in words
            assert "rm -rf /var/lib/apt/lists/*" in words
            assert "apt-get upgrade" not in words
        assert "sudo" not in words.split()
    assert image_environment()["PIP_NO_CACHE_DIR"] == "1"


def test_commands_need_no_shell_and_signals_arrive() -> None:
    (entry,) = map(json.loads, words_of("ENTRYPOINT"))
    assert entry == ["tini", "--", "python", "app.py"]
    (command,) = map(json.loads, words_of("CMD"))
    assert command[0] in COMMANDS
    (check,) = words_of("HEALTHCHECK")
    program = json.loads(check.partition("CMD ")[2])
    assert program[:2] == ["python", "-m"]
    assert (ROOT / f"{program[2].replace('.', '/')}.py").is_file()
    assert "tools" not in (ROOT / ".dockerignore").read_text().split()


# -- linters -------------------------------------------------------------------------------------


def test_compose_itself_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("no Docker Compose 2.24 here: neither Debian 12 nor PyPI has it")
    command = [docker, "compose", "--profile", "gpu", "config", "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True)


@pytest.mark.parametrize(
    "command",
    [
        ["hadolint", "Dockerfile"],
        ["promtool", "check", "config", "docker/prometheus.yml"],
        ["promtool", "test", "rules", "tests/alerts.yml"],
        ["shellcheck", "demo.sh"],
    ],
    ids=" ".join,
)
def test_a_linter_finds_nothing(command: list[str]) -> None:
    subprocess.run([program(command[0]), *command[1:]], cwd=ROOT, check=True)
