"""Share links: whose they are, what they hide, and what is left of them when they end."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event

from app import executor_for
from errors import ErrorCode, KinoraError
from jobs.job import Gone, State
from jobs.service import JobService
from jobs.share_rows import Share, ShareRows
from jobs.store import JobStore
from media.encode import encode
from media.metadata import read_comment
from media.strip_settings import copy_without_settings
from pipelines.models.cards import ModelCard
from settings import Settings
from tests.finished import add_finished_clip, frames_of
from tests.jobs.conftest import MakeJob, accept
from tests.media.provenance.test_signing_files import validated
from tests.media.reading import read

ME, OTHER = "visitor:me", "visitor:other"
SECRET_WORDS = "a secret dog nobody may read about"  # noqa: S105


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_models_dir: Path,
    tiny_cards: dict[str, ModelCard],
) -> Iterator[JobService]:
    """Its worker never starts."""
    here = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=tmp_path_factory.mktemp("shares") / "data",
        models_dir=tiny_models_dir,
        sign_prompt=True,
    )
    service = JobService(JobStore(here.database_url), executor_for(here), tiny_cards, here)
    yield service
    service.close()


def refusal(call: Any, *arguments: Any) -> KinoraError:
    with pytest.raises(KinoraError) as caught:
        call(*arguments)
    return caught.value


def expire(service: JobService, share: Share) -> None:
    service.shares._rows.change(share.model_copy(update={"expires_at": time.time() - 1}))


def test_the_rows_of_links_go_with_their_jobs(store: JobStore, make_job: MakeJob) -> None:
    rows, now = ShareRows(store.database), time.time()
    ended = {"state": State.CANCELLED, "ended_at": now}
    jobs = [accept(store, make_job().model_copy(update=ended)) for _ in range(3)]
    made = [
        Share(id=f"{n}" * 22, job_id=job.id, owner=ME, created_at=now + n, is_public=n > 0)
        for n, job in enumerate(jobs)
    ]
    for share in made:
        rows.put(share)
    assert rows.of_owner(ME, 2, None) == made[:0:-1]
    assert rows.of_owner(ME, 2, now + 1) == made[:1]
    assert rows.public(9, None, now) == made[:0:-1]
    expired = made[1].model_copy(update={"expires_at": now, "hide_prompt": True})
    assert rows.change(expired)
    assert (rows.find_valid(expired.id, now), rows.of_job(expired.job_id)) == (None, expired)
    assert rows.find_valid(expired.id, now - 1) == expired
    replaced = made[2].model_copy(update={"id": "z" * 22})
    rows.put(replaced)
    assert rows.find_valid(made[2].id, now) is None
    assert not rows.change(made[2])
    assert store.delete(replaced.job_id)
    assert rows.find_valid(replaced.id, now) is None
    assert rows.remove(made[0].id)
    assert not rows.remove(made[0].id)


def test_a_link_cannot_be_guessed_and_leads_to_the_clip(service: JobService) -> None:
    job = add_finished_clip(service, ME)
    share = service.shares.put(job.id, ME, {"title": "  My dog "})
    assert re.fullmatch(r"[\w-]{22}", share.id)
    found = service.shares.find(share.id)
    assert (found.job.id, found.share.title, found.prompt) == (job.id, "My dog", "a dog")
    assert service.shares.clip_path(found) == service.clip_path(job.id)
    again = service.shares.put(job.id, ME, {"hide_prompt": True})
    assert (again.id, again.title, again.created_at) == (share.id, "", share.created_at)
    assert service.shares.list(ME, 1) == [again]


def test_only_its_maker_shares_a_clip(service: JobService) -> None:
    job = add_finished_clip(service, ME)
    share = service.shares.put(job.id, ME, {})
    for call in (service.shares.of_job, service.shares.revoke):
        assert refusal(call, job.id, OTHER).code is ErrorCode.NOT_FOUND
    assert refusal(service.shares.put, job.id, OTHER, {}).code is ErrorCode.NOT_FOUND
    assert service.shares.list(OTHER, 10) == []
    assert service.shares.find(share.id).share == share


def test_an_ended_link_is_found_as_little_as_one_that_never_was(service: JobService) -> None:
    """The same answer, after the same statements."""
    revoked, expired, deleted, removed = (
        service.shares.put(add_finished_clip(service, ME).id, ME, {}) for _ in range(4)
    )
    service.shares.revoke(revoked.job_id, ME)
    service.shares.revoke(revoked.job_id, ME)
    expire(service, expired)
    service.delete(deleted.job_id, ME)
    assert service.shares.remove(removed.id)
    statements: list[str] = []
    event.listen(
        service._store.database.reading.engine,
        "before_cursor_execute",
        lambda *arguments: statements.append(arguments[2]),
    )
    answers = []
    for link in ("x" * 22, revoked.id, expired.id, deleted.id, removed.id):
        statements.clear()
        error = refusal(service.shares.find, link)
        answers.append((error.as_dict(), tuple(statements)))
    assert len(answers[0][1]) == 2  # BEGIN and one SELECT
    assert all(answer == answers[0] for answer in answers)


def test_a_clip_that_is_not_kept_any_more_is_not_shared(service: JobService) -> None:
    share = service.shares.put(add_finished_clip(service, ME).id, ME, {})
    service._store.mark_gone(share.job_id, Gone(why="age", at=1.0))
    assert refusal(service.shares.find, share.id).code is ErrorCode.NOT_FOUND
    assert refusal(service.shares.put, share.job_id, ME, {}).code is ErrorCode.GONE


def test_an_expired_link_stays_dead_when_its_clip_is_shared_again(service: JobService) -> None:
    old = service.shares.put(add_finished_clip(service, ME).id, ME, {})
    expire(service, old)
    new = service.shares.put(old.job_id, ME, {"expires_at": time.time() + 60})
    assert new.id != old.id
    assert refusal(service.shares.find, old.id).code is ErrorCode.NOT_FOUND
    assert service.shares.find(new.id).job.id == old.job_id


def test_wrong_options_are_refused(service: JobService) -> None:
    job = add_finished_clip(service, ME)
    wrong: list[Any] = [
        {"expires_at": 1.0},
        {"expires_at": time.time() + 11 * 366 * 86400},
        {"expires_at": float("nan")},
        {"title": "x" * 121},
        {"title": "a\r\nSet-Cookie: b"},
        {"public": True},
        {"owner": "visitor:other"},
        {"hide_prompt": "perhaps"},
        [],
    ]
    for options in wrong:
        error = refusal(service.shares.put, job.id, ME, options)
        assert error.code is ErrorCode.INVALID_INPUT, options
    assert service.shares.of_job(job.id, ME) is None


@pytest.mark.parametrize("form", ["mp4", "webm", "gif"])
def test_a_hidden_prompt_is_nowhere_in_the_file(service: JobService, form: str) -> None:
    job = add_finished_clip(service, ME, prompt=SECRET_WORDS, format=form)
    share = service.shares.put(job.id, ME, {"hide_prompt": True})
    found = service.shares.find(share.id)
    sent = service.shares.clip_path(found)
    assert SECRET_WORDS.encode() not in sent.read_bytes()
    assert b"num_inference_steps" not in sent.read_bytes()
    assert b"AI generated" in sent.read_bytes()
    whole = service.clip_path(job.id)
    assert np.array_equal(read(sent).frames, read(whole).frames)
    assert service.shares.clip_path(found) == sent
    if form != "gif":
        assert SECRET_WORDS.encode() in whole.read_bytes()
    service.delete(job.id, ME)
    assert not sent.exists()


@pytest.mark.parametrize("form", ["mp4", "gif"])
def test_the_copies_are_signed_without_the_prompt_and_the_model(
    service: JobService, form: str
) -> None:
    job = add_finished_clip(service, ME, prompt=SECRET_WORDS, format=form)
    assert job.result is not None
    service._signing.sign(job, job.result)
    poster = service.poster_path(job.id)
    assert SECRET_WORDS.encode() in poster.read_bytes(), "its credentials have the prompt"
    shared = service.shares.find(service.shares.put(job.id, ME, {"hide_prompt": True}).id)
    for copy in (service.shares.clip_path(shared), service.shares.poster_path(shared)):
        found = validated(copy)
        assert found["validation_state"] == "Valid"
        assert SECRET_WORDS.encode() not in copy.read_bytes()
        assert job.fitted.model not in json.dumps(found)
        assert b"AI generated" in copy.read_bytes()


def test_what_is_hidden_is_not_in_the_settings_either(service: JobService) -> None:
    job = add_finished_clip(service, ME, prompt=SECRET_WORDS, seed=7)
    share = service.shares.put(job.id, ME, {"hide_prompt": True})
    settings = service.shares.find(share.id).settings()
    assert settings["seed"] == 7
    assert not {"prompt", "negative_prompt", "image", "focus"} & set(settings)
    service.shares.put(job.id, ME, {"hide_settings": True})
    assert service.shares.find(share.id).settings() == {"prompt": SECRET_WORDS}
    service.shares.put(job.id, ME, {"hide_settings": True, "hide_prompt": True})
    assert service.shares.find(share.id).settings() == {}


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_the_copy_without_settings_has_the_same_size_and_pictures(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    clip = tmp_path / "clip.mp4"
    encode(frames_of(*size), clip, fps=8, comment='{"prompt": "a dog"}')
    copy = tmp_path / "copy.mp4"
    copy_without_settings(clip, copy, size)
    assert read_comment(clip)
    assert read_comment(copy) is None
    assert (read(copy).width, read(copy).height) == (read(clip).width, read(clip).height)
    assert copy.read_bytes().count(size[0].to_bytes(2, "big") + size[1].to_bytes(2, "big"))
    assert np.array_equal(read(copy).frames, read(clip).frames)


def test_the_public_gallery_holds_what_was_published_where_it_is_on(
    service: JobService, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(service.shares.public).code is ErrorCode.NOT_FOUND
    on = service.settings.model_copy(update={"public_gallery": True})
    monkeypatch.setattr(service.shares, "_settings", on)
    listed, kept = (
        service.shares.put(add_finished_clip(service, ME).id, ME, {"public": public})
        for public in (True, False)
    )
    assert [found.share.id for found in service.shares.public()] == [listed.id]
    assert service.shares.public(before=listed.created_at) == []
    service.shares.put(listed.job_id, ME, {"public": False})
    assert service.shares.public() == []
    assert service.shares.find(kept.id)
    service.shares.put(listed.job_id, ME, {"public": True})
    expire(service, service.shares.find(listed.id).share)
    assert service.shares.public() == []
