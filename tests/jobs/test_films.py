"""Films: shots that are made one by one, in a real worker, and then joined."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from errors import ErrorCode, KinoraError
from jobs.film import FilmRequest, FilmState, Shot
from jobs.film_maker import FilmChange, ShotChange
from jobs.job import IdempotencyKey, Job, State
from jobs.policy.policy_event import PolicyEvent
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.edit_process import MODULE
from jobs.workers.process import ProcessExecutor
from pipelines.models.cards import ModelCard
from pipelines.request import GenerationRequest, Task
from settings import Settings
from tests.jobs.conftest import until
from tests.jobs.finished_clips import finish_clip
from tests.media.reading import read

ME, OTHER = "visitor:me", "visitor:other"
FAST = GenerationRequest(num_inference_steps=2, width=96, height=64, fps=8)


def film_of(*shots: Shot, **more: object) -> FilmRequest:
    return FilmRequest.model_validate({"shots": shots, "settings": FAST} | more)


def shot(prompt: str, cut: str = "hard", **more: object) -> Shot:
    return Shot.model_validate({"prompt": prompt, "cut": cut, "duration_s": 1, "seed": 1} | more)


def finished(service: JobService, state: FilmState) -> FilmState:
    """Once nothing of it is being made any more."""
    until(lambda: service.find_film(state.film.id).state != "working")
    return service.find_film(state.film.id)


def takes(state: FilmState) -> list[str | None]:
    return [shot.job for shot in state.film.shots]


def frames_of(service: JobService, job_id: str | None) -> np.ndarray:
    return read(service.clip_path(job_id or "")).frames


@pytest.fixture(scope="module")
def made(service: JobService) -> FilmState:
    """A film of three shots: the second continues the first, the third is faded in."""
    shots = shot("a dog"), shot("it runs", "continue"), shot("a cat", "crossfade")
    state = service.submit_film(film_of(*shots, crossfade_s=0.25), ME)
    assert state.shot_state(1) == "waiting"
    state = finished(service, state)
    assert state.state == "succeeded", state.film
    return state


def test_each_shot_is_a_clip_of_its_own_and_the_film_has_them_all(
    service: JobService, made: FilmState
) -> None:
    counts = [len(frames_of(service, job)) for job in takes(made)]
    assert all(5 <= count <= 13 for count in counts), counts
    file = made.file
    assert file is not None
    assert file.owner == ME
    fade = round(0.25 * 8)
    assert len(frames_of(service, file.id)) == sum(counts) - fade


def test_a_shot_that_continues_has_only_its_new_frames_and_starts_where_the_other_ends(
    service: JobService, made: FilmState
) -> None:
    first, second = (service.get(job or "") for job in takes(made)[:2])
    assert second.request.continue_from is not None
    assert second.fitted.lead_frames == 0
    assert second.result is not None
    assert second.result.num_frames == second.fitted.num_frames - second.fitted.overlap
    assert made.film.shots[1].after == first.id
    relations = {(r.relation, r.clip.job.id) for r in service.gallery.family(ME, second.id)}
    assert ("continued_from", first.id) in relations
    assert made.file is not None
    assert ("edit", made.file.id) in relations
    assert ("shot", takes(made)[2]) in relations, "one film is one family"


def test_one_shot_is_made_again_and_all_others_stay(service: JobService, made: FilmState) -> None:
    before = takes(made)
    service.redo_shot(made.film.id, 3, ShotChange(prompt="a bird"))
    files: list[Job | None] = []

    def is_made() -> bool:
        now = service.find_film(made.film.id)
        files.append(now.file)
        return now.state != "working"

    until(is_made)
    assert made.file is not None
    assert {file and file.id for file in files[:-1]} == {made.file.id}, "it stays until then"
    state = service.find_film(made.film.id)
    assert state.state == "succeeded"
    after = takes(state)
    assert after[:2] == before[:2]
    assert after[2] != before[2]
    again = service.get(after[2] or "")
    assert (again.request.prompt, again.parent) == ("a bird", before[2])
    assert again.fitted.seed != 1, "another seed, as none was given"
    assert state.join is not None
    assert made.join is not None
    assert state.join.id != made.join.id
    assert service.get(before[2] or "").state is State.SUCCEEDED, "the first take stays"


def test_shots_are_reordered_added_and_removed_and_only_new_ones_are_made(
    service: JobService,
) -> None:
    state = finished(service, service.submit_film(film_of(shot("one"), shot("two")), ME))
    first, second = state.film.shots
    wanted = (
        ShotChange(id=second.id),
        ShotChange(prompt="three", duration_s=1),
        ShotChange(id=first.id, cut="crossfade"),
    )
    changed = finished(service, service.change_film(state.film.id, FilmChange(shots=wanted)))
    assert changed.state == "succeeded"
    assert [each.prompt for each in changed.film.shots] == ["two", "three", "one"]
    assert takes(changed)[::2] == [second.job, first.job]
    left = FilmChange(shots=(ShotChange(id=first.id),))
    alone = finished(service, service.change_film(state.film.id, left))
    assert alone.file is not None
    assert len(frames_of(service, alone.file.id)) == len(frames_of(service, first.job))


def test_a_shot_after_a_discarded_one_waits_until_that_is_made_again(service: JobService) -> None:
    slow = FAST.model_copy(update={"num_inference_steps": 50})
    shots = shot("a dog"), shot("on it goes", "continue"), shot("a cat")
    state = service.submit_film(film_of(*shots, settings=slow), ME)
    service.cancel(takes(state)[0] or "")
    state = finished(service, state)
    assert state.state == "cancelled"
    assert [state.shot_state(n) for n in range(3)] == ["cancelled", "waiting", "succeeded"]
    assert state.pending == 0, "a shot that cannot come counts for no limit"
    assert "shot 1, which has no clip" in (state.note(1) or "")
    kept = takes(state)[2]
    state = service.resume_film(state.film.id)
    until(lambda: service.find_film(state.film.id).state != "working")
    state = service.find_film(state.film.id)
    assert state.state == "succeeded"
    assert takes(state)[2] == kept


def test_the_whole_is_cancelled_and_can_be_resumed(service: JobService) -> None:
    slow = FAST.model_copy(update={"num_inference_steps": 50})
    shots = shot("a dog"), shot("on it goes", "continue")
    state = service.submit_film(film_of(*shots, settings=slow), ME)
    state = service.cancel_film(state.film.id)
    state = finished(service, state)
    assert (state.state, state.pending) == ("cancelled", 0)
    assert [state.shot_state(n) for n in range(2)] == ["cancelled", "cancelled"]
    assert service.cancel_film(state.film.id).state == "cancelled"
    assert finished(service, service.resume_film(state.film.id)).state == "succeeded"


def test_a_shot_made_again_from_its_own_page_takes_its_place(service: JobService) -> None:
    slow = FAST.model_copy(update={"num_inference_steps": 50})
    state = service.submit_film(film_of(shot("a dog"), shot("a cat"), settings=slow), ME)
    lost = takes(state)[0] or ""
    service.cancel(lost)
    until(lambda: service.get(lost).state.ended)
    again = service.make_again(lost, ME)
    assert again.fitted.seed == 1
    state = finished(service, state)
    assert (takes(state)[0], state.state) == (again.id, "succeeded")


# -- what is refused -------------------------------------------------------------------------------


def test_all_shots_are_accepted_or_none(service: JobService) -> None:
    with pytest.raises(KinoraError) as caught:
        service.submit_film(film_of(shot("a dog"), shot("")), OTHER)
    assert caught.value.message.startswith("Shot 2: ")
    assert caught.value.details["shot"] == 2
    assert service.list(OTHER) == []
    assert service.films(OTHER, 10) == []


def test_shots_that_are_not_submitted_yet_count_as_unfinished(service: JobService) -> None:
    slow = FAST.model_copy(update={"num_inference_steps": 50})
    follow = [shot("on", "continue") for _ in range(19)]
    films = [service.submit_film(film_of(shot("a"), *follow, settings=slow), "visitor:quota")
             for _ in range(2)]  # fmt: skip
    try:
        with pytest.raises(KinoraError) as caught:  # 40 of 50 are taken
            service.submit_film(film_of(shot("a"), *follow[:10], settings=slow), "visitor:quota")
        assert caught.value.code is ErrorCode.RATE_LIMITED
        assert caught.value.details["unfinished"] == 40
        with pytest.raises(KinoraError):
            service.submit_batch([FAST.model_copy(update={"prompt": "x"})] * 11, "visitor:quota")
    finally:
        for each in films:
            service.cancel_film(each.film.id)
    until(lambda: all(service.find_film(each.film.id).state == "cancelled" for each in films))
    request = FAST.model_copy(update={"prompt": "x"})
    service.cancel(service.submit(request, "visitor:quota").id)


def test_a_film_is_its_owners(service: JobService, made: FilmState) -> None:
    with pytest.raises(KinoraError) as caught:
        service.find_film(made.film.id, OTHER)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert made.film.id in [each.film.id for each in service.films(ME, 50)]


def test_under_the_same_key_the_same_film_comes_back(service: JobService) -> None:
    key = IdempotencyKey("film-1", "the hash of the request")
    first = service.submit_film(film_of(shot("a dog")), ME, idempotency_key=key)
    again = service.submit_film(film_of(shot("a dog")), ME, idempotency_key=key)
    assert again.film.id == first.film.id
    finished(service, first)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shots": []},
        {"shots": [{"prompt": "a"}] * 21},
        {"shots": [{"prompt": "a", "cut": "explode"}]},
        {"shots": [{"prompt": "a", "path": "/etc/passwd"}]},
        {"shots": [{"prompt": "a", "image": "../../x"}]},
        {"shots": [{"prompt": "a", "duration_s": float("inf")}]},
        {"shots": [{"prompt": "a"}], "crossfade_s": 0},
        {"shots": [{"prompt": "a"}], "settings": {"continue_from": "0" * 64}},
    ],
)
def test_a_malformed_film_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        FilmRequest.model_validate(wrong)


def test_an_estimate_has_each_shot_and_the_joining(service: JobService) -> None:
    shots = shot("a dog"), shot("it runs", "continue", duration_s=2)
    planned, estimates = service.plan_film(film_of(*shots), ME)
    assert len(estimates) == 3
    assert all(each.seconds > 0 for each in estimates)
    assert planned.fitted[1].duration_s > planned.fitted[0].duration_s
    assert service.films(ME, 1)[0].film.id != planned.film.id, "nothing is stored"


# -- durability ------------------------------------------------------------------------------------


@pytest.fixture
def build(tmp_path: Path, light_cards: dict[str, ModelCard]) -> Iterator[Callable[[], JobService]]:
    """Servers of one data folder, whose workers make edits only."""
    built: list[JobService] = []
    settings = Settings(data_dir=tmp_path, prompt_filter=True)

    def build() -> JobService:
        store = JobStore(f"sqlite:///{tmp_path / 'kinora.db'}")
        built.append(JobService(store, ProcessExecutor(settings, MODULE), light_cards, settings))
        return built[-1]

    yield build
    for each in built:
        each.close(0)


def test_a_film_is_joined_after_a_restart(build: Callable[[], JobService]) -> None:
    first = build()
    state = first.submit_film(film_of(shot("a dog"), shot("a cat", "crossfade")), ME)
    for job_id in takes(state):
        finish_clip(first, job_id or "")
    assert first.find_film(state.film.id).needs_join, "nothing has continued it"
    first.close(0)
    second = build()
    second.start()
    state = finished(second, state)
    assert state.state == "succeeded"
    assert state.film.server == second._liveness.name


def test_a_shot_that_continues_is_submitted_after_a_restart(
    build: Callable[[], JobService],
) -> None:
    first = build()
    state = first.submit_film(film_of(shot("a dog"), shot("on it goes", "continue")), ME)
    finish_clip(first, takes(state)[0] or "")
    first.close(0)
    second = build()
    second.start()
    until(lambda: takes(second.find_film(state.film.id))[1] is not None)
    state = second.find_film(state.film.id)
    submitted = second.get(takes(state)[1] or "")
    assert submitted.request.continue_from is not None
    assert submitted.owner == ME


def test_a_shot_cannot_continue_with_a_model_that_only_starts_from_words(
    tmp_path: Path, light_cards: dict[str, ModelCard]
) -> None:
    settings = Settings(data_dir=tmp_path)
    cards = {
        name: card.model_copy(update={"tasks": (Task.TEXT_TO_VIDEO,)})
        for name, card in light_cards.items()
    }
    store = JobStore(settings.database_url)
    service = JobService(store, ProcessExecutor(settings, MODULE), cards, settings)
    wanted = film_of(shot("a dog"), shot("it runs", "continue"),
                     settings=FAST.model_copy(update={"model": "pocket"}))  # fmt: skip
    for refused in (service.submit_film, service.plan_film):
        with pytest.raises(KinoraError) as caught:
            refused(wanted, ME)
        assert caught.value.code is ErrorCode.TASK_NOT_SUPPORTED
        assert caught.value.message == (
            "Shot 2: Tiny cannot continue a clip. Cut to this shot, or choose another model."
        )
        assert caught.value.details == {"shot": 2, "field": "cut"}
    assert service.list(ME) == []
    state = service.submit_film(film_of(shot("a dog"), shot("a cat")), ME)
    to_continue = ShotChange(id=state.film.shots[1].id, cut="continue")
    kept = ShotChange(id=state.film.shots[0].id)
    with pytest.raises(KinoraError) as caught:
        service.change_film(state.film.id, FilmChange(shots=(kept, to_continue)))
    assert caught.value.message == ("Shot 2: No model here can continue a clip. Cut to this shot.")
    assert service.find_film(state.film.id).film == state.film
    service.close(0)


def test_clips_of_an_unfinished_film_are_not_removed_to_make_room(
    build: Callable[[], JobService],
) -> None:
    service = build()
    state = service.submit_film(film_of(shot("a dog"), shot("on it goes", "continue")), ME)
    first = takes(state)[0] or ""
    finish_clip(service, first)
    assert first in service._store.clips_being_edited()
    service.cancel_film(state.film.id)
    assert first not in service._store.clips_being_edited()


def test_a_deleted_film_leaves_its_clips(build: Callable[[], JobService]) -> None:
    service = build()
    state = service.submit_film(film_of(shot("a dog"), shot("a cat")), ME)
    finish_clip(service, takes(state)[0] or "")
    service.delete_film(state.film.id)
    with pytest.raises(KinoraError):
        service.find_film(state.film.id)
    states = [service.get(job or "").state for job in takes(state)]
    assert states == [State.SUCCEEDED, State.CANCELLED]


def test_a_prompt_that_is_refused_here_refuses_the_film_and_an_estimate_notes_nothing(
    build: Callable[[], JobService],
) -> None:
    service = build()
    noted: list[PolicyEvent] = []
    service.policy.subscribe(noted.append)
    refused = film_of(shot("a dog"), shot("a woman, completely naked", "continue"))
    service.plan_film(refused, ME)
    assert not noted
    with pytest.raises(KinoraError) as caught:
        service.submit_film(refused, ME)
    assert caught.value.code is ErrorCode.CONTENT_POLICY
    assert caught.value.message.startswith("Shot 2: ")
    assert len(noted) == 1
    assert service.films(ME, 1) == []


def test_a_shot_whose_clip_was_deleted_can_be_made_again(build: Callable[[], JobService]) -> None:
    service = build()
    state = service.submit_film(film_of(shot("a dog"), shot("a cat")), ME)
    lost = takes(state)[1] or ""
    for job_id in takes(state):
        finish_clip(service, job_id or "")
    service.delete(lost)
    state = service.advance_film(state.film.id)
    assert (state.shot_state(1), state.state) == ("gone", "gone")
    state = service.resume_film(state.film.id)
    assert (state.shot_state(1), state.state) == ("queued", "working")


def test_a_clip_of_its_own_is_made_when_the_film_is_another_ones(
    build: Callable[[], JobService],
) -> None:
    service = build()
    state = service.submit_film(film_of(shot("a dog")), ME)
    service.cancel(takes(state)[0] or "")
    again = service.make_again(takes(state)[0] or "", OTHER)
    assert again.owner == OTHER
    assert takes(service.find_film(state.film.id)) == takes(state)


def test_no_shot_is_made_twice_however_many_advance_it(service: JobService) -> None:
    state = service.submit_film(film_of(shot("a dog"), shot("on", "continue")), ME)
    until(lambda: service.get(takes(state)[0] or "").state.ended)
    threads = [
        threading.Thread(target=service.advance_film, args=(state.film.id,)) for _ in range(6)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    state = finished(service, state)
    made_by = [job for job in service.list(ME, 500) if service.film_of(job.id) == state.film.id]
    assert len(made_by) == 3
