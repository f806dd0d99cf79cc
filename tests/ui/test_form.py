"""The slate's controls and the request they ask for are two views of one thing."""

from __future__ import annotations

import pytest

from errors import KinoraError
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.request import GenerationRequest, Task
from settings import Settings
from ui import form as slate
from ui.form import Form

T2V, I2V, V2V = Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO, Task.VIDEO_TO_VIDEO


@pytest.fixture
def card(tiny_cards: dict[str, ModelCard]) -> ModelCard:
    return tiny_cards["pocket"]


def test_the_controls_stand_at_the_cards_defaults(card: ModelCard, tiny_settings: Settings) -> None:
    offer = slate.offer(card, T2V, tiny_settings)
    assert offer.form.shape == "64x64"
    assert offer.form.num_frames == 9
    assert offer.form.num_inference_steps == 4
    assert ("1:1 · 64×64", "64x64") in offer.shapes
    assert ("1.1 s", 9) in offer.lengths


def test_every_length_offered_is_one_the_model_makes(
    card: ModelCard, tiny_settings: Settings
) -> None:
    for fps in (4, 8, 24):
        for _, frames in slate.lengths(card, fps, tiny_settings.max_video_duration_s):
            request = GenerationRequest(prompt="a dog", num_frames=frames, fps=fps)
            made = fit(request, card, Limits())
            assert made.num_frames == frames
            assert [each.field for each in made.adjustments] == ["windows"] * (made.parts > 1)


def test_long_lengths_say_in_how_many_parts(card: ModelCard) -> None:
    lengths = slate.lengths(card, 8, 12.0)
    assert lengths[-3:] == [
        ("8.0 s · 8 parts", 64),
        ("10 s · 10 parts", 80),
        ("12 s · 12 parts", 96),
    ]


def test_a_model_without_pictures_and_a_clip_to_work_over_have_no_long_lengths(
    card: ModelCard,
) -> None:
    for which, task in ((card.model_copy(update={"tasks": (T2V,)}), T2V), (card, V2V)):
        counts = [count for _, count in slate.lengths(which, 8, 30.0, task=task)]
        assert max(counts) == card.limits.max_frames


def test_lengths_keep_to_the_longest_clip_allowed(card: ModelCard) -> None:
    assert max(frames for _, frames in slate.lengths(card, 8, 2.0)) <= 16


def test_a_picture_is_followed_unless_a_shape_is_chosen(
    card: ModelCard, tiny_settings: Settings
) -> None:
    form = slate.defaults(card, I2V, tiny_settings)
    picture = {"id": "a" * 64, "focus": {"x": 0.2, "y": 0.9}}
    request = slate.to_request(form, picture)
    assert (request.width, request.height) == (None, None)
    assert (request.focus.x, request.focus.y) == (0.2, 0.9)
    assert request.task is I2V


def test_what_is_read_can_be_written_back(card: ModelCard, tiny_settings: Settings) -> None:
    form = slate.defaults(card, T2V, tiny_settings).changed(
        prompt="a dog", shape="96x64", num_frames=13, seed="7", num_inference_steps=9,
        guidance_scale=1.5, fps=12, negative_prompt="rain", format="gif", quality="high",
    )  # fmt: skip
    assert slate.from_request(slate.to_request(form), card, tiny_settings) == form


@pytest.mark.parametrize("seed", ["twelve", "-2", "1.5", str(2**32), "１２", "4" * 30])
def test_a_seed_that_is_no_seed_is_refused_with_a_repair(seed: str) -> None:
    with pytest.raises(KinoraError, match="The seed is a whole number") as refused:
        slate.to_request(Form(prompt="a dog", seed=seed))
    assert refused.value.action
    assert slate.apply_repair(Form(seed=seed), refused.value.action["set"]).seed == ""


@pytest.mark.parametrize("seed", [None, "", "  ", "-1"])
def test_no_seed_means_a_new_one_each_time(seed: str | None) -> None:
    assert slate.to_request(Form(prompt="a dog", seed=seed)).seed is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        {"prompt": "x" * 3000},
        {"shape": "large"},
        {"num_inference_steps": 100_000},
        {"guidance_scale": float("nan")},
        {"format": "avi"},
        {"num_frames": "many"},
    ],
)
def test_what_a_client_could_forge_is_a_sentence_not_a_crash(bad: dict[str, object]) -> None:
    with pytest.raises(KinoraError) as refused:
        slate.to_request(Form(prompt="a dog").changed(**bad))  # type: ignore[arg-type]
    assert refused.value.message.endswith(".")


def test_a_forged_picture_is_refused() -> None:
    for picture in ({"id": "../../etc/passwd"}, {"id": "a" * 64, "focus": {"x": 7}}):
        with pytest.raises(KinoraError):
            slate.to_request(Form(prompt="a dog"), picture)


def test_a_repair_speaks_the_requests_words() -> None:
    form = Form(shape="64x64", num_frames=99, num_inference_steps=3)
    mended = slate.apply_repair(form, {"num_frames": 17, "duration_s": None, "width": 96})
    assert (mended.num_frames, mended.shape, mended.num_inference_steps) == (17, "96x64", 3)
    assert slate.apply_repair(form, {"prompt": "hijacked"}).prompt == ""


def test_a_length_the_list_does_not_have_is_added_to_it(
    card: ModelCard, tiny_settings: Settings
) -> None:
    request = GenerationRequest(prompt="a dog", num_frames=11, width=32, height=128)
    offer = slate.offer(card, T2V, tiny_settings, slate.from_request(request, card, tiny_settings))
    assert 11 in [frames for _, frames in offer.lengths]
    assert "32x128" in [size for _, size in offer.shapes]
