"""Estimates learn from the clips that were made here."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from jobs.estimate import Estimator
from jobs.job import Job, Result
from jobs.store import JobStore
from pipelines.cards import ModelCard
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


def made(job: Job, seconds: dict[str, float], steps_done: int | None = None) -> Job:
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


def test_what_was_learned_on_another_machine_does_not_count(
    store: JobStore,
    light_cards: dict[str, ModelCard],
    estimator: Estimator,
    make_job: Callable[..., Job],
) -> None:
    job = make_job()
    Estimator(store, light_cards, machine="another").learn(made(job, seconds_of(job)))
    assert not estimator.estimate(job.fitted).learned
