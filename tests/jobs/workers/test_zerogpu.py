"""What is asked of ZeroGPU and what its answers mean, and clips whose web request is gone."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from jobs.job import Job, State, new_id
from jobs.queue import Waiting
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers import zerogpu
from jobs.workers.inline import InlineExecutor
from jobs.workers.zerogpu import QUOTA_S, Level, Levels, Seconds, Watch
from jobs.workers.zerogpu_grants import Grants
from jobs.zerogpu_requests import IDLE_S, Drivers
from pipelines.models.cards import load_cards
from pipelines.models.fit import Limits, fit
from pipelines.planning import ClipShape, Machine, Planner
from pipelines.request import GenerationRequest, Task
from settings import ROOT, Settings
from tests.jobs.conftest import until
from web.metrics import Metrics

LEVELS: list[Level] = ["anonymous", "regular", "pro"]
CHARGES = [1.0, 1.5, 2.0]
ME = "visitor:me"

seconds = st.floats(0.1, 5000).flatmap(
    lambda needed: st.floats(needed, 2 * needed + 60).map(lambda wanted: Seconds(wanted, needed))
)


# -- what is asked for ---------------------------------------------------------------------------


@given(seconds, st.sampled_from(LEVELS), st.sampled_from(CHARGES))
def test_what_is_asked_for_stays_under_the_cap_of_a_known_caller(
    clip: Seconds, level: Level, charge: float
) -> None:
    asked = zerogpu.first_request_s(clip, level, charge)
    if asked is None:
        assert clip.needed * charge > min(QUOTA_S[level], zerogpu.LONGEST_S * charge) - charge
        return
    assert asked >= max(1, clip.needed)
    assert asked * charge <= max(QUOTA_S[level], charge)
    assert asked <= math.ceil(clip.wanted)


@given(seconds, st.sampled_from(CHARGES))
def test_what_an_unknown_caller_asks_for_is_never_illegal_for_a_free_account(
    clip: Seconds, charge: float
) -> None:
    """Where such an account can make the clip at all."""
    asked = zerogpu.first_request_s(clip, None, charge)
    if math.ceil(clip.needed) * charge <= QUOTA_S["regular"]:
        assert asked is not None
        assert asked * charge <= max(QUOTA_S["regular"], charge)


@given(
    seconds,
    st.sampled_from([None, *LEVELS]),
    st.sampled_from(LEVELS),
    st.floats(0, 3000),
    st.sampled_from(CHARGES),
)
def test_asking_ends_and_a_clip_that_can_be_granted_is(
    clip: Seconds, believed: Level | None, true: Level, left: float, charge: float
) -> None:
    """Played against the device API's own rule. Each time less is asked for."""
    asks: list[int] = []
    ask: int | None = zerogpu.first_request_s(clip, believed, charge)
    granted = False
    while ask is not None and not granted:
        assert not asks or ask < asks[-1]
        asks.append(ask)
        watch = Watch(level=true, left_s=math.floor(left))
        if ask * charge > QUOTA_S[true]:
            watch.outcome, watch.wait_s = "illegal", -1
        elif ask * charge > watch.left_s:
            watch.outcome, watch.wait_s = "quota", 3600
        else:
            granted = True
            break
        ask = zerogpu.next_request_s(watch, ask, clip, charge)
        sentence = zerogpu.refusal(watch.outcome, watch, asks[-1], charge).message
        assert "Use fewer frames or steps" in sentence
    assert len(asks) <= 4
    needed = math.ceil(clip.needed)
    can_be = needed * charge <= min(QUOTA_S[true], math.floor(left))
    if can_be and needed <= zerogpu.most_s(believed or "pro", charge):
        assert granted
    if granted:
        assert asks[-1] * charge <= QUOTA_S[true]


def test_what_360_s_were_is_granted_to_a_free_account() -> None:
    """240 s, times 1.5, were more than its whole day, and illegal for ever."""
    long = Seconds(wanted=240, needed=150)
    assert zerogpu.first_request_s(long, None, 1.5) == 200  # 300 s as it counts
    anonymous = Watch(outcome="illegal", wait_s=-1, level="anonymous")
    assert zerogpu.next_request_s(anonymous, 200, long, 1.5) is None, "not enough for this clip"
    sentence = zerogpu.refusal("illegal", anonymous, 200, 1.5).message
    assert "Use fewer frames or steps, or log in to Hugging Face" in sentence
    short = Seconds(wanted=240, needed=60)
    assert zerogpu.next_request_s(anonymous, 200, short, 1.5) == 80


def test_a_callers_level_is_remembered_and_the_oldest_forgotten() -> None:
    levels = Levels()
    for n in range(zerogpu.KNOWN_CALLERS + 5):
        levels.learn(f"visitor:{n}", "pro")
    levels.learn("visitor:new", None)
    assert levels.get("visitor:0") is None
    assert levels.get(f"visitor:{zerogpu.KNOWN_CALLERS}") == "pro"
    assert levels.get("visitor:new") is None


class Raised(Exception):
    def __init__(self, title: str, message: str) -> None:
        self.title, self.message = title, message
        super().__init__(message)


@pytest.mark.parametrize(
    ("title", "message", "outcome"),
    [
        ("ZeroGPU client error", "Expired ZeroGPU proxy token", "expired"),
        ("ZeroGPU client error", "No GPU was available", "busy"),
        ("ZeroGPU queue timeout", "No GPU was available after 60s", "busy"),
        ("ZeroGPU illegal duration", "The requested GPU duration (360s) is larger", "illegal"),
        ("ZeroGPU quota exceeded", "You have exceeded your free ZeroGPU quota (12s requested vs. "
         "3s left). Try again in 1:00:00. ", "quota"),
        ("ZeroGPU quota exceeded", "You have exceeded your ZeroGPU runs limit. ", "runs"),
        ("ZeroGPU pending credits exceeded", "You have too many ZeroGPU credits", "pending"),
        ("ZeroGPU worker error", "GPU task aborted", "aborted"),
        ("ZeroGPU worker error", "RuntimeError", "error"),
        ("", "Connection closed by visitor while queueing", "closed"),
        ("", "Connection closed by visitor on queue success", "closed"),
    ],
)  # fmt: skip
def test_without_the_device_apis_own_answer_the_words_of_spaces_are_read(
    title: str, message: str, outcome: str
) -> None:
    assert zerogpu.outcome_of(Raised(title, message), Watch()) == outcome


@pytest.mark.parametrize("level", [None, *LEVELS])
@pytest.mark.parametrize(
    "outcome", ["quota", "runs", "pending", "illegal", "expired", "busy", "error"]
)
def test_every_refusal_says_what_happened_and_what_to_do(
    outcome: zerogpu.Outcome, level: Level | None
) -> None:
    watch = Watch(level=level, left_s=3, wait_s=3600 if outcome == "quota" else 0)
    error = zerogpu.refusal(outcome, watch, 12, 1.5)
    assert error.message.count(". ") >= 1
    assert error.message.endswith(".")
    assert "vs." not in error.message
    assert "None" not in error.message


# -- which GPU -----------------------------------------------------------------------------------


def test_the_whole_gpu_is_asked_for_by_the_cards_that_need_it_and_only_those() -> None:
    """48 GB is half of it; whatever fits there, with tiles if need be, takes the simple quota."""
    machine = Machine(
        ram_gb=64, free_disk_gb=900, gpu_name="ZeroGPU", vram_gb=48.0, xlarge_vram_gb=96.0
    )
    settings = Settings(_env_file=None, zero_gpu=True)  # pyright: ignore[reportCallIssue]
    cards = load_cards(ROOT / "presets" / "models")
    planner = Planner(settings, machine)
    whole = 0
    for card in cards.values():
        verdict = planner.verdict(card)
        half = Planner(settings, Machine(ram_gb=64, free_disk_gb=900, gpu_name="ZeroGPU",
                                         vram_gb=48.0)).plan(card)  # fmt: skip
        assert verdict.plan.gpu_size == ("large" if half.fits else "xlarge")
        limit = {"large": 48.0, "xlarge": 96.0}[str(verdict.plan.gpu_size)]
        assert verdict.plan.fits == (verdict.plan.vram_gb <= limit * 0.96)
        assert ("twice the quota" in verdict.sentence) == (not half.fits and verdict.fits)
        whole += not half.fits
    assert 5 < whole < len(cards) / 2

    grants = Grants(lambda *_: None, Drivers(), cards, settings)
    grants._planner = planner
    sizes = {name: grants.size_for(a_job(name, cards)) for name in ("pocket", "kandinsky-5-pro")}
    assert sizes == {"pocket": None, "kandinsky-5-pro": "xlarge"}


def a_job(model: str, cards: Any) -> Job:
    request = GenerationRequest(prompt="a dog", model=model, seed=1)
    return Job(id=new_id(), owner=ME, state=State.QUEUED, request=request,
               fitted=fit(request, cards[model], Limits()), created_at=time.time())  # fmt: skip


def test_a_gpu_of_ones_own_has_no_sizes() -> None:
    machine = Machine(ram_gb=64, free_disk_gb=900, gpu_name="A10G", vram_gb=24.0)
    card = load_cards(ROOT / "presets" / "models")["pocket"]
    settings = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
    assert Planner(settings, machine).plan(card, ClipShape.default(card)).gpu_size is None


# -- clips that nobody drives --------------------------------------------------------------------


@pytest.fixture
def resting(tiny_settings: Settings) -> Iterator[JobService]:
    """Accepts clips as on ZeroGPU, and makes none."""
    settings = tiny_settings.model_copy(
        update={"zero_gpu": True, "max_jobs_per_visitor": 2, "max_queue": 3}
    )
    service = JobService(
        JobStore(settings.database_url),
        InlineExecutor(settings),
        load_cards(settings.models_dir),
        settings,
    )
    yield service
    service.close(0)


def driven(service: JobService, owner: str = ME) -> Job:
    job = service.submit(GenerationRequest(prompt="a dog", seed=1), owner)
    service.drive(job.id)
    return job


def lose(service: JobService, job: Job) -> None:
    """As when its page closed, or its token expired."""
    drivers = service._executor.drivers
    assert drivers is not None
    drivers.drop(job.id, drivers.newest(job.id))


def test_a_clip_that_nobody_drives_counts_for_no_limit_no_position_and_no_metric(
    resting: JobService,
) -> None:
    left = [driven(resting), driven(resting)]
    with pytest.raises(KinoraError) as refused:
        driven(resting)
    assert refused.value.code is ErrorCode.RATE_LIMITED
    for job in left:
        lose(resting, job)

    assert resting.health()["queued"] == 0
    assert resting.oldest_waiting_s() == 0.0
    text = Metrics(resting).text().decode()
    assert "kinora_queue_depth 0.0" in text
    assert "kinora_queue_oldest_seconds 0.0" in text
    mine = [driven(resting), driven(resting)]
    time.sleep(1.1)  # the line is read at most once a second
    assert resting.position(mine[0].id) == 0
    other = driven(resting, "visitor:other")  # the queue of three is not full with five in it
    assert resting.position(other.id) == 1
    with pytest.raises(KinoraError) as full:
        driven(resting, "visitor:third")
    assert full.value.code is ErrorCode.QUEUE_FULL
    assert resting.health()["queued"] == 3

    resting.drive(left[0].id)  # somebody is back
    assert resting.health()["queued"] == 4


def test_a_page_is_asked_to_drive_what_has_no_request_or_an_old_one(
    resting: JobService, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = driven(resting)
    assert not resting.needs_new_request(job)
    assert resting.waits_for(job) is None
    monkeypatch.setattr("jobs.zerogpu_requests.REFRESH_S", 0.0)
    assert resting.needs_new_request(job), "its token gets old"
    lose(resting, job)
    assert resting.needs_new_request(job)
    assert resting.waits_for(job) == "caller"
    resting.cancel(job.id)
    assert not resting.needs_new_request(resting.get(job.id))


def test_a_clip_from_before_a_restart_is_nobodys_until_it_is_driven(
    resting: JobService, tmp_path: Path
) -> None:
    drivers = Drivers()
    old = Waiting("a" * 32, ME, time.time() - 3600)
    fresh = Waiting("b" * 32, ME, time.time())
    assert drivers.idle([old, fresh]) == {old.id}
    assert drivers.idle_too_long([old, fresh]) == set(), "its page has some minutes to come back"
    drivers.add(old.id)
    assert drivers.idle([old]) == set()


def test_the_newest_request_is_used_and_outlives_the_one_before(resting: JobService) -> None:
    drivers = Drivers()
    drivers.add("job")
    used = drivers.newest("job")
    drivers.add("job")
    newer = drivers.newest("job")
    assert newer is not used
    drivers.drop("job", used)  # the old page closed
    assert drivers.newest("job") is newer
    assert drivers.known() == {"job"}
    drivers.forget(["job"])
    assert drivers.drivable() == drivers.known() == set()


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["lend", "drop", "old", "touch"])),
        max_size=30,
    )
)
def test_a_clip_is_never_idle_and_driven_at_once(steps: list[tuple[str, str]]) -> None:
    drivers, lent, dropped = Drivers(), set[str](), set[str]()
    stale: Any = None
    for job, step in steps:
        match step:
            case "lend":
                stale = drivers.newest(job)
                drivers.add(job)
                lent.add(job)
                dropped.discard(job)
            case "drop" if job in lent:
                drivers.drop(job, drivers.newest(job))
                lent.discard(job)
                dropped.add(job)
            case "old" if stale is not None:
                drivers.drop(job, stale)
            case _:
                drivers.touch(job)
        waiting = [Waiting(name, ME, time.time()) for name in "abc"]
        assert drivers.drivable() == lent
        assert drivers.idle(waiting) == dropped
        assert not drivers.idle_too_long(waiting)
        assert all(drivers.wants_request(name) == (name not in lent) for name in "abc")
    assert drivers.idle_s == IDLE_S


@pytest.mark.slow
def test_a_clip_that_nobody_drives_expires_with_a_sentence(tiny_settings: Settings) -> None:
    settings = tiny_settings.model_copy(update={"zero_gpu": True, "previews": False})
    executor = InlineExecutor(settings)
    executor.drivers = Drivers(idle_s=1.0)
    cards = load_cards(settings.models_dir)
    with JobService(JobStore(settings.database_url), executor, cards, settings) as service:
        job = service.submit(GenerationRequest(prompt="a dog", seed=1), ME)
        executor.drivers.add(job.id)
        lose(service, job)
        until(lambda: service.get(job.id).state is State.FAILED)
        error = service.get(job.id).error
        assert error and error["error"] == "timeout"
        assert "Make it again, and keep the page open" in error["message"]
        assert [e.kind for e in service.watch(job.id)] == ["queued", "failed"]
        # and one that is driven is made, without `spaces` having a GPU to wait for
        made = driven(service)
        until(lambda: service.get(made.id).state.ended)
        assert service.get(made.id).state is State.SUCCEEDED


@pytest.mark.slow
def test_a_clip_from_before_a_restart_whose_model_is_not_loaded_takes_nobodys_quota(
    tiny_settings: Settings,
) -> None:
    settings = tiny_settings.model_copy(update={"zero_gpu": True})
    executor = InlineExecutor(settings)
    cards = load_cards(settings.models_dir)
    gone = cards["pocket"].model_copy(update={"id": "gone"})
    with JobService(JobStore(settings.database_url), executor, cards, settings) as service:
        job = a_job("gone", {"gone": gone})
        service._store.add(job, max_queue=9, max_per_owner=9)
        service.drive(job.id)
        until(lambda: service.get(job.id).state.ended)
        error = service.get(job.id).error
        assert error and error["error"] == "model_load"
    assert Task.TEXT_TO_VIDEO in gone.tasks
