"""Who gets which worker: warm models first, and nobody starves."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from jobs.fleet.routing import LOOK_AHEAD, PASSED_AT_MOST, Free, WaitingJob, passed_over, route

MODELS = "abc"


def worker(name: str, *warm: str, only: str | None = None) -> Free:
    return Free(name, frozenset(warm), frozenset(only) if only is not None else None)


def line(models: str) -> list[WaitingJob]:
    return [WaitingJob(f"{n}", model) for n, model in enumerate(models)]


def test_a_clip_goes_where_its_model_is_warm() -> None:
    pairs = route(line("ab"), [worker("one", "b"), worker("two", "a")], {})
    assert dict(pairs) == {"0": "two", "1": "one"}


def test_a_later_clip_goes_first_if_its_model_is_warm() -> None:
    assert route(line("ab"), [worker("one", "b")], {}) == [("1", "one")]
    assert passed_over(line("ab"), {"1"}) == {"0"}


def test_whoever_was_passed_over_often_enough_goes_first() -> None:
    assert route(line("ab"), [worker("one", "b")], {"0": PASSED_AT_MOST}) == [("0", "one")]


def test_nobody_jumps_from_far_behind() -> None:
    far = line("a" * (LOOK_AHEAD + 1) + "b")
    assert route(far, [worker("one", "b")], {}) == [("0", "one")]


def test_a_worker_that_has_nothing_loaded_is_taken_before_one_that_would_lose_it() -> None:
    assert route(line("a"), [worker("one", "b"), worker("two")], {}) == [("0", "two")]


def test_a_worker_for_few_models_leaves_those_for_all_free() -> None:
    assert route(line("a"), [worker("all"), worker("few", only="a")], {}) == [("0", "few")]


def test_clips_nobody_here_can_make_hold_nobody_up() -> None:
    waiting = line("a" * 200 + "b")
    assert route(waiting, [worker("one", only="b")], {}) == [("200", "one")]


def test_a_long_line_for_one_worker_leaves_no_other_idle() -> None:
    waiting = line("a" * 100 + "b")
    free = [worker("one", only="a"), worker("two", only="b")]
    assert dict(route(waiting, free, {})) == {"0": "one", "100": "two"}


@given(
    st.text(MODELS, max_size=60),
    st.lists(st.tuples(st.sets(st.sampled_from(MODELS)), st.none() | st.text(MODELS)), max_size=6),
)
def test_no_worker_is_idle_while_there_is_something_it_may_make(
    models: str, workers: list[tuple[set[str], str | None]]
) -> None:
    free = [worker(f"w{n}", *warm, only=only) for n, (warm, only) in enumerate(workers)]
    waiting = line(models)
    pairs = route(waiting, free, {})
    assert max(Counter(job for job, _ in pairs).values(), default=1) == 1
    assert max(Counter(name for _, name in pairs).values(), default=1) == 1
    by_name = {each.name: each for each in free}
    wants = dict(waiting)
    assert all(by_name[name].may_make(wants[job]) for job, name in pairs)
    busy, taken = {name for _, name in pairs}, {job for job, _ in pairs}
    for each in free:
        if each.name not in busy:
            assert not any(each.may_make(m) for job, m in waiting if job not in taken)


@given(st.text(MODELS, min_size=1, max_size=12), st.integers(1, 3))
def test_no_stream_of_warm_clips_starves_a_cold_one(behind: str, workers: int) -> None:
    """The first wants a model that nobody has; warm ones never end. It is passed over, but not
    for ever."""
    waiting = [WaitingJob("cold", "cold"), *line(behind * 40)]
    passed: dict[str, int] = {}
    for _ in range(PASSED_AT_MOST + 1):
        pairs = route(waiting, [worker(f"w{n}", *MODELS) for n in range(workers)], passed)
        sent = {job for job, _ in pairs}
        if "cold" in sent:
            return
        for job in passed_over(waiting, sent):
            passed[job] = passed.get(job, 0) + 1
        waiting = [job for job in waiting if job.job_id not in sent]
        waiting += [WaitingJob(f"new{len(passed)}{n}", behind[0]) for n in range(workers)]
    raise AssertionError("starved")
