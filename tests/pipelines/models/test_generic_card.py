"""Cards of pasted models: tasks, inputs and defaults as the class and its configurations say."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from errors import KinoraError
from pipelines.models.cards import load_cards
from pipelines.models.generic_card import generic_card
from pipelines.models.repository import Index
from pipelines.request import Task
from settings import ROOT


def index(class_name: str, **components: str) -> Index:
    parts = {"scheduler": ("diffusers", "DDIMScheduler")}
    return Index(class_name, parts | {name: ("diffusers", of) for name, of in components.items()})


# -- what it cannot do without -------------------------------------------------------------------


def test_a_package_that_is_missing_is_named() -> None:
    if find_spec("cosmos_guardrail"):
        pytest.skip("it is installed here")
    for name in ("CosmosTextToWorldPipeline", "Cosmos2_5_TransferPipeline"):
        with pytest.raises(KinoraError, match="needs the Python package cosmos_guardrail"):
            generic_card("a/b", index(name), {})


def test_an_optional_part_that_is_switched_off_needs_no_package() -> None:
    parts = {"scheduler": ("diffusers", "UniPCMultistepScheduler")}
    unsafe = Index("Cosmos3OmniPipeline", parts, {"enable_safety_checker": False})
    tasks = generic_card("a/b", unsafe, {}).tasks
    assert {Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO} <= set(tasks)


def test_what_a_component_cannot_do_without_is_found_in_its_forward() -> None:
    transformer = index("ConsisIDPipeline", transformer="ConsisIDTransformer3DModel")
    with pytest.raises(KinoraError, match="needs the identity of a face"):
        generic_card("a/b", transformer, {"transformer": {"is_train_face": True}})
    free = generic_card("a/b", transformer, {"transformer": {"is_train_face": False}})
    assert free.tasks == (Task.IMAGE_TO_VIDEO,)


def test_a_model_that_another_transformers_was_made_for_says_so() -> None:
    parts = {
        "scheduler": ("diffusers", "DDIMScheduler"),
        "text_encoder": ("transformers", "CLIPTextModel"),
    }
    with pytest.raises(KinoraError, match="installed version of transformers"):
        generic_card("a/b", Index("I2VGenXLPipeline", parts), {})


def test_an_image_that_is_optional_only_in_the_signature_is_required() -> None:
    assert generic_card("a/b", index("I2VGenXLPipeline"), {}).tasks == (Task.IMAGE_TO_VIDEO,)
    assert generic_card("a/b", index("PIAPipeline"), {}).tasks == (Task.IMAGE_TO_VIDEO,)


def test_a_control_clip_is_the_clip_to_work_over() -> None:
    card = generic_card("a/b", index("CogVideoXFunControlPipeline"), {})
    assert card.tasks == (Task.VIDEO_TO_VIDEO,)
    assert "control" in card.about
    assert not card.rules.strength


# -- defaults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fps"),
    [
        ("LTX2InContextPipeline", 24),  # frame_rate in the signature
        ("HeliosPipeline", 24),  # its documented example
        ("HunyuanVideoFramepackPipeline", 30),
        ("EasyAnimatePipeline", 8),
        ("AnimateDiffSDXLPipeline", 8),  # motion adapters
        ("MotifVideoPipeline", 24),
    ],
)
def test_the_frame_rate_is_that_of_the_class(name: str, fps: int) -> None:
    assert generic_card("a/b", index(name), {}).defaults.fps == fps


def test_guidance_is_that_of_the_argument_or_guider_that_is_on() -> None:
    sky = generic_card("a/b", index("HunyuanSkyreelsImageToVideoPipeline"), {})
    assert sky.defaults.guidance_scale == 6.0  # true_cfg_scale, which is above 1 by default
    assert sky.rules.guidance and sky.rules.negative_prompt
    pack = generic_card("a/b", index("HunyuanVideoFramepackPipeline"), {})
    assert pack.rules.guidance and not pack.rules.negative_prompt
    motif = generic_card("a/b", index("MotifVideoPipeline"), {"guider": {"guidance_scale": 7.5}})
    assert motif.defaults.guidance_scale == 7.5


def test_a_schedule_of_its_own_takes_no_steps() -> None:
    assert not generic_card("a/b", index("LTX2DFRPipeline"), {}).rules.steps
    assert not generic_card("a/b", index("HeliosPyramidPipeline"), {}).rules.steps
    assert generic_card("a/b", index("HeliosPipeline"), {}).rules.steps


# -- what configurations decide --------------------------------------------------------------------


def test_wan_s_tasks_follow_its_experts_and_timesteps() -> None:
    plain = generic_card("a/b", index("WanPipeline"), {})
    assert set(plain.tasks) == {Task.TEXT_TO_VIDEO, Task.VIDEO_TO_VIDEO}
    experts = index("WanPipeline", transformer_2="WanTransformer3DModel")
    assert generic_card("a/b", experts, {}).tasks == (Task.TEXT_TO_VIDEO,)
    expanded = Index("WanPipeline", index("WanPipeline").components, {"expand_timesteps": True})
    assert generic_card("a/b", expanded, {}).classes == {
        Task.TEXT_TO_VIDEO: "WanPipeline",
        Task.IMAGE_TO_VIDEO: "WanImageToVideoPipeline",
    }


def test_a_last_image_is_taken_where_the_denoiser_has_a_place_for_it() -> None:
    def takes(**config: object) -> bool:
        made = generic_card("a/b", index("WanImageToVideoPipeline"), {"transformer": config})
        return made.rules.last_image

    assert takes(image_dim=None)  # Wan 2.2
    assert not takes(image_dim=1280, pos_embed_seq_len=None)  # Wan 2.1
    assert takes(image_dim=1280, pos_embed_seq_len=514)  # its first-and-last-frame model


def test_a_fine_tune_is_not_taken_for_a_distilled_model() -> None:
    installed = load_cards(ROOT / "presets" / "models").values()
    made = generic_card("someone/LTX-2-distilled", index("LTX2Pipeline"), {}, installed)
    assert (made.defaults.num_inference_steps, made.defaults.guidance_scale) == (30, 3.0)
    assert made.limits.min_steps == 1
    assert made.rules.guidance and made.rules.negative_prompt
    assert not made.call and not made.scheduler
    assert "distilled" in made.about
