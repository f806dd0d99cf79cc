"""The gallery: pages, search, filters, stars, titles, collections, deletion with undo.
`test_postgresql` runs this as well."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from errors import ErrorCode, KinoraError
from jobs import gallery as gallery_module
from jobs import gallery_sql
from jobs.event_types import Succeeded
from jobs.gallery import MAX_IDS, Gallery
from jobs.gallery_query import ClipStatus, GalleryQuery, Sort
from jobs.job import Gone, Job, Result, State
from jobs.store import JobStore
from pipelines.request import GenerationRequest, Task
from tests.jobs.conftest import MakeJob, accept

ME, OTHER = "visitor:me", "visitor:other"
RESULT = Result(
    clip="clip.mp4", poster="poster.jpg", last_frame="last.png", width=64, height=64, num_frames=16,
    fps=8, size_bytes=1000,
)  # fmt: skip


def finish(store: JobStore, job: Job, **changed: Any) -> Job:
    """The clip of an accepted job is there."""
    accept(store, job)
    return finish_accepted(store, job, **changed)


def finish_accepted(store: JobStore, job: Job, **changed: Any) -> Job:
    assert store.claim([job.id])
    result = RESULT.model_copy(update=changed)
    done = store.move(job.id, State.RUNNING, State.SUCCEEDED, Succeeded({}, False), result=result)
    assert done
    return done


def found(gallery: Gallery, owner: str = ME, **query: Any) -> list[str]:
    return [clip.job.id for clip in gallery.page(owner, GalleryQuery(**query)).clips]


def code_of(error: pytest.ExceptionInfo[KinoraError]) -> ErrorCode:
    return error.value.code


# -- search and filters ----------------------------------------------------------------------------


def test_a_search_finds_prompts_titles_and_settings_as_typed(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    dog = accept(store, make_job(owner=ME, prompt="A Dog in the SNOW, 100% ﬁne", seed=77))
    cat = accept(store, make_job(owner=ME, prompt="Straße_mit Katze", seed=7))
    gallery.rename(ME, cat.id, "Best of  May")

    def hits(words: str) -> set[str]:
        return set(found(gallery, search=words))

    assert hits("dog") == hits("snow dog") == hits("DOG sn") == hits("100%") == {dog.id}
    assert hits("fine") == {dog.id}, "a ligature is the letters it stands for"
    assert hits("strasse") == hits("STRASSE_MIT") == hits("may best") == {cat.id}
    assert hits('"in the snow"') == {dog.id}
    assert hits('"the in snow"') == hits("strasse%mit") == hits("d_g") == set()
    assert hits("seed:7") == {cat.id}
    assert hits("seed:77") == hits('"seed 77"') == {dog.id}
    assert hits("dog cat") == set()
    assert hits(f"size:{dog.fitted.width}x{dog.fitted.height}") == {dog.id, cat.id}
    assert hits("") == hits("   ") == hits('""') == {dog.id, cat.id}
    gallery.rename(ME, cat.id, None)
    assert hits("may") == set()
    assert hits("katze") == {cat.id}


@given(
    words=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_may_be_searched_and_nothing_else_happens(gallery: Gallery, words: str) -> None:
    gallery.page("nobody", GalleryQuery(search=words))


def test_nul_in_a_search_is_refused(gallery: Gallery) -> None:
    for words in ("\0", "\ud800", "x" * 300):
        with pytest.raises(KinoraError) as refused:
            gallery.page(ME, GalleryQuery(search=words))
        assert code_of(refused) is ErrorCode.INVALID_INPUT


def test_filters_narrow_and_combine(store: JobStore, gallery: Gallery, make_job: MakeJob) -> None:
    waiting = accept(store, make_job(owner=ME, prompt="waits"))
    failed = accept(
        store, make_job(owner=ME).model_copy(update={"state": State.FAILED, "ended_at": 1.0})
    )
    other_model = make_job(owner=ME)
    fitted = other_model.fitted.model_copy(
        update={"model": "another", "task": Task.IMAGE_TO_VIDEO, "width": 96}
    )
    other_model = accept(store, other_model.model_copy(update={"fitted": fitted}))
    ready = finish(store, make_job(owner=ME, prompt="ready").model_copy(update={"created_at": 5.0}))
    gallery.star(ME, [ready.id, failed.id], True)

    assert found(gallery, status=ClipStatus.RUNNING) == [other_model.id, waiting.id]
    assert found(gallery, status=ClipStatus.FAILED) == [failed.id]
    assert found(gallery, status=ClipStatus.READY) == [ready.id]
    assert found(gallery, model="another") == found(gallery, task=Task.IMAGE_TO_VIDEO)
    assert found(gallery, model="another") == [other_model.id]
    assert found(gallery, size=(96, 64)) == [other_model.id]
    assert found(gallery, starred=True) == [failed.id, ready.id]
    assert found(gallery, starred=True, status=ClipStatus.READY) == [ready.id]
    assert found(gallery, until=6.0) == [ready.id]
    assert len(found(gallery, since=6.0)) == 3
    assert gallery.page(ME, GalleryQuery(starred=True)).total == 2
    assert set(gallery.ids(ME, GalleryQuery(starred=True))) == {failed.id, ready.id}
    facets = gallery.facets(ME)
    assert facets.models == {"pocket": 3, "another": 1}
    assert facets.tasks == {"t2v": 3, "i2v": 1}
    assert facets.sizes[(96, 64)] == 1


# -- stars, titles, collections --------------------------------------------------------------------


def test_stars_and_titles_are_ones_own(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    job = accept(store, make_job(owner=ME))
    assert gallery.star(OTHER, [job.id], True) == 0
    assert not gallery.clip(ME, job.id).starred
    assert gallery.star(ME, [job.id, job.id, "?"], True) == 1
    assert gallery.clip(ME, job.id).starred
    assert gallery.rename(ME, job.id, " Two \n words ").title == "Two words"
    with pytest.raises(KinoraError) as refused:
        gallery.rename(OTHER, job.id, "theirs")
    assert code_of(refused) is ErrorCode.NOT_FOUND
    for title in ("x" * 121, "a\0b", "\ud800"):
        with pytest.raises(KinoraError) as refused:
            gallery.rename(ME, job.id, title)
        assert code_of(refused) is ErrorCode.INVALID_INPUT
    assert gallery.clip(ME, job.id).title == "Two words"
    assert gallery.rename(ME, job.id, "  ").title is None
    with pytest.raises(KinoraError):
        gallery.star(ME, ["a"] * (MAX_IDS + 1), True)


def test_a_clip_is_in_many_collections_and_leaves_them_with_its_deletion(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    one, two, other = (accept(store, make_job(owner=who)) for who in (ME, ME, OTHER))
    dogs, best = (gallery.collections.add(ME, name) for name in (" The   dogs", "best"))
    assert gallery.collections.put(ME, dogs.id, [one.id, two.id, one.id, other.id, "?"]) == 2
    assert gallery.collections.put(ME, dogs.id, [one.id]) == 0
    assert gallery.collections.put(ME, best.id, [one.id]) == 1
    assert [(c.name, c.clips) for c in gallery.collections.list(ME)] == [
        ("best", 1), ("The dogs", 2),
    ]  # fmt: skip
    assert gallery.collections.list(OTHER) == []
    assert set(gallery.clip(ME, one.id).collections) == {dogs.id, best.id}
    assert found(gallery, collection=best.id) == [one.id]
    assert found(gallery, OTHER, collection=best.id) == []
    assert gallery.collections.take(ME, dogs.id, [two.id, other.id]) == 1

    gallery.collections.rename(ME, dogs.id, "dogs")
    for attempt in (
        lambda: gallery.collections.add(ME, "dogs"),
        lambda: gallery.collections.rename(ME, dogs.id, "best"),
    ):
        with pytest.raises(KinoraError) as refused:
            attempt()
        assert code_of(refused) is ErrorCode.CONFLICT
    for attempt in (
        lambda: gallery.collections.put(OTHER, dogs.id, [other.id]),
        lambda: gallery.collections.take(OTHER, dogs.id, [one.id]),
        lambda: gallery.collections.rename(OTHER, dogs.id, "mine"),
        lambda: gallery.collections.delete(OTHER, dogs.id),
    ):
        with pytest.raises(KinoraError) as refused:
            attempt()
        assert code_of(refused) is ErrorCode.NOT_FOUND
    for name in ("", " ", "x" * 81, "a\0b"):
        with pytest.raises(KinoraError) as refused:
            gallery.collections.add(ME, name)
        assert code_of(refused) is ErrorCode.INVALID_INPUT

    gallery.collections.delete(ME, dogs.id)
    assert set(gallery.clip(ME, one.id).collections) == {best.id}
    store.move(one.id, State.QUEUED, State.CANCELLED, Succeeded({}, False))
    assert store.delete(one.id)
    assert [(c.name, c.clips) for c in gallery.collections.list(ME)] == [("best", 0)]


def test_empty_collections_of_visitors_who_cannot_come_back_are_removed(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    kept = gallery.collections.add(ME, "has a clip")
    gallery.collections.put(ME, kept.id, [accept(store, make_job(owner=ME)).id])
    gallery.collections.add(ME, "empty")
    gallery.collections.add("key:program", "empty")
    assert gallery.collections.remove_of_past_visitors() == 0
    assert gallery.collections.remove_of_past_visitors(time.time() + 367 * 86400) == 1
    assert [each.name for each in gallery.collections.list(ME)] == ["has a clip"]
    assert len(gallery.collections.list("key:program")) == 1


# -- delete and undo -------------------------------------------------------------------------------


def test_what_is_deleted_is_hidden_at_once_and_comes_back_as_it_was(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    one, two = (finish(store, make_job(owner=ME)) for _ in range(2))
    waiting = accept(store, make_job(owner=ME))
    gallery.star(ME, [one.id], True)
    stranger = gallery.delete(OTHER, [one.id])
    assert (stranger.deleted, stranger.unfinished) == ([], [])

    gone = gallery.delete(ME, [one.id, two.id, waiting.id, "?"])
    assert set(gone.deleted) == {one.id, two.id}
    assert gone.unfinished == [waiting.id]
    assert 9 < gone.undo_until - time.time() <= 10
    assert found(gallery) == [job.id for job in store.history(ME)] == [waiting.id]
    assert gallery.facets(ME).tasks == {"t2v": 1}
    left = gallery.deleted(ME)
    assert left is not None
    assert set(left.deleted) == {one.id, two.id}
    assert left.undo_until == pytest.approx(gone.undo_until)
    assert gallery.deleted(OTHER) is None
    assert gallery.delete(ME, [one.id]).deleted == [], "the first deadline stays"

    with pytest.raises(KinoraError) as refused:
        gallery.restore(OTHER, [one.id])
    assert code_of(refused) is ErrorCode.GONE
    assert gallery.restore(ME, [one.id, waiting.id]) == [one.id]
    assert gallery.clip(ME, one.id).starred
    assert set(found(gallery)) == {one.id, waiting.id}


def test_a_row_goes_only_when_its_time_is_over_and_never_after_it_was_restored(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    job = finish(store, make_job(owner=ME))
    assert not store.delete(job.id, due_at=time.time() + 100), "nobody deleted it"
    gallery.delete(ME, [job.id])
    assert not store.delete(job.id, due_at=time.time())
    gallery.restore(ME, [job.id])
    assert not store.delete(job.id, due_at=time.time() + 100)
    gallery.delete(ME, [job.id])
    with store.database.reading.begin() as tx:
        assert gallery_sql.due(tx, time.time(), 9)[0] == []
        assert gallery_sql.due(tx, time.time() + 100, 9)[0] == [job.id]
    assert store.delete(job.id, due_at=time.time() + 100)
    with pytest.raises(KinoraError) as refused:
        gallery.restore(ME, [job.id])
    assert code_of(refused) is ErrorCode.GONE
    assert store.get(job.id) is None


# -- storage, family -------------------------------------------------------------------------------


def test_storage_counts_files_that_are_there(
    store: JobStore, gallery: Gallery, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (finish(store, make_job(owner=ME), size_bytes=n) for n in (1000, 500))
    finish(store, make_job(owner=ME), size_bytes=700, reused=True)
    finish(store, make_job(owner=OTHER), size_bytes=10_000_000)
    shown = gallery.storage(ME)
    assert (shown.clips, shown.bytes) == (2, 1500)
    assert shown.limit_bytes == 1_000_000_000
    assert shown.used_share == pytest.approx(0.01, rel=0.01)
    assert one.ended_at is not None
    assert shown.oldest_goes_at == pytest.approx(one.ended_at + 30 * 86400)
    store.mark_gone(one.id, Gone(why="age", at=1.0))
    shown = gallery.storage(ME)
    assert (shown.clips, shown.bytes) == (1, 500)
    assert two.ended_at is not None
    assert shown.oldest_goes_at == pytest.approx(two.ended_at + 30 * 86400)
    assert gallery.storage("nobody").oldest_goes_at is None


def test_the_length_is_that_of_the_file(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    long, short = (
        finish(store, make_job(owner=ME), num_frames=n, finished_early=True) for n in (80, 8)
    )
    assert found(gallery, sort=Sort.SHORTEST) == [short.id, long.id]


def test_a_family_is_what_a_clip_came_from_and_what_came_from_it(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    first = finish(store, make_job(owner=ME))
    again = accept(store, make_job(owner=ME).model_copy(update={"parent": first.id}))
    upload = "ab" * 32
    gallery.remember_input(ME, upload, first.id)
    longer = make_job(owner=ME)
    fitted = longer.fitted.model_copy(update={"continue_from": upload})
    longer = accept(store, longer.model_copy(update={"fitted": fitted}))
    foreign = accept(
        store,
        make_job(owner=OTHER).model_copy(update={"fitted": fitted, "parent": first.id}),
    )

    def family(job: Job, owner: str = ME) -> dict[str, str]:
        return {each.clip.job.id: each.relation for each in gallery.family(owner, job.id)}

    assert family(first) == {again.id: "variation", longer.id: "continued_to"}
    assert family(again) == {first.id: "parent"}
    assert family(longer) == {first.id: "continued_from"}
    assert family(foreign, OTHER) == {}, "nothing of other owners"
    with pytest.raises(KinoraError):
        gallery.family(OTHER, first.id)
    gallery.delete(ME, [first.id])
    assert family(again) == {}


def test_drafts_of_one_press_are_a_family(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    full = GenerationRequest(prompt="a dog", seed=1)
    drafts = [
        make_job(owner=ME).model_copy(update={"batch": "b" * 32, "full_request": full})
        for _ in range(3)
    ]
    store.add_all(drafts, max_queue=100, max_per_owner=100)
    shown = gallery.family(ME, drafts[0].id)
    assert {each.clip.job.id for each in shown} == {drafts[1].id, drafts[2].id}
    assert {each.relation for each in shown} == {"draft"}


def test_jobs_of_an_earlier_version_are_in_the_gallery(
    store: JobStore, gallery: Gallery, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.gallery_rows.AT_ONCE", 2)
    monkeypatch.setattr(
        "jobs.gallery_rows.WITHOUT_ROW", gallery_module.gallery_rows.WITHOUT_ROW.limit(2)
    )
    made = [finish(store, make_job(owner=ME, prompt=f"number {n}")) for n in range(5)]
    with store.database.durable.begin() as tx:
        tx.execute(text("DELETE FROM clips"))
    assert gallery.complete() == 5
    assert gallery.complete() == 0
    assert set(found(gallery)) == {job.id for job in made}
    assert found(gallery, search='"number 3"') == [made[3].id]
    assert gallery.storage(ME).bytes == 5000


def test_a_selection_is_for_an_address_and_expires(
    gallery: Gallery, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    selected = gallery.select(ME, ["a", "b"])
    assert gallery.selection(selected) == (ME, ["a", "b"])
    monkeypatch.setattr(gallery_module, "SELECTION_S", -1)
    gallery.select(ME, ["c"])
    with pytest.raises(KinoraError) as refused:
        gallery.selection(selected)
    assert code_of(refused) is ErrorCode.NOT_FOUND
