from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, SourceClip, fit
from pipelines.models.selection import pick_card
from pipelines.request import FittedRequest, GenerationRequest, Task
from settings import Settings
from tests import tiny

LIMITS = Limits()
CARD = ModelCard.model_validate(tiny.CARD | {"repo": "./nowhere"})
CHOOSY = CARD.model_copy(
    update={
        "limits": CARD.limits.model_copy(update={"fps_choices": (8, 12, 24), "max_pixels": 96 * 96})
    }
)
IMAGE = "0" * 64


def ask(card: ModelCard = CARD, limits: Limits = LIMITS, **fields: Any) -> FittedRequest:
    return fit(GenerationRequest.model_validate({"prompt": "a dog", **fields}), card, limits)


def refusal(card: ModelCard = CARD, limits: Limits = LIMITS, **fields: Any) -> KinoraError:
    with pytest.raises(KinoraError) as caught:
        ask(card, limits, **fields)
    return caught.value


def optional(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | values


requests = st.builds(
    dict,
    prompt=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    image=optional(st.just(IMAGE)),
    seed=optional(st.integers(0, 2**32 - 1)),
    num_inference_steps=optional(st.integers(1, 60)),
    guidance_scale=optional(st.floats(0, 30)),
    width=optional(st.integers(16, 160)),
    height=optional(st.integers(16, 160)),
    num_frames=optional(st.integers(1, 50)),
    duration_s=optional(st.floats(0.01, 10)),
    fps=optional(st.integers(1, 30)),
)
pictures = st.none() | st.tuples(st.integers(1, 5000), st.integers(1, 5000))
limits_ = st.builds(
    Limits,
    max_duration_s=st.floats(0.5, 30),
    width=st.none() | st.integers(16, 500),
    num_frames=st.none() | st.integers(1, 500),
    fps=st.none() | st.integers(1, 120),
    num_inference_steps=st.none() | st.integers(1, 200),
)


@settings(max_examples=400)
@given(fields=requests, picture=pictures, limits=limits_, card=st.sampled_from([CARD, CHOOSY]))
def test_whatever_is_asked_the_answer_is_legal_explained_and_final(
    fields: dict[str, object],
    picture: tuple[int, int] | None,
    limits: Limits,
    card: ModelCard,
) -> None:
    request = GenerationRequest.model_validate(fields)
    try:
        fitted = fit(request, card, limits, source_size=picture)
    except KinoraError as refused:
        assert refused.message.endswith(".")
        return

    # legal
    m, rules = card.limits, card.rules
    sampled = fitted.windows.lengths if fitted.windows else (fitted.num_frames,)
    assert all(rules.frames.allows(count) for count in sampled)
    assert all(m.min_frames <= count <= m.max_frames for count in sampled)
    assert fitted.num_frames / fitted.fps <= limits.max_duration_s + 1e-6
    assert rules.size.allows(fitted.width)
    assert rules.size.allows(fitted.height)
    assert m.min_width <= fitted.width <= m.max_width
    assert m.min_height <= fitted.height <= m.max_height
    assert m.max_pixels is None or fitted.width * fitted.height <= m.max_pixels
    assert m.min_steps <= fitted.num_inference_steps <= m.max_steps
    assert m.min_guidance <= fitted.guidance_scale <= m.max_guidance
    assert m.min_fps <= fitted.fps <= m.max_fps
    assert not m.fps_choices or fitted.fps in m.fps_choices

    # explained: what was asked for and what is used differ only with a sentence
    told = {change.field for change in fitted.adjustments}
    for name in ("num_inference_steps", "guidance_scale", "width", "height", "num_frames", "fps"):
        asked = getattr(request, name)
        assert asked is None or name in told or getattr(fitted, name) == asked
    if request.duration_s is not None and request.num_frames is None and "fps" not in told:
        assert "duration_s" in told or math.isclose(fitted.duration_s, request.duration_s)
    for change in fitted.adjustments:
        assert change.used != change.asked
        assert change.sentence.endswith(".")

    # final
    again = fit(fitted.as_request(), card, limits, source_size=picture)
    parts = tuple(change for change in fitted.adjustments if change.field == "windows")
    assert again == fitted.model_copy(update={"adjustments": parts})


def test_an_empty_request_takes_the_cards_word() -> None:
    fitted = ask()
    assert (fitted.width, fitted.height, fitted.num_frames, fitted.fps) == (64, 64, 9, 8)
    assert fitted.num_inference_steps == 4
    assert fitted.adjustments == ()


def test_the_operators_defaults_come_before_the_cards_and_stay_within_its_limits() -> None:
    fitted = ask(limits=Limits(width=4000, num_frames=12, fps=12, num_inference_steps=7))
    assert (fitted.width, fitted.num_frames, fitted.fps) == (128, 13, 12)
    assert fitted.num_inference_steps == 7


def test_sizes_and_frames_are_snapped_and_said() -> None:
    fitted = ask(width=70, height=100, num_frames=10)
    assert (fitted.width, fitted.height, fitted.num_frames) == (64, 96, 11)
    assert [change.field for change in fitted.adjustments] == ["width", "height", "num_frames"]
    assert fitted.adjustments[0].sentence == (
        "The width is 64 instead of 70: Tiny works in steps of 32 pixels."
    )


def test_a_duration_becomes_the_nearest_number_of_frames() -> None:
    fitted = ask(duration_s=2)
    assert fitted.num_frames == 17
    assert fitted.adjustments[0].field == "duration_s"
    assert "2.12 s instead of 2 s" in fitted.adjustments[0].sentence


def test_a_seed_is_picked_where_none_is_given_and_differs_each_time() -> None:
    assert len({ask().seed for _ in range(8)}) > 1
    assert ask(seed=5).seed == 5


def test_an_unset_size_follows_the_pictures_shape() -> None:
    request = GenerationRequest(image=IMAGE)
    for source, expected in {
        (4000, 3000): (96, 64),
        (3000, 4000): (64, 96),
        (500, 500): (64, 64),
    }.items():
        fitted = fit(request, CARD, LIMITS, source_size=source)
        assert (fitted.width, fitted.height) == expected
        assert fitted.adjustments == ()


def test_a_picture_needs_no_words_but_a_text_does() -> None:
    assert ask(prompt="", image=IMAGE).task is Task.IMAGE_TO_VIDEO
    assert refusal(prompt="  ").details["field"] == "prompt"


def test_a_task_the_model_cannot_do_is_refused() -> None:
    card = CARD.model_copy(update={"tasks": (Task.TEXT_TO_VIDEO,)})
    assert refusal(card, image=IMAGE).code is ErrorCode.TASK_NOT_SUPPORTED


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"num_frames": 500}, ErrorCode.TOO_MANY_FRAMES, "30 s is the longest clip"),
        ({"duration_s": 90}, ErrorCode.TOO_MANY_FRAMES, "you asked for 90 s"),
        ({"num_frames": 2}, ErrorCode.INVALID_INPUT, "shortest"),
        ({"num_frames": 9, "duration_s": 3}, ErrorCode.INVALID_INPUT, "Leave one of the two"),
        ({"width": 512}, ErrorCode.INVALID_INPUT, "32 to 128 pixels"),
        ({"height": 16}, ErrorCode.INVALID_INPUT, "32 to 128 pixels"),
        ({"num_inference_steps": 51}, ErrorCode.INVALID_INPUT, "between 1 and 50"),
        ({"guidance_scale": 0.5}, ErrorCode.INVALID_INPUT, "between 1 and 10"),
        ({"fps": 60}, ErrorCode.INVALID_INPUT, "between 4 and 24"),
    ],
)
def test_the_impossible_is_refused_with_a_sentence(
    fields: dict[str, Any], code: ErrorCode, says: str
) -> None:
    error = refusal(**fields)
    assert error.code is code
    assert says in error.message


def test_a_refusal_offers_a_repair_that_works() -> None:
    wrong: list[dict[str, Any]] = [
        {"num_frames": 500},
        {"duration_s": 90},
        {"width": 512},
        {"guidance_scale": 30},
        {"fps": 30},
    ]
    for fields in wrong:
        error = refusal(**fields)
        assert error.action is not None
        ask(**(fields | error.action["set"]))
    error = refusal(CHOOSY, width=128, height=128)
    assert error.code is ErrorCode.TOO_LARGE
    assert error.action is not None
    ask(CHOOSY, **error.action["set"])


def test_the_installations_longest_clip_counts_too() -> None:
    error = refusal(limits=Limits(max_duration_s=1), num_frames=17)
    assert error.code is ErrorCode.TOO_MANY_FRAMES
    assert "7 frames" in error.message
    assert ask(limits=Limits(max_duration_s=1)).num_frames == 7


def test_frames_and_a_duration_that_agree_are_fine() -> None:
    assert ask(num_frames=17, duration_s=2.125).adjustments == ()


def test_frame_rates_come_from_the_models_choices() -> None:
    fitted = ask(CHOOSY, fps=11)
    assert fitted.fps == 12
    assert fitted.adjustments[0].field == "fps"


def test_a_model_is_found_by_id_or_repository_or_default(tiny_settings: Settings) -> None:
    cards = {"pocket": CARD}
    for name in ("pocket", "./nowhere", None):
        assert pick_card(GenerationRequest(prompt="x", model=name), cards, tiny_settings) is CARD
    with pytest.raises(KinoraError, match="Choose one of: pocket") as caught:
        pick_card(GenerationRequest(prompt="x", model="sora"), cards, tiny_settings)
    assert caught.value.code is ErrorCode.UNKNOWN_MODEL


# -- given clips ---------------------------------------------------------------------------------


@pytest.fixture
def over(tiny_cards: dict[str, ModelCard]) -> ModelCard:
    """The tiny card, as if it could work over a clip: 5 to 33 frames, 2k+1, 8 a second."""
    tasks = (Task.TEXT_TO_VIDEO, Task.VIDEO_TO_VIDEO)
    return tiny_cards["pocket"].model_copy(update={"tasks": tasks})


CLIP = "c" * 64


@pytest.mark.parametrize(
    ("seconds", "asked", "used", "says"),
    [
        (2.0, {}, 15, None),
        (2.0, {"num_frames": 9}, 9, None),
        (2.0, {"duration_s": 1}, 9, None),
        (2.0, {"num_frames": 31}, 15, "15 frames instead of 31: The clip lasts 2.0 s."),
        (10.0, {}, 33, "The first 4.1 s of the clip's 10.0 s are used"),
        (0.3, {}, 5, "The clip lasts 0.3 s; its last frame is held until 0.6 s"),
    ],
)
def test_a_given_clip_says_how_many_frames(
    over: ModelCard, seconds: float, asked: dict[str, float], used: int, says: str | None
) -> None:
    clip = SourceClip(width=300, height=200, seconds=seconds)
    request = GenerationRequest.model_validate({"prompt": "in oil", "video": CLIP, **asked})
    fitted = fit(request, over, Limits(), clip=clip)
    assert fitted.task is Task.VIDEO_TO_VIDEO
    assert fitted.num_frames == used
    assert (fitted.width, fitted.height) == (96, 64), "the clip's shape"
    told = [a.sentence for a in fitted.adjustments if a.field in ("num_frames", "duration_s")]
    assert (says or "") in "".join(told)
    assert bool(told) == bool(says) or "duration_s" in asked
    again = fit(fitted.as_request(), over, Limits(), clip=clip)
    assert again.model_copy(update={"adjustments": ()}) == fitted.model_copy(
        update={"adjustments": ()}
    )
    assert not again.adjustments


def test_working_over_a_clip_needs_words_and_a_model_that_can(
    over: ModelCard, tiny_cards: dict[str, ModelCard], tiny_settings: Settings
) -> None:
    assert "what the clip should become" in refusal(over, video=CLIP, prompt="").message
    spoken = GenerationRequest(video=CLIP, prompt="in oil")
    assert pick_card(spoken, {"pocket": over}, tiny_settings) is over
    with pytest.raises(KinoraError, match="No model here can work over"):
        pick_card(spoken, tiny_cards, tiny_settings)
    with pytest.raises(KinoraError, match="Tiny cannot work over a clip"):
        fit(spoken, tiny_cards["pocket"], Limits())


def test_strength_belongs_to_a_given_clip(over: ModelCard) -> None:
    request = GenerationRequest(prompt="in oil", video=CLIP)
    assert fit(request, over, Limits()).strength == 0.8
    asked = request.model_copy(update={"strength": 0.3})
    assert fit(asked, over, Limits()).strength == 0.3
    alone = GenerationRequest(prompt="in oil", strength=0.3)
    assert fit(alone, over, Limits()).strength is None
