"""What a visitor may have unfinished counts every clip of every batch, and a batch is accepted
whole or refused whole, whatever else is submitted in between or at the same moment."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app import build_service
from errors import ErrorCode, KinoraError
from jobs.job import Job, State
from jobs.service import JobService
from jobs.workers.foreground import ForegroundExecutor
from pipelines.models.comparison import parse_settings
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny
from tests.goals import rounds

DOG = GenerationRequest(prompt="a dog", seed=5)
EACH, QUEUE = 6, 9
Submit = Callable[[str], Sequence[Job]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobService]:
    """Without weights: jobs are accepted and stay in the queue. A visitor may have six."""
    root = tmp_path_factory.mktemp("quota")
    tiny.write_card(root / "cards", root / "nowhere")
    more: dict[str, object] = {"data_dir": root / "data", "models_dir": root / "cards"}
    own = Settings(_env_file=None, max_jobs_per_visitor=EACH, max_queue=QUEUE, max_batch=8, **more)  # pyright: ignore[reportCallIssue]
    service = build_service(own, ForegroundExecutor(own))
    service.start_command()
    yield service
    service.close()


@pytest.fixture(autouse=True)
def _empty_queue(service: JobService) -> Iterator[None]:
    yield
    empty(service)


def empty(service: JobService) -> None:
    for job in service._store.unfinished(service._store.server):
        service.cancel(job.id)


def some(count: int) -> list[GenerationRequest]:
    return [GenerationRequest(prompt=f"dog {n}", seed=n) for n in range(count)]


def unfinished_of(service: JobService, owner: str) -> list[str]:
    return [job.id for job in service.list(owner, 500) if not job.state.ended]


NUMBERS = itertools.count()


class Visitors(RuleBasedStateMachine):
    """The model is the unfinished clips of each of two visitors."""

    service: ClassVar[JobService]
    accepted: ClassVar[set[str]]
    refused: ClassVar[set[tuple[str, ErrorCode]]]

    def __init__(self) -> None:
        super().__init__()
        number = next(NUMBERS)
        self.owners = [f"visitor:{number}-{each}" for each in "ab"]
        self.unfinished: dict[str, list[str]] = {owner: [] for owner in self.owners}
        self.ended: list[tuple[str, str]] = []

    def teardown(self) -> None:
        empty(self.service)

    def submit(self, kind: str, who: int, clips: int, submit: Submit) -> None:
        owner = self.owners[who]
        mine, waiting = len(self.unfinished[owner]), sum(map(len, self.unfinished.values()))
        before = [job.id for job in self.service.list(owner, 500)]
        expected = None
        if mine + clips > EACH:
            expected = ErrorCode.RATE_LIMITED
        elif waiting + clips > QUEUE:
            expected = ErrorCode.QUEUE_FULL
        try:
            jobs = submit(owner)
        except KinoraError as error:
            assert error.code is expected
            if expected is ErrorCode.RATE_LIMITED or clips > 1:
                assert error.details["clips"] == clips
                assert str(error.details["limit"]) in error.message
            assert [job.id for job in self.service.list(owner, 500)] == before, "refused whole"
            self.refused.add((kind, error.code))
            return
        assert expected is None and len(jobs) == clips
        self.unfinished[owner] += [job.id for job in jobs]
        self.accepted.add(kind)

    @rule(who=st.integers(0, 1))
    def one_clip(self, who: int) -> None:
        self.submit("clip", who, 1, lambda owner: [self.service.submit(DOG, owner)])

    @rule(who=st.integers(0, 1), count=st.integers(1, 8))
    def a_list(self, who: int, count: int) -> None:
        self.submit("list", who, count, lambda o: self.service.submit_batch(some(count), o))

    @rule(who=st.integers(0, 1), count=st.integers(2, 8))
    def drafts(self, who: int, count: int) -> None:
        plan = self.service.plans.drafts(DOG, count)
        self.submit("drafts", who, count, lambda owner: self.service.submit_plan(plan, owner))

    @rule(who=st.integers(0, 1), columns=st.integers(1, 3), has_equal_rows=st.booleans())
    def a_comparison(self, who: int, columns: int, has_equal_rows: bool) -> None:
        """Equal cells are one clip, and count once."""
        steps = "steps=" + ",".join(str(n) for n in range(2, 2 + columns))
        words = "prompt=dog=>cat,dog=>" + ("cat" if has_equal_rows else "cow")
        plan = self.service.plans.comparison(DOG, parse_settings([steps, words]))
        clips = columns * (1 if has_equal_rows else 2)
        self.submit("comparison", who, clips, lambda owner: self.service.submit_plan(plan, owner))

    @rule(data=st.data(), who=st.integers(0, 1))
    def discard(self, data: st.DataObject, who: int) -> None:
        mine = self.unfinished[self.owners[who]]
        if mine:
            job_id = mine.pop(data.draw(st.integers(0, len(mine) - 1)))
            assert self.service.cancel(job_id).state is State.CANCELLED
            self.ended.append((self.owners[who], job_id))

    @rule(data=st.data())
    def make_again(self, data: st.DataObject) -> None:
        """Also a clip in the place that it had in its batch counts."""
        if self.ended:
            owner, job_id = data.draw(st.sampled_from(self.ended))
            who = self.owners.index(owner)
            self.submit("again", who, 1, lambda owner: [self.service.make_again(job_id, owner)])

    @invariant()
    def agrees(self) -> None:
        for owner, expected in self.unfinished.items():
            assert sorted(unfinished_of(self.service, owner)) == sorted(expected)


def test_any_order_of_clips_and_batches_keeps_to_the_quota(service: JobService) -> None:
    Visitors.service, Visitors.accepted, Visitors.refused = service, set(), set()
    run_state_machine_as_test(
        Visitors,
        settings=settings(
            max_examples=rounds(6, 60),
            stateful_step_count=12,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    assert len(Visitors.accepted) >= 3
    assert {code for _, code in Visitors.refused} == {ErrorCode.RATE_LIMITED, ErrorCode.QUEUE_FULL}


@pytest.mark.parametrize("seed", range(4))
def test_of_many_at_the_same_moment_only_as_many_as_fit_are_accepted(
    service: JobService, seed: int
) -> None:
    """A random mix of clips and batches of one visitor, each in a thread of its own."""
    random_ = random.Random(seed)
    owner = f"visitor:at-once-{seed}"
    sizes = [random_.choice([1, 2, 3, 4, 5]) for _ in range(10)]
    barrier = threading.Barrier(len(sizes))
    accepted: list[list[Job]] = []
    refusals: list[ErrorCode] = []

    def submit(size: int) -> None:
        plan = service.plans.drafts(DOG, size) if size > 1 else None
        barrier.wait()
        try:
            jobs = service.submit_plan(plan, owner) if plan else [service.submit(DOG, owner)]
        except KinoraError as error:
            refusals.append(error.code)
        else:
            assert len(jobs) == size
            accepted.append(list(jobs))

    threads = [threading.Thread(target=submit, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = service.list(owner, 100)
    assert {job.id for job in stored} == {job.id for jobs in accepted for job in jobs}
    assert len(stored) <= EACH
    assert len(accepted) + len(refusals) == len(sizes)
    assert set(refusals) == {ErrorCode.RATE_LIMITED}
    left_out = sizes.copy()
    for jobs in accepted:
        left_out.remove(len(jobs))
    assert min(left_out) > EACH - len(stored), "what would still fit was not refused"


@pytest.mark.parametrize(
    ("waiting", "clips", "sentence"),
    [
        (0, 8, "8 clips at once are more than the 6 that may be unfinished here. "
               "Start at most 6 at a time."),
        (1, 6, "You have 1 clip that is not finished yet; at most 6 are allowed. "
               "Wait, or start 5 instead of 6."),
        (4, 3, "You have 4 clips that are not finished yet; at most 6 are allowed. "
               "Wait, or start 2 instead of 3."),
        (6, 2, "You have 6 clips that are not finished yet; at most 6 are allowed. "
               "Wait, or discard some: there is no room for 2 more."),
        (6, 1, "You have 6 clips that are not finished yet; at most 6 are allowed. "
               "Wait for one of them, or discard one."),
    ],
)  # fmt: skip
def test_a_refusal_has_numbers_and_says_what_to_do(
    service: JobService, waiting: int, clips: int, sentence: str
) -> None:
    owner = f"visitor:told-{waiting}-{clips}"
    if waiting:
        service.submit_batch(some(waiting), owner)
    with pytest.raises(KinoraError) as refused:
        service.submit_batch(some(clips), owner)
    assert refused.value.message == sentence
    assert refused.value.code is ErrorCode.RATE_LIMITED
    assert refused.value.details == {"clips": clips, "unfinished": waiting, "limit": EACH}


def test_a_batch_that_does_not_fit_into_the_queue_is_refused_with_numbers(
    service: JobService,
) -> None:
    service.submit_batch(some(5), "visitor:first")
    with pytest.raises(KinoraError) as refused:
        service.submit_batch(some(5), "visitor:second")
    assert refused.value.message == (
        "5 clips do not fit into the queue, which has room for 4 of 9 now. "
        "Try again in a minute, or start fewer."
    )


def test_at_home_eight_drafts_and_a_whole_comparison_fit_together() -> None:
    own = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
    for limit in (own.max_jobs_per_visitor, own.clips_per_minute, own.max_queue):
        assert limit >= 8 + 5 * 5
        assert limit >= own.max_batch
