"""Whatever is done to a store in whatever order, it agrees with the table of moves."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

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
)

from errors import ErrorCode, KinoraError
from jobs.job import MOVES, TERMINAL_KINDS, Job, State, new_id
from jobs.store import JobStore
from pipelines.request import FittedRequest, Focus, GenerationRequest, Task

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
KINDS = {
    State.QUEUED: "requeued",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}
PER_OWNER = 6


class StoreMachine(RuleBasedStateMachine):
    """The model is a dict of states; the store must agree after every step."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.url = self.new_url()
        self.store = JobStore(self.url)
        self.states: dict[str, State] = {}
        self.logs: dict[str, list[str]] = {}
        self.owners: dict[str, str] = {}

    def new_url(self) -> str:
        """An empty database."""
        return f"sqlite:///{Path(self.folder.name) / 'kinora.db'}"

    @rule(target=ids, owner=st.sampled_from("ab"))
    def submit(self, owner: str) -> object:
        job = Job(
            id=new_id(),
            owner=owner,
            state=State.QUEUED,
            request=GenerationRequest(prompt="a dog"),
            fitted=FITTED,
            created_at=time.time(),
        )
        unfinished = [i for i, s in self.states.items() if not s.ended and self.owners[i] == owner]
        try:
            self.store.add(job, max_queue=100, max_per_owner=PER_OWNER)
        except KinoraError as error:
            assert error.code is ErrorCode.RATE_LIMITED
            assert len(unfinished) == PER_OWNER
            return multiple()
        assert len(unfinished) < PER_OWNER
        self.states[job.id] = State.QUEUED
        self.logs[job.id] = ["queued"]
        self.owners[job.id] = owner
        return job.id

    @rule()
    def claim(self) -> None:
        job = self.store.claim()
        waiting = {i for i, s in self.states.items() if s is State.QUEUED}
        if job is None:
            assert not waiting
            return
        assert job.id in waiting
        self.states[job.id] = State.RUNNING
        self.logs[job.id].append("started")

    @rule(job_id=ids, before=st.sampled_from(State), after=st.sampled_from(list(KINDS)))
    def move(self, job_id: str, before: State, after: State) -> None:
        try:
            moved = self.store.move(job_id, before, after, KINDS[after])
        except KinoraError as error:
            assert error.code is ErrorCode.CONFLICT
            assert after not in MOVES[before]
            return
        assert after in MOVES[before]
        assert (moved is not None) == (self.states.get(job_id) is before)
        if moved:
            assert moved.state is after
            self.states[job_id] = after
            self.logs[job_id].append(KINDS[after])

    @rule(job_id=ids)
    def progress(self, job_id: str) -> None:
        event = self.store.append(job_id, "step", {})
        assert (event is not None) == (self.states.get(job_id) is State.RUNNING)
        if event:
            self.logs[job_id].append("step")

    @rule(job_id=ids, what=st.sampled_from(["discard", "finish"]))
    def ask(self, job_id: str, what: str) -> None:
        before = self.store.get(job_id)
        heard = self.store.ask(job_id, what)  # type: ignore[arg-type]
        runs = self.states.get(job_id) is State.RUNNING
        assert heard == bool(runs and before and before.asked != "discard")

    @precondition(lambda self: self.states)
    @rule(job_id=consumes(ids))
    def delete(self, job_id: str) -> None:
        state = self.states.get(job_id)
        assert self.store.delete(job_id) == bool(state and state.ended)
        if state and state.ended:
            del self.states[job_id], self.logs[job_id]

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = JobStore(self.url)

    @invariant()
    def agrees(self) -> None:
        assert self.store.among(self.states) == self.states
        for job_id, kinds in self.logs.items():
            log = self.store.events(job_id)
            assert [e.kind for e in log] == kinds
            assert [e.n for e in log] == list(range(1, len(kinds) + 1))
            ends = [e.kind in TERMINAL_KINDS for e in log]
            assert ends[-1] == self.states[job_id].ended
            # what ended stays so, but for a failed clip that is taken up once more
            for before, after, ended in zip(kinds, kinds[1:], ends, strict=False):
                assert not ended or (before, after) == ("failed", "requeued")

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
