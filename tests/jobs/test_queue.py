"""Whose turn it is."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from jobs.queue import Waiting, by_owner, counts_before, in_turn

waiting_jobs = st.lists(
    st.builds(
        Waiting,
        id=st.uuids().map(str),
        owner=st.sampled_from("abcde"),
        created_at=st.integers(0, 50).map(float),
    ),
    unique_by=lambda job: job.id,
    max_size=30,
)


def order(waiting: list[Waiting], served: dict[str, float] | None = None) -> list[str]:
    return [job.id for job in in_turn(waiting, served or {})]


def test_one_visitor_is_served_in_the_order_of_asking() -> None:
    assert order([Waiting("2", "a", 2.0), Waiting("1", "a", 1.0)]) == ["1", "2"]


def test_a_newcomer_goes_before_the_second_clip_of_someone_with_many() -> None:
    many = [Waiting(f"a{i}", "a", float(i)) for i in range(4)]
    assert order([*many, Waiting("b", "b", 9.0)]) == ["a0", "b", "a1", "a2", "a3"]


def test_newcomers_without_end_do_not_starve_anyone() -> None:
    served: dict[str, float] = {}
    line = [Waiting("mine", "a", 0.5), Waiting("mine too", "a", 0.6)]
    done: list[str] = []
    for second in range(1, 20):
        line.append(Waiting(f"new {second}", f"n{second}", float(second)))
        first = next(iter(in_turn(line, served)))
        served[first.owner] = second + 0.5
        line.remove(first)
        done.append(first.id)
    assert done.index("mine too") <= 3


@given(waiting_jobs, st.dictionaries(st.sampled_from("abcde"), st.integers(0, 50).map(float)))
def test_everyone_gets_a_turn_once_and_each_visitor_in_order(
    waiting: list[Waiting], served: dict[str, float]
) -> None:
    turns = list(in_turn(waiting, served))
    assert sorted(turns) == sorted(waiting)
    for owner in "abcde":
        mine = [job.created_at for job in turns if job.owner == owner]
        assert mine == sorted(mine)


@given(waiting_jobs)
def test_between_two_turns_of_a_visitor_everyone_else_who_waits_gets_one(
    waiting: list[Waiting],
) -> None:
    turns = [job.owner for job in in_turn(waiting, {})]
    for owner in set(turns):
        places = [i for i, who in enumerate(turns) if who == owner]
        for here, there in itertools.pairwise(places):
            still_waiting = set(turns[there:]) - {owner}
            if here > places[0]:  # the first turn may come before others even asked
                assert still_waiting <= set(turns[here:there])


@given(waiting_jobs, st.dictionaries(st.sampled_from("abcde"), st.integers(0, 50).map(float)))
def test_a_place_is_known_without_counting_through_the_line(
    waiting: list[Waiting], served: dict[str, float]
) -> None:
    lines = by_owner(waiting, served)
    for place, job in enumerate(in_turn(waiting, served)):
        own = lines[job.owner].index(job)
        assert sum(count for _, count in counts_before(job.owner, own, lines)) == place
