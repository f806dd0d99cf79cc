"""`reports` and `takedown` beside a server that has the same data folder."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from app import build_service
from errors import ErrorCode, KinoraError
from settings import Settings
from tests.finished import add_finished_clip
from tests.forks import Forks

Run = Callable[..., subprocess.CompletedProcess[str]]
ME = "visitor:me"


@pytest.fixture
def run(tiny_env: dict[str, str], forks: Forks) -> Run:
    return lambda *arguments: forks.run_text(list(arguments), tiny_env)


def test_an_operator_lists_reports_removes_and_restores(run: Run, tiny_settings: Settings) -> None:
    service = build_service(tiny_settings)
    try:
        job = add_finished_clip(service, ME)
        link = service.shares.put(job.id, ME, {}).id
        assert run("reports", "--json").stdout.strip() == "[]"
        service.moderation.report(link, "person", "that is\nme", "anyone:x")
        listed = run("reports")
        assert listed.returncode == 0, listed.stderr
        assert job.id in listed.stdout and "person: that is me" in listed.stdout
        (row,) = json.loads(run("reports", "--json").stdout)
        assert (row["job_id"], row["count"], row["reports"][0]["reason"]) == (job.id, 1, "person")
        done = run("takedown", f"https://example.org/c/{link}", "--block", "--note", "unlawful")
        assert (done.returncode, done.stdout.strip()) == (0, job.id), done.stderr
        with pytest.raises(KinoraError) as caught:
            service.clip_path(job.id)
        assert caught.value.code is ErrorCode.GONE
        assert service.moderation.case(job.id).is_blocked
        assert service.moderation.log(1)[0] | {"at": ""} == {
            "at": "", "action": "removed", "rule": "command", "note": "unlawful", "job": job.id,
            "caller": service.moderation.hash_caller(ME),
        }  # fmt: skip
        assert run("reports", "--json").stdout.strip() == "[]"
        assert run("takedown", link, "--restore").returncode == 0
        assert service.clip_path(job.id).is_file()
        for wrong in ("x" * 22, "nothing"):
            refused = run("takedown", wrong)
            assert (refused.returncode, refused.stdout) == (2, "")
            assert "There is no such clip here." in refused.stderr
    finally:
        service.close()
