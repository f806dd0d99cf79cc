"""What people read while a clip is made."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError, split_sentence
from jobs.checkpoint import with_note
from jobs.event_types import Event, from_json
from jobs.job import Gone, Job, Result, State, new_id
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.request import Adjustment, GenerationRequest
from ui import job_view


@pytest.fixture
def job(tiny_cards: dict[str, ModelCard]) -> Job:
    request = GenerationRequest(prompt="a dog", seed=5)
    return Job(
        id=new_id(),
        owner="visitor:1",
        state=State.RUNNING,
        request=request,
        fitted=fit(request, tiny_cards["pocket"], Limits()),
        created_at=0.0,
    )


def log(job: Job, *lines: tuple[str, dict[str, Any]]) -> job_view.Progress:
    return job_view.Progress.of(
        Event(job.id, n, 0.0, from_json(kind, data)) for n, (kind, data) in enumerate(lines, 1)
    )


def line_after(job: Job, *lines: tuple[str, dict[str, Any]]) -> str:
    return job_view.line(job, log(job, *lines), None, None)


def test_each_phase_has_its_sentence(job: Job) -> None:
    assert line_after(job, ("queued", {}), ("started", {})) == "Loading the model"
    assert line_after(job, ("loading", {"fraction": 0.63})) == "Loading the model, 63 %"
    step = ("step", {"index": 7, "total": 20, "eta_s": 12.2})
    assert line_after(job, step) == "Step 7 of 20, 12 s left"
    assert line_after(job, step, ("decoding", {})) == "Decoding frames"
    assert line_after(job, step, ("decoding", {}), ("encoding", {})) == "Writing the file"


def test_a_download_is_told_in_gigabytes(job: Job) -> None:
    loading = ("loading", {"fraction": 0.1, "bytes_done": 1.26e9, "bytes_total": 12.4e9})
    assert line_after(job, loading) == "Downloading the model, 1.3 of 12.4 GB"
    assert line_after(job, loading, ("loading", {"fraction": 0.5})) == "Loading the model, 50 %"


def test_what_nobody_could_say_before_is_shown_with_the_clip(job: Job) -> None:
    snapped = Adjustment(field="width", asked=70, used=64, sentence="The width is 64.")
    instead = Adjustment(field="model", asked="far", used="pocket", sentence="Tiny made it.")
    tiled = Adjustment(field="decode", asked=None, used="tiles", sentence="In tiles.")
    fitted = job.fitted.model_copy(update={"adjustments": (instead, snapped)})
    result = Result(
        clip="clip.mp4", poster="p", last_frame="l", width=64, height=64, num_frames=9, fps=8,
        size_bytes=1, adjustments=(tiled,),
    )  # fmt: skip
    done = job.model_copy(update={"state": State.SUCCEEDED, "fitted": fitted, "result": result})
    view = job_view.view(done, job_view.Progress())
    assert view["surprises"] == ["Tiny made it.", "In tiles."]
    assert len(view["adjustments"]) == 3


def test_a_failed_decode_offers_to_develop_again(job: Job) -> None:
    kept = with_note(KinoraError(ErrorCode.DECODE)).as_dict()
    assert job_view.error_view(kept)["develop"] is True
    assert job_view.error_view(KinoraError(ErrorCode.DECODE).as_dict())["develop"] is False


@pytest.mark.parametrize(
    ("position", "wait_s", "sentence"),
    [
        (2, 40.0, "Waiting, 2 before you, about 40 s"),
        (0, 4.4, "Waiting, about 4 s"),
        (1, None, "Waiting, 1 before you"),
        (0, None, "Waiting for its turn"),
    ],
)
def test_waiting_says_how_long(position: int, wait_s: float | None, sentence: str) -> None:
    assert job_view.waiting_line(position, wait_s) == sentence


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.2, "1 s"), (59.4, "59 s"), (75, "1 min 15 s"), (120, "2 min"), (900, "15 min"),
     (5000, "1 h 23 min")],
)  # fmt: skip
def test_times_are_said_as_people_say_them(value: float, words: str) -> None:
    assert job_view.seconds(value) == words


def test_the_ring_only_ever_fills(job: Job) -> None:
    lines: list[tuple[str, dict[str, Any]]] = [("queued", {}), ("started", {})]
    lines += [("loading", {"fraction": f / 4}) for f in range(5)]
    lines += [("step", {"index": i, "total": 4}) for i in range(1, 5)]
    lines += [("decoding", {}), ("encoding", {}), ("succeeded", {})]
    rings = [log(job, *lines[:n]).ring for n in range(len(lines) + 1)]
    assert rings == sorted(rings)
    assert rings[-1] == 1.0


def test_a_job_made_again_starts_its_ring_anew(job: Job) -> None:
    progress = log(job, ("step", {"index": 3, "total": 4}), ("requeued", {}))
    assert progress.phase == "queued"
    assert progress.ring == 0.0


def test_a_view_says_what_was_used_and_never_who_asked(job: Job) -> None:
    view = job_view.view(job, job_view.Progress())
    assert view["used"]["seed"] == 5
    assert "visitor" not in str(view)


def test_the_preview_is_gone_once_the_clip_is_there(job: Job) -> None:
    progress = log(job, ("preview", {"number": 1, "frames": 5}))
    assert job_view.view(job, progress)["preview"] == {"number": 1, "frames": 5}
    result = Result(
        clip="clip.mp4", poster="poster.jpg", last_frame="last.png", width=64, height=64,
        num_frames=9, fps=8, size_bytes=1000, seconds={"total": 3.2}, finished_early=True,
    )  # fmt: skip
    done = job.model_copy(update={"state": State.SUCCEEDED, "result": result})
    view = job_view.view(done, progress)
    assert view["preview"] is None
    assert view["line"] == "Finished early. 1.1 s, made in 3 s"


def test_a_failure_tells_what_to_do(job: Job) -> None:
    error = KinoraError(ErrorCode.OUT_OF_MEMORY, action={"label": "Smaller", "set": {"width": 32}})
    failed = job.model_copy(update={"state": State.FAILED, "error": error.as_dict()})
    shown = job_view.view(failed, job_view.Progress())["error"]
    assert shown["message"] == "The memory was not enough."
    assert shown["remedy"] == "Make the clip smaller or shorter."
    assert shown["action"]["label"] == "Smaller"


def test_every_failure_has_a_sentence_of_what_happened_and_one_of_what_to_do() -> None:
    for code in ErrorCode:
        shown = job_view.error_view(KinoraError(code).as_dict())
        assert shown["message"].endswith(".")
        assert shown["message"].count(". ") == 0


def test_a_clip_that_went_is_told_and_not_played(job: Job) -> None:
    gone = Gone(why="space", at=1.0)
    result = Result(
        **{"clip": "c.mp4", "poster": "p.jpg", "last_frame": "l.png", "size_bytes": 1},
        **{"width": 64, "height": 64, "num_frames": 9, "fps": 8, "gone": gone},
    )
    went = job.model_copy(update={"state": State.SUCCEEDED, "result": result})
    view = job_view.view(went, log(went, ("succeeded", {})))
    assert (view["state"], view["line"]) == ("gone", "This clip is gone")
    assert view["error"]["message"] == gone.sentence
    assert "make it again" in view["error"]["remedy"]


# -- words ---------------------------------------------------------------------------------------

QUOTA = (
    "You have exceeded your free ZeroGPU quota (12s requested vs. 3s left). "
    "Try again in 1:00:00. Subscribe to Hugging Face PRO - https://huggingface.co/subscribe/pro"
)


@pytest.mark.parametrize(
    ("message", "happened", "remedy"),
    [
        (QUOTA, QUOTA.partition(" Try")[0], QUOTA.partition("left). ")[2]),
        ("It needs 12 s vs. 3 s left. Use less.", "It needs 12 s vs. 3 s left.", "Use less."),
        ("Too long (e.g. 9 s. No more). Cut it.", "Too long (e.g. 9 s. No more).", "Cut it."),
        ("It is 1.5 GB. Use a smaller one.", "It is 1.5 GB.", "Use a smaller one."),
        ("Is it “a. B”? Say so.", "Is it “a. B”?", "Say so."),
        ("Wait 5 min. Then try again.", "Wait 5 min.", "Then try again."),
        ("Use at most max. 12 frames. Or fewer.", "Use at most max. 12 frames.", "Or fewer."),
        ("No GPU was available", "No GPU was available.", ""),
        ("By J. Smith et al. in Paris. Ask them.", "By J. Smith et al. in Paris.", "Ask them."),
    ],
)
def test_a_sentence_is_never_cut_in_the_middle(message: str, happened: str, remedy: str) -> None:
    shown = job_view.error_view({"error": "rate_limited", "message": message})
    assert (shown["message"], shown["remedy"]) == (happened, remedy)


WORD = st.sampled_from(
    ["quota", "vs. 3", "e.g. this", "i.e. that", "1.5", "https://a.b/c.d", "(12s vs. 3s left)",
     "“One. Two”", "max. 9", "approx. 4 s", "v0.9.7", "model.safetensors", "[a. B]", "Mr. Xu"]
)  # fmt: skip
SENTENCE = st.lists(WORD, min_size=1, max_size=6).flatmap(
    lambda words: st.sampled_from(".?!").map(lambda end: f"The {' '.join(words)}{end}")
)


@given(st.lists(SENTENCE, min_size=1, max_size=4))
def test_sentences_are_split_at_the_first_end_whatever_dots_are_in_them(said: list[str]) -> None:
    first, rest = split_sentence(" ".join(said))
    assert first == said[0]
    assert rest == " ".join(said[1:])


@given(st.text())
def test_nothing_is_lost_by_splitting(text: str) -> None:
    first, rest = split_sentence(text)
    assert f"{first} {rest}".split() == text.split()


def test_an_error_without_words_still_has_some() -> None:
    for nothing in (None, ""):
        shown = job_view.error_view({"error": "unavailable", "message": nothing})
        assert shown["message"] == "This is not available right now."
        assert "None" not in f"{shown['message']} {shown['remedy']}"


def test_nothing_is_said_to_load_while_a_queue_waits(job: Job) -> None:
    waiting = [("queued", {}), ("started", {}), ("waiting_for_gpu", {"reason": None})]
    assert line_after(job, *waiting) == "Waiting for a GPU"
    slots = ("waiting_for_gpu", {"reason": "concurrency"})
    assert line_after(job, *waiting, slots).startswith("Waiting for a GPU: ")
    assert line_after(job, *waiting, ("loading", {"phase": "x"})) == "Loading the model"
    again = [*waiting, ("requeued", {"message": "The page closed."})]
    queued = job.model_copy(update={"state": State.QUEUED})
    assert job_view.line(queued, log(queued, *again), 0, None) == "Waiting for its turn"
