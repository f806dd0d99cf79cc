"""The slate follows the card: what fits is kept, what the model does not take is not asked."""

from __future__ import annotations

from typing import Any

import pytest

from errors import KinoraError
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.request import GenerationRequest, Task
from settings import Settings
from ui import form as slate
from ui.form import FOLLOW_PICTURE, LIKE_THE_CLIP, Form
from ui.model_picker import Models, download_gb, first_sentence, size_label

T2V, I2V, V2V = Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO, Task.VIDEO_TO_VIDEO


@pytest.fixture
def card(tiny_cards: dict[str, ModelCard]) -> ModelCard:
    return tiny_cards["pocket"]


def other(card: ModelCard, *, takes: dict[str, bool] | None = None, **changes: Any) -> ModelCard:
    """Another model: shorter clips, fewer steps, 24 frames a second, no 3:2."""
    parts = {
        "id": "other",
        "takes": takes or {},
        "limits": card.limits.model_copy(update={"max_frames": 25, "max_steps": 12, "max_fps": 30}),
        "defaults": card.defaults.model_copy(
            update={
                "num_inference_steps": 8,
                "fps": 24,
                "num_frames": 25,
                "negative_prompt": "dull",
            }
        ),
        "shapes": tuple(s for s in card.shapes if s.label != "3:2"),
    }
    return card.model_copy(update=parts | changes)


def svd(card: ModelCard) -> ModelCard:
    return other(card, family="svd", size=card.size)


def test_what_stood_at_the_old_defaults_stands_at_the_new_ones(
    card: ModelCard, tiny_settings: Settings
) -> None:
    form = slate.defaults(card, T2V, tiny_settings).changed(prompt="a dog", seed="7")
    moved = slate.adapt_to(form, card, other(card), T2V, tiny_settings)
    assert (moved.num_inference_steps, moved.fps, moved.num_frames) == (8, 24, 25)
    assert moved.negative_prompt == "dull"
    assert (moved.prompt, moved.seed, moved.model) == ("a dog", "7", "other")
    back = slate.adapt_to(moved, other(card), card, T2V, tiny_settings)
    assert back == form


def test_what_the_person_chose_is_kept_where_it_fits(
    card: ModelCard, tiny_settings: Settings
) -> None:
    chosen = slate.defaults(card, T2V, tiny_settings).changed(
        num_inference_steps=11, guidance_scale=4.5, negative_prompt="rain", fps=12, format="gif",
        quality="high",
    )  # fmt: skip
    moved = slate.adapt_to(chosen, card, other(card), T2V, tiny_settings)
    for name in (
        "num_inference_steps",
        "guidance_scale",
        "negative_prompt",
        "fps",
        "format",
        "quality",
    ):
        assert getattr(moved, name) == getattr(chosen, name)
    too_many = chosen.changed(num_inference_steps=40, fps=4)
    strict = other(card, limits=card.limits.model_copy(update={"max_steps": 12, "min_fps": 8}))
    moved = slate.adapt_to(too_many, card, strict, T2V, tiny_settings)
    assert (moved.num_inference_steps, moved.fps) == (8, 24)


def test_a_length_is_kept_in_seconds_and_a_shape_by_its_look(
    card: ModelCard, tiny_settings: Settings
) -> None:
    chosen = slate.defaults(card, T2V, tiny_settings).changed(num_frames=33, shape="96x64")  # 4.1 s
    moved = slate.adapt_to(chosen, card, other(card), T2V, tiny_settings)
    assert moved.num_frames == 96, "4 s at 24 frames a second, in several parts"
    assert moved.shape == "64x64", "the most similar of those it offers"
    same = slate.adapt_to(chosen, card, other(card, shapes=card.shapes), T2V, tiny_settings)
    assert same.shape == "96x64"


def test_hidden_controls_ask_for_nothing(card: ModelCard) -> None:
    form = Form(
        prompt="a dog", negative_prompt="rain", guidance_scale=4.0, strength=0.4,
        motion_bucket_id=200, sampler="euler", loras=[{"source": "oil", "weight": 1}],
        last_image="a" * 64,
    )  # fmt: skip
    silent = slate.only_supported(form, svd(card), I2V)
    assert (silent.prompt, silent.negative_prompt, silent.motion_bucket_id) == ("", None, 200)
    request = slate.to_request(silent, {"id": "b" * 64}, I2V)
    assert (request.sampler, request.loras, request.last_image) == (None, (), None)
    distilled = slate.only_supported(form, other(card, takes={"guidance": False}), T2V)
    assert (distilled.guidance_scale, distilled.motion_bucket_id, distilled.strength) == (
        None,
        None,
        None,
    )
    assert distilled.loras, "LTX takes them"
    ends = other(card, takes={"last_image": True})
    assert slate.only_supported(form, ends, I2V).last_image == "a" * 64
    assert slate.only_supported(form, ends, T2V).last_image is None


def test_twice_as_large_is_asked_only_of_those_that_can(
    card: ModelCard, tiny_settings: Settings
) -> None:
    form = slate.defaults(card, T2V, tiny_settings).changed(prompt="a dog", upscale=True)
    assert not slate.to_request(slate.only_supported(form, card, T2V)).upscale
    able = other(card, latent_upsampler="owner/name")
    assert slate.adapt_to(form, card, able, T2V, tiny_settings).upscale, "kept for the next model"
    request = slate.to_request(slate.only_supported(form, able, T2V))
    assert request.upscale
    assert slate.from_request(request, able, tiny_settings).upscale
    assert not slate.apply_repair(form, {"upscale": False}).upscale


def test_over_a_clip_shape_and_length_follow_it(card: ModelCard, tiny_settings: Settings) -> None:
    offer = slate.offer(card, V2V, tiny_settings)
    assert ("Like the clip", FOLLOW_PICTURE) in offer.shapes
    assert ("Like the clip", LIKE_THE_CLIP) in offer.lengths
    request = slate.to_request(offer.form.changed(prompt="in oil"), {"id": "c" * 64}, V2V)
    assert request.task is V2V
    assert (request.num_frames, request.width, request.image) == (None, None, None)
    assert request.strength == 0.8
    assert slate.from_request(request, card, tiny_settings) == offer.form.changed(prompt="in oil")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"source": "../x", "weight": 1}], "cannot be the name of a LoRA"),
        ([{"source": "oil", "weight": 9}], "between -4 and 4"),
        ([{"source": "oil", "weight": "much"}], "between -4 and 4"),
        (["oil"], "."),
        ([{"weight": 1, "source": {"a": 1}}], "cannot be the name of a LoRA"),
    ],
)
def test_a_lora_row_that_cannot_be_is_a_sentence(rows: list[Any], says: str) -> None:
    with pytest.raises(KinoraError) as refused:
        slate.to_request(Form(prompt="a dog", loras=rows))
    assert says in refused.value.message


def test_empty_rows_are_no_loras() -> None:
    assert slate.to_request(Form(prompt="a dog", loras=[{"source": "", "weight": 1}])).loras == ()


# -- the picker ----------------------------------------------------------------------------------


def test_those_that_run_here_come_first_and_each_tab_lists_its_own(
    card: ModelCard, tiny_settings: Settings
) -> None:
    needs = card.needs.model_copy(update={"ram_gb": 9000, "vram_gb": 9000})
    huge = other(card, id="a-huge", needs=needs)
    words = other(card, id="words", tasks=(T2V,))
    models = Models({"a-huge": huge, "words": words, "pocket": card}, tiny_settings)
    assert [row["id"] for row in models.offer(T2V)["models"]] == ["words", "pocket", "a-huge"]
    assert [row["id"] for row in models.offer(I2V)["models"]] == ["pocket", "a-huge"]
    assert models.offer(T2V)["models"][-1]["level"] == "no"
    fitted = fit(GenerationRequest(prompt="a dog"), huge, Limits())
    with pytest.raises(KinoraError) as refused:
        models.refuse_what_cannot_run(huge, fitted.model_copy(update={"task": I2V}))
    assert refused.value.action
    assert refused.value.action["set"] == {"model": "pocket"}
    assert models.before_it_starts(card) == []


def test_a_download_is_said_before_anything_happens(
    card: ModelCard, tiny_settings: Settings
) -> None:
    needs = card.needs.model_copy(update={"disk_gb": 12.4})
    far = other(card, repo="nobody/nothing-of-that-name", needs=needs, gated=True, name="Far")
    assert download_gb(card) is None
    assert download_gb(far) == 12.4
    (note,) = Models({"far": far}, tiny_settings).before_it_starts(far)
    assert "12 GB come first, once" in note
    assert "terms" in note


def test_behind_redis_nothing_is_said_of_this_machine(
    card: ModelCard, tiny_settings: Settings
) -> None:
    needs = card.needs.model_copy(update={"ram_gb": 9000, "vram_gb": 9000, "disk_gb": 12.4})
    huge = other(card, id="a-huge", repo="nobody/nothing-of-that-name", needs=needs)
    settings = tiny_settings.model_copy(update={"redis_url": "redis://elsewhere:6379/0"})
    models = Models({"a-huge": huge, "pocket": card}, settings)
    rows = models.offer(T2V)["models"]
    assert [(row["id"], row["level"], row["download_gb"]) for row in rows] == [
        ("a-huge", "runs", None),
        ("pocket", "runs", None),
    ]
    models.refuse_what_cannot_run(huge, fit(GenerationRequest(prompt="a dog"), huge, Limits()))
    assert models.before_it_starts(huge) == []


def test_one_line_about_a_model() -> None:
    assert first_sentence("A small  model.\nIt knows little.") == "A small model"
    assert len(first_sentence("word " * 100)) <= 112


@pytest.mark.parametrize(("gb", "words"), [(0.05, "50 MB"), (1.0, "1.0 GB"), (31.4, "31 GB")])
def test_sizes_as_people_say_them(gb: float, words: str) -> None:
    assert size_label(gb) == words
