"""Which components stay in float32, by what the installed diffusers says of them."""

from __future__ import annotations

from pathlib import Path

import diffusers
import pytest
import torch

from pipelines.engine.components import build_pipeline, find_files, load_components
from pipelines.models.float32 import float32_components
from pipelines.models.generic_card import generic_card
from pipelines.models.hub import Hub
from pipelines.models.repository import Index, read_index
from pipelines.planning import ClipShape, Plan
from pipelines.planning.demand import Demand, memory_demand
from pipelines.planning.sizes import model_sizes
from settings import Settings
from tests.zoo.any.build import Builder
from tests.zoo.any.folders import folders

COMPONENTS = {
    "vae": "AutoencoderKLWan",
    "image_encoder": "CLIPVisionModel",
    "transformer": "WanTransformer3DModel",
}


@pytest.mark.parametrize(
    ("of", "kept"),
    [
        ("LucyEditPipeline", {"vae"}),
        ("HeliosPipeline", {"vae"}),
        ("SkyReelsV2DiffusionForcingPipeline", {"vae"}),
        ("ChronoEditPipeline", {"vae", "image_encoder"}),
        ("AnyFlowPipeline", set[str]()),  # its example loads everything in bfloat16
        ("SanaVideoPipeline", {"vae"}),  # its example says nothing: those of its VAE do
    ],
)
def test_the_examples_of_the_class_decide(of: str, kept: set[str]) -> None:
    assert float32_components([of], COMPONENTS) == kept


def test_a_vae_that_nobody_loads_in_float32_does_not_stay() -> None:
    components = {"vae": "AutoencoderKLLTXVideo"}
    assert not float32_components(["LTXI2VLongMultiPromptPipeline"], components)


def test_the_plan_counts_a_decoder_in_float32() -> None:
    def demand(of: str) -> Demand:
        parts = {"scheduler": ("diffusers", "UniPCMultistepScheduler")}
        card = generic_card("a/b", Index(of, parts), {})
        return memory_demand(card, model_sizes(card), ClipShape(64, 64, 9), "bfloat16")

    # of one family; the first one's own example loads its decoder in float32
    assert demand("HeliosPipeline").decoders == 2 * demand("AnyFlowPipeline").decoders


@pytest.mark.filterwarnings("ignore")
def test_components_and_single_layers_are_loaded_as_their_classes_say(tmp_path: Path) -> None:
    folder = Builder(tmp_path).build(folders()["helios"])
    index = read_index((folder / "model_index.json").read_bytes(), "helios")
    card = generic_card("helios", index, {}).model_copy(update={"repo": str(folder)})
    settings = Settings(_env_file=None, data_dir=tmp_path)  # pyright: ignore[reportCallIssue]
    of = diffusers.HeliosPipeline
    files = find_files(card, [of], None, Hub(settings), lambda _progress: None)
    plan = Plan(device_name="cpu", dtype_name="bfloat16")
    loaded = load_components(files, plan, card, (), lambda _progress: None)
    pipe = build_pipeline(of, loaded, files.index.config)

    assert pipe.vae.dtype == torch.float32
    assert pipe.text_encoder.dtype == torch.bfloat16
    single = {
        name.split(".")[-2]: p.dtype
        for name, p in pipe.transformer.named_parameters()
        if "attn1" in name or "norm2" in name
    }
    assert single["norm2"] == torch.float32
    assert single["to_q"] == torch.bfloat16
