"""Health, readiness, metrics: what whoever runs Kinora looks at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import ApiServer, make, running
from web.metrics import Drift, GpuMemory


def figures(client: httpx.Client) -> dict[str, float]:
    """Every sample, by its name and labels as they are written."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_health_has_cogs_words_and_names_no_clip(anyone: httpx.Client, me: httpx.Client) -> None:
    make(me)
    assert anyone.get("/health").json()["status"] == "READY"
    assert anyone.get("/ready").json() == {"ready": True, "status": "READY"}
    job_id = running(me)
    busy = anyone.get("/health")
    assert (busy.json()["status"], busy.json()["running"]) == ("BUSY", 1)
    assert job_id not in busy.text
    assert anyone.get("/ready").status_code == 200
    me.post(f"/api/jobs/{job_id}/cancel")
    assert anyone.get("/test").json()["status"] == "ok"


def test_metrics_count_what_happened(me: httpx.Client) -> None:
    make(me)
    before = figures(me)
    made = make(me, seed=404, num_inference_steps=3)
    make(me, seed=404, num_inference_steps=3)
    me.get(f"/api/result/{made['job_id']}")
    me.get("/api/jobs/" + "0" * 32)
    after = figures(me)

    def grew(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grew("kinora_jobs_created_total{model=pocket}") == 2
    assert grew("kinora_jobs_ended_total{model=pocket,state=succeeded}") == 2
    assert grew("kinora_cache_hits_total{}") == 1
    assert grew("kinora_clips_signed_total{signed=yes}") == 1
    assert grew("kinora_queue_wait_seconds_count{}") == 1
    assert grew("kinora_step_seconds_count{model=pocket}") == 2, "between three steps"
    assert grew("kinora_phase_seconds_count{model=pocket,phase=decode}") == 1
    assert grew("kinora_jobs{model=pocket,state=succeeded}") == 2
    assert grew("kinora_http_requests_total{method=GET,route=/api/result/{job_id},status=200}") == 1
    assert grew("kinora_http_requests_total{method=GET,route=/api/jobs/{job_id},status=404}") == 1
    assert after["kinora_worker_state{state=ready}"] == 1
    assert after["kinora_queue_depth{}"] == 0
    assert after["kinora_worker_restarts_total{}"] == 0
    assert after["kinora_resident_memory_bytes{process=worker}"] > 50e6


PROMISED = {
    "kinora_jobs": ("gauge", {"state", "model"}),
    "kinora_jobs_created": ("counter", {"model"}),
    "kinora_jobs_ended": ("counter", {"model", "state"}),
    "kinora_clips_signed": ("counter", {"signed"}),
    "kinora_policy_refusals": ("counter", {"stage", "category"}),
    "kinora_jobs_requeued": ("counter", set()),
    "kinora_moderation_events": ("counter", {"action"}),
    "kinora_reports_open": ("gauge", set()),
    "kinora_audit_failures": ("counter", set()),
    "kinora_queue_depth": ("gauge", set()),
    "kinora_queue_oldest_seconds": ("gauge", set()),
    "kinora_queue_wait_seconds": ("histogram", set()),
    "kinora_running": ("gauge", set()),
    "kinora_step_seconds": ("histogram", {"model"}),
    "kinora_phase_seconds": ("histogram", {"model", "phase"}),
    "kinora_cache_hits": ("counter", set()),
    "kinora_gpu_memory_used_bytes": ("gauge", {"gpu"}),
    "kinora_gpu_memory_total_bytes": ("gauge", {"gpu"}),
    "kinora_workers": ("gauge", set()),
    "kinora_worker_state": ("gauge", {"state"}),
    "kinora_worker_restarts": ("counter", set()),
    "kinora_resident_memory_bytes": ("gauge", {"process"}),
    "kinora_resident_memory_drift_bytes": ("gauge", {"process"}),
    "kinora_http_requests": ("counter", {"method", "route", "status"}),
    "kinora_http_request_duration_seconds": ("histogram", {"method", "route"}),
}
"""By the family's name; a counter's samples end in `_total`."""
OF_THE_PARSER = {"le"}


def test_every_figure_is_there_by_its_name_with_its_kind_and_labels(me: httpx.Client) -> None:
    make(me)
    found = {f.name: f for f in text_string_to_metric_families(me.get("/metrics").text)}
    told = {name for name in found if not name.endswith("_created") or name in PROMISED}
    assert told == set(PROMISED)
    for name, (kind, labels) in PROMISED.items():
        assert found[name].type == kind, name
        assert found[name].documentation.endswith("."), name
        for sample in found[name].samples:
            assert set(sample.labels) - OF_THE_PARSER == labels, sample
    seconds = found["kinora_phase_seconds"].samples
    assert {"denoise", "decode"} <= {sample.labels["phase"] for sample in seconds}
    assert figures(me)["kinora_workers{}"] == 1


def test_memory_that_grows_with_every_clip_is_seen() -> None:
    """A process of ours that really grows, by a megabyte at a time."""
    grows = (
        "import sys; kept = []\nfor _ in sys.stdin: kept.append(b'x' * 2**20); print(flush=True)"
    )
    command = [sys.executable, "-c", grows]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        drift = Drift()
        for job in range(12):
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
            drift.after_a_job(process.pid)
            assert job >= 4 or drift.per_job() == 0, "nothing is said of a handful"
        assert drift.per_job() == pytest.approx(2**20, rel=0.2)
        drift.after_a_job(os.getpid())
        assert drift.per_job() == 0, "another process begins anew"
        process.stdin.close()


def test_names_follow_prometheus_and_labels_are_never_a_callers_words(me: httpx.Client) -> None:
    me.get("/api/evil-label")
    me.request("BREW", "/api/jobs")
    text = me.get("/metrics").text
    assert "evil-label" not in text
    assert "BREW" not in text
    for name in re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE):
        assert re.fullmatch(r"kinora_[a-z_]+", name), name
    for line in text.splitlines():
        if line.startswith("# TYPE") and line.endswith("counter"):
            assert line.split()[2].endswith("_total"), line


def test_the_memory_of_gpus_is_what_nvidia_smi_says(tmp_path: Path) -> None:
    """A script stands in for the hardware."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, 1024, 81559'\necho '1, [N/A], 81559'\n")
    program.chmod(0o755)
    assert GpuMemory(str(program)).look() == {"0": (1024 * 2**20, 81559 * 2**20)}
    program.write_text("#!/bin/sh\nexit 9\n")
    assert GpuMemory(str(program)).look() == {}
    assert GpuMemory("/nowhere").look() == {}


def test_not_ready_while_the_model_loads(server: ApiServer) -> None:
    """A second server is looked at before its worker can be up."""
    (server.log.parent / "second").mkdir()
    starting = ApiServer(server.log.parent / "second" / "data", server.models)
    try:
        with httpx.Client(base_url=starting.url, trust_env=False, timeout=20) as client:
            health = client.get("/health")
            ready = client.get("/ready")
            assert health.status_code == 200
            assert health.json()["status"] in ("STARTING", "READY")
            if health.json()["status"] == "STARTING" and ready.status_code != 200:
                assert ready.status_code == 503
                assert ready.headers["retry-after"]
                assert ready.json()["details"]["status"] == "STARTING"
    finally:
        starting.stop()
