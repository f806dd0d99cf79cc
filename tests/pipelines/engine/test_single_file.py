"""Components that are one file without a configuration."""

from __future__ import annotations

from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from pipelines.engine.single_file import annotated_class, load_file_as


class Scale(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(3))


def test_the_class_is_the_one_that_the_pipeline_takes() -> None:
    pipelines = [diffusers.LTXPipeline, diffusers.AnimateDiffPipeline]
    assert annotated_class(pipelines, "motion_adapter") is diffusers.MotionAdapter
    assert annotated_class(pipelines, "unet") is diffusers.UNet2DConditionModel
    assert annotated_class(pipelines, "tokenizer") is None
    assert annotated_class(pipelines, "image_adapter") is None


def test_without_settings_beside_it_the_defaults_of_the_class_are_used(tmp_path: Path) -> None:
    save_file({"factor": torch.tensor([1.0, 2.0, 3.0])}, tmp_path / "scale.safetensors")
    made = load_file_as(Scale, tmp_path / "scale.safetensors", torch.bfloat16)
    assert made.get_parameter("factor").tolist() == [1, 2, 3]
    assert made.get_parameter("factor").dtype is torch.bfloat16
    assert not made.training


def test_weights_of_another_class_are_refused(tmp_path: Path) -> None:
    save_file({"other": torch.ones(3)}, tmp_path / "scale.safetensors")
    with pytest.raises(RuntimeError, match="other"):
        load_file_as(Scale, tmp_path / "scale.safetensors", torch.float32)
