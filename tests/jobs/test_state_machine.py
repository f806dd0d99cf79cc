"""Whatever is done to a store in whatever order, it agrees with the table of moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select

from errors import ErrorCode, KinoraError
from jobs.admission_sql import DuplicateRequest
from jobs.database import events, jobs, keys
from jobs.event_types import TERMINAL_KINDS, Failed, JobCancelled, Requeued, StepDone, Succeeded
from jobs.job import MOVES, IdempotencyKey, Job, State, StopRequest, new_id
from jobs.store import JobStore
from pipelines.request import FittedRequest, Focus, GenerationRequest, Task
from tests.goals import Goal, rounds
from tests.jobs.services import PostgresServer

FITTED = FittedRequest(
    task=Task.TEXT_TO_VIDEO,
    model="pocket",
    prompt="a dog",
    negative_prompt="",
    image=None,
    focus=Focus(x=0.5, y=0.5),
    seed=1,
    num_inference_steps=4,
    guidance_scale=3,
    width=64,
    height=64,
    num_frames=9,
    fps=8,
    format="mp4",
    quality="medium",
)
EVENTS = {
    State.QUEUED: Requeued(),
    State.SUCCEEDED: Succeeded(),
    State.FAILED: Failed(),
    State.CANCELLED: JobCancelled(),
}
PER_OWNER = 6


class StoreMachine(RuleBasedStateMachine):
    """The model is a dict of states. After every step each store must agree with it, and with the
    other stores: the same trace leads to the same states wherever it is kept."""

    urls: ClassVar[tuple[str, ...]]
    examples: ClassVar[int] = 0
    steps: ClassVar[int] = 0
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        self.stores = [JobStore(url) for url in self.urls]
        for store in self.stores:
            empty(store)
        self.server = self.stores[0].server
        self.states: dict[str, State] = {}
        self.logs: dict[str, list[str]] = {}
        self.owners: dict[str, str] = {}
        self.keys: dict[tuple[str, str], str] = {}

    def each(self, act: Callable[[JobStore], object]) -> Any:
        """What every store answers: the same, and the same error."""
        type(self).steps += 1
        answers = [answer(act, store) for store in self.stores]
        assert all(each == answers[0] for each in answers), answers
        return answers[0]

    @rule(target=ids, owner=st.sampled_from("ab"), key=st.sampled_from([None, "k", "l"]))
    def submit(self, owner: str, key: str | None) -> object:
        job = Job(
            id=new_id(),
            owner=owner,
            state=State.QUEUED,
            request=GenerationRequest(prompt="a dog"),
            fitted=FITTED,
            created_at=time.time(),
        )
        once = IdempotencyKey(key, "the same") if key else None
        unfinished = [i for i, s in self.states.items() if not s.ended and self.owners[i] == owner]

        def add(store: JobStore) -> str:
            try:
                store.add_all([job], max_queue=100, max_per_owner=PER_OWNER, idempotency_key=once)
            except DuplicateRequest as before:
                return before.job_id
            return job.id

        said = self.each(add)
        if key and (owner, key) in self.keys:
            assert said == self.keys[owner, key]
            return multiple()
        if len(unfinished) == PER_OWNER:
            assert said is ErrorCode.RATE_LIMITED
            return multiple()
        assert said == job.id
        self.states[job.id] = State.QUEUED
        self.logs[job.id] = ["queued"]
        self.owners[job.id] = owner
        if key:
            self.keys[owner, key] = job.id
        return job.id

    @rule()
    def claim(self) -> None:
        claimed = self.each(lambda store: getattr(store.claim(), "id", None))
        waiting = {i for i, s in self.states.items() if s is State.QUEUED}
        if claimed is None:
            assert not waiting
            return
        assert claimed in waiting
        self.states[claimed] = State.RUNNING
        self.logs[claimed].append("started")

    @rule(
        job_id=ids,
        believed=st.none() | st.sampled_from(State),
        after=st.sampled_from(list(EVENTS)),
    )
    def move(self, job_id: str, believed: State | None, after: State) -> None:
        """From the state it is in, or from one that somebody believes it to be in."""
        before = believed or self.states.get(job_id, State.QUEUED)
        moved = self.each(
            lambda store: getattr(store.move(job_id, before, after, EVENTS[after]), "state", None)
        )
        if after not in MOVES[before]:
            assert moved is ErrorCode.CONFLICT
            return
        assert moved == (after if self.states.get(job_id) is before else None)
        if moved:
            self.states[job_id] = after
            self.logs[job_id].append(EVENTS[after].kind)

    @rule(job_id=ids)
    def progress(self, job_id: str) -> None:
        runs = self.states.get(job_id) is State.RUNNING
        assert self.each(lambda store: bool(store.append(job_id, StepDone()))) == runs
        if runs:
            self.logs[job_id].append("step")

    @rule(job_id=ids, what=st.sampled_from(["discard", "finish"]))
    def ask(self, job_id: str, what: StopRequest) -> None:
        before = self.stores[0].get(job_id)
        runs = self.states.get(job_id) is State.RUNNING
        heard = self.each(lambda store: store.request_stop(job_id, what))
        assert heard == bool(runs and before and before.asked != "discard")

    @precondition(lambda self: self.states)
    @rule(job_id=consumes(ids))
    def delete(self, job_id: str) -> None:
        state = self.states.get(job_id)
        ended = bool(state and state.ended)
        assert self.each(lambda store: store.delete(job_id)) == ended
        if ended:
            del self.states[job_id], self.logs[job_id]
            self.keys = {key: known for key, known in self.keys.items() if known != job_id}

    @rule()
    def restart(self) -> None:
        for store in self.stores:
            store.close()
        self.stores = [JobStore(url, self.server) for url in self.urls]

    @rule()
    def another_server_takes_over(self) -> None:
        gone, self.server = self.server, f"{self.server}+"
        for store in self.stores:
            store.server = self.server

        def take_over(store: JobStore) -> int:
            for job in store.unfinished(gone, State.RUNNING):
                store.take_over(job.id)
            return store.take_over_queued(gone)

        waiting = sum(state is State.QUEUED for state in self.states.values())
        assert self.each(take_over) == waiting

    @invariant()
    def agrees(self) -> None:
        kept = [Kept(store) for store in self.stores]
        assert all(each.rows == kept[0].rows for each in kept)
        assert {job_id: State(row[0]) for job_id, row in kept[0].rows.items()} == self.states
        for each in kept:
            assert each.logs == self.logs
            assert each.line == kept[0].line
        for job_id, kinds in self.logs.items():
            ends = [kind in TERMINAL_KINDS for kind in kinds]
            assert ends[-1] == self.states[job_id].ended
            # what ended stays so, but for a failed clip that is taken up once more
            for before, after, ended in zip(kinds, kinds[1:], ends, strict=False):
                assert not ended or (before, after) == ("failed", "requeued")

    def teardown(self) -> None:
        for store in self.stores:
            store.close()


class Kept:
    """Everything a store holds that has the same name everywhere; times differ."""

    def __init__(self, store: JobStore) -> None:
        named = (
            jobs.c.id,
            jobs.c.state,
            jobs.c.owner,
            jobs.c.server,
            jobs.c.attempts,
            jobs.c.asked,
        )
        with store.database.reading.begin() as tx:
            self.rows = {row[0]: tuple(row[1:]) for row in tx.execute(select(*named))}
            told = tx.execute(select(events).order_by(events.c.job_id, events.c.n)).all()
        self.logs: dict[str, list[str]] = {}
        for row in told:
            log = self.logs.setdefault(row.job_id, [])
            log.append(row.kind)
            assert row.n == len(log)
        self.line = store.queued_ids()


def answer(act: Callable[[JobStore], object], store: JobStore) -> object:
    try:
        return act(store)
    except KinoraError as error:
        return error.code


def empty(store: JobStore) -> None:
    with store.database.light.begin() as tx:
        for table in (keys, events, jobs):
            tx.execute(delete(table))


def run(urls: tuple[str, ...], examples: int, steps: int) -> type[StoreMachine]:
    """Returns the machine, which has counted what it did."""
    machine = type("Machine", (StoreMachine,), {"urls": urls})
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(machine, settings=how)
    return machine


def test_a_store_agrees_with_the_table_of_moves(tmp_path: Path) -> None:
    run((f"sqlite:///{tmp_path / 'kinora.db'}",), 20, 30)


@pytest.mark.slow
@pytest.mark.goal("G15")
def test_the_same_trace_leads_to_the_same_states_in_both_stores(goal: Goal, tmp_path: Path) -> None:
    """Any disagreement, with the model or with each other, fails the test with its trace."""
    postgres = PostgresServer()
    try:
        urls = (f"sqlite:///{tmp_path / 'kinora.db'}", postgres.database())
        machine = run(urls, rounds(5, 300), rounds(20, 50))
    finally:
        postgres.close()
    goal.count("traces, each on SQLite and PostgreSQL", machine.examples, at_least=rounds(5, 300))
    goal.count("steps", machine.steps)
    goal.count("steps after which they disagreed", 0, at_most=0)
