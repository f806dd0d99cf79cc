"""Reports, removed clips and blocks: what an operator does holds everywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import executor_for
from errors import ErrorCode, KinoraError
from jobs.moderation import MOST_OPEN, REASONS
from jobs.moderation_rows import BlockedCaller, BlockedFile, ClipReport, ModerationRows, Takedown
from jobs.retention import make_room
from jobs.service import JobService
from jobs.store import JobStore
from media.encode import encode
from media.stills import write_last_frame
from pipelines.models.cards import ModelCard
from pipelines.request import GenerationRequest
from settings import Settings
from tests.finished import add_finished_clip
from tests.media.test_perceptual_hash import scene

ME, OTHER, REPORTER = "visitor:me", "visitor:other", "anyone:reporter"


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_models_dir: Path,
    tiny_cards: dict[str, ModelCard],
) -> Iterator[JobService]:
    """Its worker never starts."""
    here = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=tmp_path_factory.mktemp("moderation") / "data",
        models_dir=tiny_models_dir,
        max_disk_gb=100,
    )
    service = JobService(JobStore(here.database_url), executor_for(here), tiny_cards, here)
    yield service
    service.close()


def refusal(call: Any, *arguments: Any) -> KinoraError:
    with pytest.raises(KinoraError) as caught:
        call(*arguments)
    return caught.value


def shared(service: JobService, owner: str = ME, **request: Any) -> tuple[str, str]:
    """(job, link) of a new clip."""
    job = add_finished_clip(service, owner, **request)
    return job.id, service.shares.put(job.id, owner, {}).id


def actions(service: JobService) -> list[str]:
    return [entry["action"] for entry in service.moderation.log(1_000)]


# -- the rows: on PostgreSQL too -------------------------------------------------------------------


def report(job_id: str, at: float, reporter: str = "r") -> ClipReport:
    return ClipReport(
        id=f"{job_id}{at}{reporter}", job_id=job_id, share_id="s", reason="other", note="",
        reporter=reporter, created_at=at,
    )  # fmt: skip


def test_reports_wait_in_turn_and_one_reporter_has_one_of_a_clip(store: JobStore) -> None:
    rows = ModerationRows(store.database)
    for job_id, at, reporter in (("b", 2.0, "x"), ("a", 3.0, "x"), ("b", 4.0, "y")):
        assert rows.add_report(report(job_id, at, reporter), 2)
    assert not rows.add_report(report("b", 5.0, "z"), 2), "the clip has two open reports"
    assert rows.add_report(report("b", 6.0, "y"), 2), "it takes the place of that reporter's"
    found = rows.queue(9, None)
    assert [(each.job_id, each.count, each.first_at) for each in found] == [
        ("b", 2, 2.0), ("a", 1, 3.0),
    ]  # fmt: skip
    assert [each.job_id for each in rows.queue(1, 2.0)] == ["a"]
    assert [each.created_at for each in rows.reports_of("b", 9)] == [6.0, 2.0]
    assert (rows.close_reports("b", "dismissed", 7.0), rows.count_open()) == (2, 1)
    assert rows.reports_of("b", 1)[0].outcome == "dismissed"
    assert (rows.remove_reports(7.0), rows.remove_reports(7.1)) == (0, 2)
    assert [each.job_id for each in rows.queue(9, None)] == ["a"]


def test_removed_clips_and_blocks_are_stored(store: JobStore) -> None:
    rows = ModerationRows(store.database)
    assert rows.caller_key() == rows.caller_key() and len(rows.caller_key()) == 32
    for job_id, at in (("a", 1.0), ("b", 2.0)):
        rows.put_takedown(Takedown(job_id=job_id, at=at, note="n"))
    rows.put_takedown(Takedown(job_id="a", at=1.0, has_files=False))
    assert rows.takedown("a") == Takedown(job_id="a", at=1.0, has_files=False)
    assert [each.job_id for each in rows.takedowns(9)] == ["b", "a"]
    assert [each.job_id for each in rows.takedowns(9, with_files_before=3.0)] == ["b"]
    assert rows.remove_takedown("b") and not rows.remove_takedown("b")
    files = [BlockedFile(id=n, job_id="a", at=1.0, sha256=n, hashes="") for n in "12"]
    before = rows.blocked_version()
    rows.put_blocked_files("a", files)
    assert rows.blocked_version() != before
    assert {each.sha256 for each in rows.blocked_files()} == {"1", "2"}
    assert rows.unblock_files("a") and not rows.unblock_files("a")
    for until in (5.0, 9.0):
        rows.put_blocked_caller(BlockedCaller(caller="c", at=1.0, until=until))
    assert rows.blocked_until(["c", "d"], 8.0) == 9.0
    assert rows.blocked_until(["c"], 9.0) is rows.blocked_until([], 1.0) is None
    assert rows.remove_expired_blocks(9.0) == 1 and rows.blocked_callers(0.0) == []


# -- reports ---------------------------------------------------------------------------------------


def test_a_report_is_in_the_queue_until_it_is_dismissed(service: JobService) -> None:
    moderation = service.moderation
    job_id, link = shared(service)
    moderation.report(link, "person", "that is me\x00\ud800\u202e", REPORTER)
    assert [each.job_id for each in moderation.queue()] == [job_id]
    case = moderation.case(job_id)
    assert case.job and case.share and case.share.id == link
    assert [(each.reason, each.note) for each in case.reports] == [("person", "that is me")]
    assert case.reports[0].reporter == moderation.hash_caller(REPORTER) != REPORTER
    assert moderation.dismiss(job_id, "operator") == 1
    assert moderation.dismiss(job_id, "operator") == 0
    assert moderation.queue() == []
    assert service.shares.find(link).job.id == job_id
    assert actions(service)[:2] == ["dismissed", "reported"]


def test_a_report_needs_a_link_that_works_and_a_reason(service: JobService) -> None:
    job_id, link = shared(service)
    report = service.moderation.report
    assert refusal(report, "x" * 22, "other", "", REPORTER).code is ErrorCode.NOT_FOUND
    assert refusal(report, link, "boring", "", REPORTER).details["field"] == "reason"
    assert refusal(report, link, "other", "a" * 2_001, REPORTER).details["field"] == "note"
    service.shares.revoke(job_id, ME)
    assert refusal(report, link, "other", "", REPORTER).code is ErrorCode.NOT_FOUND


def test_a_thousand_reports_of_one_clip_fill_no_database(service: JobService) -> None:
    job_id, link = shared(service)
    for number in range(MOST_OPEN + 5):
        service.moderation.report(link, next(iter(REASONS)), "", f"anyone:{number}")
    assert service.moderation.case(job_id).reports.__len__() == MOST_OPEN
    service.moderation.dismiss(job_id, "operator")


def test_a_report_stays_when_the_maker_deletes_the_clip(service: JobService) -> None:
    job_id, link = shared(service)
    service.moderation.report(link, "illegal", "", REPORTER)
    service.delete(job_id, ME)
    case = service.moderation.case(job_id)
    assert case.job is None and len(case.reports) == 1
    assert refusal(service.moderation.remove, job_id, "operator").code is ErrorCode.NOT_FOUND
    service.moderation.dismiss(job_id, "operator")


# -- removing and restoring ------------------------------------------------------------------------


def test_a_removed_clip_is_gone_for_everybody_and_comes_back_whole(service: JobService) -> None:
    moderation = service.moderation
    job_id, link = shared(service)
    folder = service.settings.data_dir / "jobs" / job_id
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    moderation.report(link, "illegal", "", REPORTER)
    moderation.remove(job_id, "operator", "a note")
    moderation.remove(job_id, "operator", "again")
    assert refusal(service.shares.find, link).code is ErrorCode.NOT_FOUND
    for find in (service.clip_path, service.poster_path, service.last_frame_path):
        assert refusal(find, job_id, ME).code is ErrorCode.GONE
    assert refusal(service.shares.put, job_id, ME, {}).code is ErrorCode.GONE
    assert not folder.exists()
    assert moderation.file_path(job_id, "clip").read_bytes() == before["clip.mp4"]
    assert moderation.queue() == [] and moderation.case(job_id).reports[0].outcome == "removed"
    make_room(service._lifecycle, service.settings)
    assert moderation.find(f"https://example.org/c/{link}?x=1") == job_id
    moderation.restore(job_id, "operator")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert service.shares.find(link).job.id == job_id
    assert service.clip_path(job_id, ME).is_file()
    assert refusal(moderation.restore, job_id, "operator").code is ErrorCode.CONFLICT
    assert actions(service)[:3] == ["restored", "removed", "reported"]
    assert service.moderation.log(2)[1]["note"] == "a note"


def test_the_files_of_a_removed_clip_are_deleted_when_their_time_is_over(
    service: JobService,
) -> None:
    moderation, day = service.moderation, 86400
    job_id, link = shared(service)
    moderation.report(link, "other", "", REPORTER)
    moderation.remove(job_id, "command")
    clip = moderation.file_path(job_id, "clip")
    moderation.tidy(time.time() + 29 * day)
    assert clip.is_file()
    moderation.tidy(time.time() + 31 * day)
    assert not clip.exists() and actions(service)[0] == "purged"
    assert refusal(moderation.restore, job_id, "operator").code is ErrorCode.GONE
    assert moderation.case(job_id).takedown and moderation.case(job_id).reports
    moderation.tidy(time.time() + 181 * day)
    assert moderation.case(job_id).reports == []


# -- blocking --------------------------------------------------------------------------------------


def test_a_blocked_file_and_its_near_copies_are_neither_uploaded_nor_shared(
    service: JobService, tmp_path: Path
) -> None:
    moderation = service.moderation
    job_id, _ = shared(service)
    paint(service, job_id)
    clip, frame = service.clip_path(job_id), service.last_frame_path(job_id)
    small = tmp_path / "small.png"
    Image.open(frame).resize((48, 48)).save(small)
    other = add_finished_clip(service, OTHER)
    paint(service, other.id, light=0.8)
    moderation.remove(job_id, "operator")
    moderation.block_file(job_id, "operator")
    kept = moderation.file_path(job_id, "clip")
    for store, file in (
        (service.store_video, kept),
        (service.store_picture, kept.with_name("last.png").read_bytes()),
        (service.store_picture, small.read_bytes()),
    ):
        error = refusal(store, file, OTHER)
        assert error.code is ErrorCode.CONTENT_POLICY, file
        assert "matches one that was removed" in error.message
    assert refusal(service.shares.put, other.id, OTHER, {}).code is ErrorCode.CONTENT_POLICY
    assert actions(service)[0] == "refused"
    plain = tmp_path / "plain.png"
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 50).save(plain)
    assert service.store_picture(plain.read_bytes(), OTHER).id
    assert moderation.unblock_file(job_id, "operator")
    assert service.shares.put(other.id, OTHER, {}).job_id == other.id
    assert not clip.exists()


def paint(service: JobService, job_id: str, light: float = 1.0) -> None:
    """Other frames for a finished clip: those of a real picture, not of a ramp."""
    folder = service.settings.data_dir / "jobs" / job_id
    frames = (scene(4, 5, 96, 64) * light).astype(np.uint8)
    encode(frames, folder / "clip.mp4", fps=8)
    write_last_frame(frames, folder / "last.png")


def test_a_blocked_caller_makes_shares_and_reports_nothing_for_a_time(service: JobService) -> None:
    moderation, owner = service.moderation, "visitor:blocked"
    job_id = add_finished_clip(service, owner).id
    shown, _ = shared(service, owner)
    _, link = shared(service, OTHER)
    maker = moderation.case(job_id).maker
    assert maker
    moderation.block_caller(maker, 2, "operator")
    request = GenerationRequest.model_validate({"prompt": "a dog"})
    for call, *arguments in (
        (service.submit, request, owner),
        (service.shares.put, job_id, owner, {}),
        (moderation.report, link, "other", "", owner),
    ):
        assert refusal(call, *arguments).code is ErrorCode.CONTENT_POLICY
    assert service.submit(request, OTHER).owner == OTHER
    assert service.shares.put(shown, owner, {"hide_prompt": True}).hide_prompt
    service.shares.revoke(shown, owner)
    assert [each.caller for each in moderation.blocked_callers()] == [maker]
    assert moderation.unblock_caller(maker, "operator")
    assert service.submit(request, owner).owner == owner
    for days in (0, -1, float("nan"), 1e9):
        assert refusal(moderation.block_caller, maker, days, "o").code is ErrorCode.INVALID_INPUT
    assert refusal(moderation.block_caller, "x", 1, "o").code is ErrorCode.INVALID_INPUT
