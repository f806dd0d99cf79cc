"""Estimates learn from the clips that were made here."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from jobs.estimate import Estimator
from jobs.job import Job, Result
from jobs.store import JobStore
from media.operations.edit_request import EditRequest
from pipelines.models.cards import ModelCard, Needs
from pipelines.planning import ClipShape, Machine, Planner
from settings import Settings
from tests.jobs.conftest import MakeJob


@pytest.fixture
def estimator(store: JobStore, light_cards: dict[str, ModelCard]) -> Estimator:
    return Estimator(store, light_cards, machine="this one")


def seconds_of(job: Job, exponent: float = 1.0) -> dict[str, float]:
    """A machine with a law: every phase grows with the number of pixels."""
    fitted = job.fitted
    pixels = fitted.width * fitted.height * fitted.num_frames
    work = pixels * (2 if fitted.guidance_scale > 1 else 1)
    return {
        "encode_prompt": 0.1,
        "denoise": fitted.num_inference_steps * 1e-6 * work**exponent,
        "decode": 2e-6 * pixels,
        "encode": 1e-6 * pixels,
    }


def made(job: Job, seconds: dict[str, float], steps_done: int | None = None, **more: Any) -> Job:
    fitted = job.fitted
    result = Result(
        clip="clip.mp4",
        poster="poster.jpg",
        last_frame="last.png",
        width=fitted.width,
        height=fitted.height,
        num_frames=fitted.num_frames,
        fps=fitted.fps,
        size_bytes=1,
        steps_done=steps_done,
        seconds=seconds,
        **more,
    )
    return job.model_copy(update={"result": result})


def test_before_the_first_clip_it_is_a_guess_with_a_wide_span(
    estimator: Estimator, make_job: MakeJob
) -> None:
    guess = estimator.estimate(make_job().fitted)
    assert not guess.learned
    assert 0 < guess.low < guess.seconds < guess.high
    assert guess.high / guess.low > 4


def test_after_one_clip_the_same_again_is_known(estimator: Estimator, make_job: MakeJob) -> None:
    job = make_job()
    estimator.learn(made(job, seconds_of(job)))
    estimate = estimator.estimate(job.fitted)
    assert estimate.learned
    assert estimate.seconds == pytest.approx(sum(seconds_of(job).values()), rel=1e-3)
    assert estimate.low < estimate.seconds < estimate.high
    expected_tail = seconds_of(job)["decode"] + seconds_of(job)["encode"]
    assert estimate.tail_s == pytest.approx(expected_tail)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 128, "height": 128},
        {"num_frames": 33},
        {"num_inference_steps": 40},
        {"guidance_scale": 1.0},
        {"width": 32, "height": 32, "num_frames": 5, "num_inference_steps": 2},
    ],
)
def test_one_clip_teaches_about_other_settings(
    estimator: Estimator, make_job: MakeJob, change: dict[str, object]
) -> None:
    job, other = make_job(), make_job(**change)
    estimator.learn(made(job, seconds_of(job)))
    estimate = estimator.estimate(other.fitted)
    assert estimate.seconds == pytest.approx(sum(seconds_of(other).values()), rel=0.05)


def test_with_two_sizes_it_learns_how_time_grows(estimator: Estimator, make_job: MakeJob) -> None:
    for side in (64, 96):
        job = make_job(width=side, height=side)
        estimator.learn(made(job, seconds_of(job, exponent=1.5)))
    large = make_job(width=128, height=128)
    actual = sum(seconds_of(large, exponent=1.5).values())
    assert estimator.estimate(large.fitted).seconds == pytest.approx(actual, rel=0.05)


def noisy(job: Job, rng: random.Random) -> dict[str, float]:
    return {phase: s * rng.uniform(0.9, 1.15) for phase, s in seconds_of(job).items()}


def test_a_clip_that_took_very_long_once_does_not_spoil_it(
    estimator: Estimator, make_job: MakeJob
) -> None:
    rng = random.Random(1)
    job = make_job()
    for turn in range(12):
        slow = 20.0 if turn in (3, 11) else 1.0
        seconds = {phase: slow * s for phase, s in noisy(job, rng).items()}
        estimator.learn(made(make_job(), seconds))
    actual = sum(seconds_of(job).values())
    estimate = estimator.estimate(job.fitted)
    assert estimate.seconds == pytest.approx(actual, rel=0.15)
    assert estimate.low < actual < estimate.high


def test_a_clip_whose_end_is_handled_twice_counts_once(
    estimator: Estimator, make_job: MakeJob
) -> None:
    """Its server may be killed before it has stored that the job succeeded."""
    edit = EditRequest(clips=("a" * 32,), operations=())
    for job in (make_job(), make_job().model_copy(update={"edit": edit})):
        ended = made(job, seconds_of(job) | {"total": 1.0})
        for _ in range(2):
            estimator.learn(ended)
        assert estimator.estimate(job.fitted, job.edit).learned


def test_it_grows_surer_with_experience(estimator: Estimator, make_job: MakeJob) -> None:
    def span() -> float:
        estimate = estimator.estimate(make_job().fitted)
        return estimate.high / estimate.low

    spans = [span()]
    for _ in range(8):
        job = make_job()
        estimator.learn(made(job, seconds_of(job)))
        spans.append(span())
    assert spans == sorted(spans, reverse=True)
    assert spans[-1] < 1.5


def test_it_follows_a_machine_that_changes(estimator: Estimator, make_job: MakeJob) -> None:
    job = make_job()
    for slow in [1.0] * 30 + [3.0] * 30:
        seconds = {phase: slow * s for phase, s in seconds_of(job).items()}
        estimator.learn(made(make_job(), seconds))
    actual = 3 * sum(seconds_of(job).values())
    assert estimator.estimate(job.fitted).seconds == pytest.approx(actual, rel=0.05)


def test_a_clip_that_was_finished_early_counts_its_real_steps(
    estimator: Estimator, make_job: MakeJob
) -> None:
    job = make_job(num_inference_steps=20)
    full = seconds_of(job)
    estimator.learn(made(job, full | {"denoise": full["denoise"] / 4}, steps_done=5))
    assert estimator.estimate(job.fitted).seconds == pytest.approx(sum(full.values()), rel=1e-3)


def test_a_clip_that_was_finished_early_under_load_changes_little(
    estimator: Estimator, make_job: MakeJob
) -> None:
    """It was seen to rise from 12 s to 54 s: one slow step counted as much as twenty others."""
    job = make_job(num_inference_steps=20)
    full = seconds_of(job)
    estimator.learn(made(job, full, steps_done=20))
    hurried = full | {"denoise": full["denoise"] / 20 * 2 * 6}  # two steps, six times as slow
    estimator.learn(made(make_job(num_inference_steps=20), hurried, steps_done=2))
    assert estimator.estimate(job.fitted).seconds < 1.2 * sum(full.values())


def test_the_first_step_of_a_short_run_does_not_count(
    estimator: Estimator, make_job: MakeJob
) -> None:
    job = make_job(num_inference_steps=20)
    full = seconds_of(job)
    step = full["denoise"] / 20
    slow_start = full | {"denoise": 9 * step + 2 * step}
    estimator.learn(made(job, slow_start, steps_done=3, step_s=step))
    assert estimator.estimate(job.fitted).seconds == pytest.approx(sum(full.values()), rel=1e-3)


def test_the_first_clip_after_loading_counts_only_while_there_is_no_other(
    estimator: Estimator, make_job: MakeJob
) -> None:
    job = make_job()
    full = seconds_of(job)
    slow = {phase: 8 * s for phase, s in full.items()}
    estimator.learn(made(job, slow, cold=True))
    assert estimator.estimate(job.fitted).seconds == pytest.approx(sum(slow.values()), rel=1e-3)
    estimator.learn(made(make_job(), full))
    assert estimator.estimate(job.fitted).seconds == pytest.approx(sum(full.values()), rel=1e-3)


def test_nothing_is_learned_from_a_clip_that_was_not_made(
    estimator: Estimator, make_job: MakeJob
) -> None:
    job = make_job()
    estimator.learn(job)
    estimator.learn(made(job, {"load": 1.0, "decode": 3.0}))
    assert not estimator.estimate(job.fitted).learned


# -- models that never ran here, and memory ------------------------------------------------------


@pytest.fixture
def here() -> Planner:
    machine = Machine(ram_gb=200, free_disk_gb=500, cpu_count=8)
    return Planner(Settings(_env_file=None), machine)  # pyright: ignore[reportCallIssue]


LARGE = {"ram_gb": 20, "disk_gb": 20, "billions": {"transformer": 2.0, "text_encoder": 4.7}}


def test_a_model_that_never_ran_here_is_guessed_from_its_parameters(
    store: JobStore, light_cards: dict[str, ModelCard], make_job: MakeJob, here: Planner
) -> None:
    small = light_cards["pocket"]
    cards = {
        name: small.model_copy(
            update={"needs": Needs.model_validate(LARGE | {"billions": {"transformer": b}})}
        )
        for name, b in (("one", 1.0), ("ten", 10.0))
    }
    estimator = Estimator(store, cards, "this one", here)
    fitted = make_job().fitted
    one, ten = (estimator.estimate(fitted.model_copy(update={"model": m})) for m in cards)
    assert not one.learned and not one.memory_learned
    assert ten.seconds > 3 * one.seconds
    assert one.memory_gb and ten.memory_gb and ten.memory_gb > one.memory_gb
    assert one.memory_of == "ram"
    assert one.high / one.low > 4


def test_other_models_clips_make_the_guess_better(
    store: JobStore, light_cards: dict[str, ModelCard], make_job: MakeJob, here: Planner
) -> None:
    small = light_cards["pocket"]
    large = small.model_copy(update={"id": "large", "needs": Needs.model_validate(LARGE)})
    estimator = Estimator(store, {"pocket": small, "large": large}, "this one", here)
    fitted = make_job().fitted.model_copy(update={"model": "large"})
    before = estimator.estimate(fitted).seconds
    job = make_job()
    step = here.speed(small, ClipShape.of(job.fitted)).step
    seconds = {"encode_prompt": 0.1, "denoise": 4 * step * 5, "decode": 0.1, "encode": 0.1}
    estimator.learn(made(job, seconds, step_s=step * 5))  # this machine is five times slower
    after = estimator.estimate(fitted)
    assert not after.learned
    assert after.seconds == pytest.approx(5 * before, rel=0.1)


def test_memory_is_learned_from_what_was_measured(
    store: JobStore, light_cards: dict[str, ModelCard], make_job: MakeJob, here: Planner
) -> None:
    estimator = Estimator(store, light_cards, "this one", here)
    job = make_job()
    planned = estimator.estimate(job.fitted).memory_gb
    assert planned
    estimator.learn(made(job, seconds_of(job), peak_gb=planned * 1.5))
    learned = estimator.estimate(job.fitted)
    assert learned.memory_learned
    assert learned.memory_gb == pytest.approx(planned * 1.5, rel=0.02)


def test_what_was_learned_on_another_machine_does_not_count(
    store: JobStore,
    light_cards: dict[str, ModelCard],
    estimator: Estimator,
    make_job: Callable[..., Job],
) -> None:
    job = make_job()
    Estimator(store, light_cards, machine="another").learn(made(job, seconds_of(job)))
    assert not estimator.estimate(job.fitted).learned


def test_a_clip_is_filed_under_the_machine_that_made_it(
    store: JobStore, light_cards: dict[str, ModelCard], make_job: MakeJob
) -> None:
    slow, fast = make_job(), make_job()
    here = Estimator(store, light_cards, machine="a server")
    here.learn(made(slow, {"denoise": 40.0}, machine="a slow one"))
    here.learn(made(fast, {"denoise": 4.0}, machine="a fast one"))
    assert not here.estimate(slow.fitted).learned, "the server itself makes no clips"

    def seconds(*machines: str) -> float:
        behind_redis = Estimator(store, light_cards)
        behind_redis.machines = lambda: machines or None
        return behind_redis.estimate(slow.fitted).seconds

    assert seconds("a slow one") > 39
    assert seconds("a fast one") < 5
    assert seconds("a fast one") < seconds() <= seconds("a slow one"), "nobody knows who will do it"


def test_a_clip_of_which_nobody_knows_where_it_was_made_teaches_nothing(
    store: JobStore, light_cards: dict[str, ModelCard], make_job: MakeJob
) -> None:
    job, estimator = make_job(), Estimator(store, light_cards)
    estimator.machines = lambda: ("one", "another")
    estimator.learn(made(job, {"denoise": 4.0}))
    assert not estimator.estimate(job.fitted).learned
    estimator.machines = lambda: ("one",)
    estimator.learn(made(job, {"denoise": 4.0}))
    assert estimator.estimate(job.fitted).learned
