"""The shipped weights: small enough to ship, and loadable by anybody.

What they make is looked at in `evaluation/test_short.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from diffusers import LTXImageToVideoPipeline, LTXPipeline, LTXVideoTransformer3DModel
from PIL import Image
from transformers import PreTrainedTokenizerFast

from pipelines.engine.decode import decode
from pipelines.engine.denoise import denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.manager import PipelineManager
from pipelines.models.cards import ROOT, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.models.selection import default_card, find_card
from pipelines.request import GenerationRequest, Task
from settings import Settings
from tests.pipelines.engine.test_denoise import StopRequests
from tests.training import judging
from training.crops import to_tensor
from training.evaluation.clip_generator import POCKET
from training.pack import ALL_LIMIT_BYTES, FILE_LIMIT_BYTES
from training.train_student import STEPS, STUDENT
from training.world.motions import MOTIONS
from training.world.render import RenderedClip, render

DIRECTIONS = ("left", "right", "up", "down")


@pytest.mark.parametrize("motion", DIRECTIONS)
def test_the_judge_of_directions_is_right_about_renderings(
    films: dict[str, list[RenderedClip]], motion: str
) -> None:
    for clip in films[motion][:5]:
        assert judging.direction(worn(clip.pixels)) == motion
    assert judging.direction(films["still"][0].pixels) == "nowhere"


def test_the_judge_of_places_is_right_about_renderings(
    films: dict[str, list[RenderedClip]],
) -> None:
    for motion in ("left", "bounce", "closer", "still"):
        for clip in films[motion][:5]:
            assert judging.place(worn(clip.pixels)) == clip.place.name


def worn(pixels: np.ndarray) -> np.ndarray:
    """Blurred and noised, as a small model's frames are."""
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.2) for frame in pixels]).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 6, soft.shape)
    return (soft + noise).clip(0, 255).astype(np.uint8)


# -- the folder ----------------------------------------------------------------------------------


FOLDERS = pytest.mark.parametrize("folder", [POCKET, STUDENT], ids=lambda folder: folder.name)


@FOLDERS
def test_every_file_may_be_pushed_to_a_repository_without_lfs(folder: Path) -> None:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert max(sizes) < FILE_LIMIT_BYTES
    assert sum(sizes) < ALL_LIMIT_BYTES


@FOLDERS
def test_nothing_says_on_whose_machine_it_was_made(folder: Path) -> None:
    for path in folder.rglob("*.json"):
        assert "_name_or_path" not in path.read_text(encoding="utf-8"), path


@FOLDERS
def test_weights_are_safetensors_only(folder: Path) -> None:
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".md"}
    assert ".safetensors" in kinds
    assert not folder.is_symlink() and not any(path.is_symlink() for path in folder.rglob("*"))


def test_its_classes_are_those_that_everybody_has() -> None:
    index = json.loads((POCKET / "model_index.json").read_text())
    parts = {name: value for name, value in index.items() if not name.startswith("_")}
    assert index["_class_name"] == "LTXPipeline"
    assert {library for library, _ in parts.values()} <= {"diffusers", "transformers"}


# -- the pipeline --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipe() -> LTXPipeline:
    pipe = LTXPipeline.from_pretrained(POCKET, use_safetensors=True, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_it_loads_in_one_precision_and_every_weight_is_finite(pipe: LTXPipeline) -> None:
    for module in (pipe.vae, pipe.text_encoder, pipe.transformer):
        for name, value in module.state_dict().items():
            assert value.dtype in (torch.float32, torch.int64), name
            assert torch.isfinite(value).all(), name


def test_its_tokenizer_is_the_training_s(pipe: LTXPipeline, words: PreTrainedTokenizerFast) -> None:
    assert pipe.tokenizer.get_vocab() == words.get_vocab()
    text = "A golden retriever twirling near a planet, cute zebra"
    assert pipe.tokenizer(text).input_ids == words(text).input_ids


def test_text_and_picture_share_every_component(pipe: LTXPipeline) -> None:
    picture = LTXImageToVideoPipeline(**pipe.components)
    for name, component in pipe.components.items():
        assert picture.components[name] is component


@torch.no_grad()
def test_a_given_picture_is_taken_as_it_is(pipe: Any) -> None:
    """The pipeline draws its latents; the draw must not add noise to them."""
    pixels = render(np.random.default_rng(90_501)).pixels[:1]
    found = pipe.vae.encode(to_tensor(pixels)[None]).latent_dist
    assert (found.sample() - found.mode()).abs().max() < 1e-4 * found.mode().std()


def test_a_picture_becomes_the_first_frame(pipe: LTXPipeline) -> None:
    picture: Any = LTXImageToVideoPipeline(**pipe.components)
    picture.set_progress_bar_config(disable=True)
    given = render(np.random.default_rng(90_500), motion=MOTIONS[9]).pixels[0]
    made = picture(
        image=Image.fromarray(given), prompt="standing still", width=128, height=128,
        num_frames=5, frame_rate=8, num_inference_steps=2, guidance_scale=1.0,
        generator=torch.Generator().manual_seed(0), output_type="np",
    ).frames[0]  # fmt: skip
    assert made.shape == (5, 128, 128, 3)
    error = np.mean((made[0] - given / 255) ** 2)
    assert -10 * np.log10(error) > 18, "decibels"


# -- the student ---------------------------------------------------------------------------------


def test_the_student_takes_its_teachers_place_and_nothing_else(pipe: LTXPipeline) -> None:
    student = LTXVideoTransformer3DModel.from_pretrained(STUDENT, use_safetensors=True)
    mine, its = pipe.transformer.state_dict(), student.state_dict()
    assert {k: v.shape for k, v in mine.items()} == {k: v.shape for k, v in its.items()}
    assert all(torch.isfinite(value).all() for value in its.values())
    assert any(not torch.equal(mine[key], its[key]) for key in mine)
    assert {path.suffix for path in STUDENT.iterdir()} == {".safetensors", ".json", ".md"}


def test_the_app_makes_clips_with_it_in_a_few_steps(tmp_path: Path) -> None:
    """Through the card, as a visitor's clip is made; and it is not what the teacher makes so."""
    cards, settings = load_cards(ROOT / "presets" / "models"), Settings(data_dir=tmp_path)
    manager, student = PipelineManager(cards, settings), default_card(cards, settings)
    assert student and student.defaults.num_inference_steps == STEPS
    asked = GenerationRequest(prompt="a fish swims to the left in the ocean", seed=5)
    few = asked.model_copy(update={"num_inference_steps": STEPS})
    clips = []
    for card in (student, find_card(student.repo, cards)):
        model = manager.get(card.id, Task.TEXT_TO_VIDEO)
        request = fit(few, card, Limits())
        sampled = denoise(model, request, Inputs(), StopRequests(), lambda _step: None)
        clips.append(decode(model, sampled, request))
    assert judging.direction(clips[0]) == "left"
    assert judging.place(clips[0]) == "ocean"
    assert np.abs(clips[0].astype(float) - clips[1]).mean() > 1
