"""The audit log: every line arrives whole, in order, and without what it must not have."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.audit_log import FILE, MOST_LETTERS, OLD_S, AuditEvent, AuditLog
from settings import Settings


def audit_log(folder: Path, **more: Any) -> AuditLog:
    here = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder,
        **more,
    )
    return AuditLog(here, lambda owner: f"hash of {len(owner)}")


def lines(log: AuditLog) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (log.folder / FILE).read_bytes().splitlines()]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text(), st.text(max_size=5_000)), min_size=1, max_size=5))
def test_no_text_breaks_or_forges_a_line(texts: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = audit_log(Path(folder))
        for rule, owner, note in texts:
            log.record(AuditEvent("refused", rule, caller=owner, note=note, prompt=note))
        assert log.failures == 0
        found = lines(log)
        assert [each["rule"] for each in found] == [rule for rule, _, _ in texts]
        assert [each.get("note", "") for each in found] == [n[:MOST_LETTERS] for *_, n in texts]
        assert not any("prompt" in each for each in found)
        assert [each["rule"] for each in log.entries(100)] == [rule for rule, *_ in texts][::-1]


def test_callers_are_hashed_and_prompts_are_left_out_unless_wanted(tmp_path: Path) -> None:
    event = AuditEvent("refused", "prompt:violence", "visitor:secret-cookie", prompt="a bad word")
    quiet, wordy = audit_log(tmp_path / "a"), audit_log(tmp_path / "b", audit_prompts=True)
    quiet.record(event)
    wordy.record(event)
    text = (quiet.folder / FILE).read_text()
    assert "secret-cookie" not in text and "a bad word" not in text
    assert lines(quiet)[0]["caller"] == "hash of 21"
    assert lines(wordy)[0]["prompt"] == "a bad word"
    assert (quiet.folder / FILE).stat().st_mode & 0o777 == 0o600


def test_a_full_file_is_renamed_and_nothing_is_lost(tmp_path: Path) -> None:
    log = audit_log(tmp_path, audit_log_mb=0.001)
    for number in range(60):
        log.record(AuditEvent("removed", f"rule {number}"))
    renamed = log._renamed()
    assert len(renamed) > 2
    assert all(path.stat().st_size <= 1_000 for path in renamed)
    assert [each["rule"] for each in log.entries(60)] == [f"rule {n}" for n in range(59, -1, -1)]
    assert len(log.entries(7)) == 7


def test_old_files_are_removed_and_a_quiet_one_is_renamed_first(tmp_path: Path) -> None:
    log = audit_log(tmp_path, keep_audit_days=40)
    log.record(AuditEvent("removed", "old"))
    assert log.prune() == 0 and len(log._renamed()) == 0
    later = time.time() + OLD_S + 60
    assert log.prune(later) == 0
    assert len(log._renamed()) == 1, "its lines would be kept for as long as others are added"
    assert log.prune(time.time() + 41 * 86400) == 1
    assert log.entries(5) == []


def test_a_line_that_was_cut_off_spoils_only_itself(tmp_path: Path) -> None:
    log = audit_log(tmp_path)
    log.record(AuditEvent("removed", "first"))
    path = log.folder / FILE
    with path.open("ab") as file:
        file.write(b'{"at": "2026-11-3')
    log.record(AuditEvent("restored", "second"))
    assert [each["rule"] for each in log.entries(5)] == ["second", "first"]


def test_what_an_operator_does_is_on_the_disk_and_refusals_need_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), real(fd))[1])
    log = audit_log(tmp_path)
    log.record(AuditEvent("refused", "prompt:violence"))
    assert synced == []
    log.record(AuditEvent("removed", "operator"))
    assert len(synced) == 1


def test_a_log_that_cannot_be_written_fails_nothing_and_is_counted(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file in the place of the folder")
    log = audit_log(tmp_path)
    actions_seen: list[str] = []
    log.subscribe(actions_seen.append)
    log.record(AuditEvent("removed", "operator"))
    assert (log.failures, actions_seen) == (1, ["removed"])


def write_many(folder: Path, name: str) -> None:
    log = audit_log(folder, audit_log_mb=0.01)
    for number in range(100):
        log.record(AuditEvent("refused", f"{name} {number}"))


def test_processes_share_the_files(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=write_many, args=(tmp_path, name)) for name in ("a", "b")]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60)
    found = [each["rule"] for each in audit_log(tmp_path).entries(1_000)]
    assert len(found) == len(set(found)) == 200
    for name in ("a", "b"):
        own = [rule for rule in reversed(found) if rule.startswith(name)]
        assert own == [f"{name} {number}" for number in range(100)]
