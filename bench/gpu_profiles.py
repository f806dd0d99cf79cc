"""Checks plans on a GPU: pipelines of real size with random weights, in every profile.

    python -m bench.gpu_profiles [--steps N] [--folder F]

Builds LTX-2B- and Wan-1.3B-sized pipelines (30 GB of disk), makes a clip of each at real size
through the manager in every profile, and prints peak memory and seconds against the plan. Random
weights cost the same as trained ones. Without CUDA it prints so and exits with 0.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from pipelines.models.cards import ModelCard
from pipelines.planning import ClipShape, Machine, Plan, Planner, this_machine
from pipelines.planning.plan import Profile
from pipelines.request import FittedRequest, Focus, Task
from settings import Settings

TOLERANCE = 0.15
"""Allowed relative error of the planned memory."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class RandomModel:
    card: dict[str, Any]
    build: Callable[[Path], None]


def _text_encoder(tokens: Any, config: Any, model: Any) -> dict[str, Any]:
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocab += [(letter, -3.0) for letter in LETTERS]
    tokenizer = tokens(vocab=vocab, extra_ids=0, model_max_length=512)
    xxl = config(d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64)
    xxl.feed_forward_proj, xxl.is_gated_act, xxl.dense_act_fn = "gated-gelu", True, "gelu_new"
    return {"tokenizer": tokenizer, "text_encoder": model(xxl)}


def build_ltx(folder: Path) -> None:
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXPipeline,
        LTXVideoTransformer3DModel,
    )
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKLLTXVideo(),
        transformer=LTXVideoTransformer3DModel(),
        **_text_encoder(T5Tokenizer, T5Config, T5EncoderModel),
    ).save_pretrained(folder)


def build_wan(folder: Path) -> None:
    from diffusers import (
        AutoencoderKLWan,
        UniPCMultistepScheduler,
        WanPipeline,
        WanTransformer3DModel,
    )
    from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

    WanPipeline(
        scheduler=UniPCMultistepScheduler(  # type: ignore[arg-type]  # as shipped with the model
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        vae=AutoencoderKLWan(),
        transformer=WanTransformer3DModel(
            num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30
        ),
        **_text_encoder(T5Tokenizer, UMT5Config, UMT5EncoderModel),
    ).save_pretrained(folder)


def _card(name: str, family: str, size: tuple[int, int, int], billions: dict[str, float]) -> Any:
    width, height, frames = size
    return {
        "id": name,
        "name": name,
        "family": family,
        "repo": f"./{name}",
        "tasks": ["t2v"],
        "license": "apache-2.0",
        "about": "Random weights of real size.",
        "defaults": {
            "width": width,
            "height": height,
            "num_frames": frames,
            "fps": 16,
            "num_inference_steps": 4,
            "guidance_scale": 3.0,
        },
        "limits": {"max_frames": frames},
        "needs": {"ram_gb": 8, "disk_gb": 15, "billions": billions},
    }


RANDOM_MODELS = (
    RandomModel(
        _card(
            "ltx-2b-random",
            "ltx",
            (704, 480, 97),
            {"transformer": 1.92, "text_encoder": 4.76, "vae": 0.42},
        ),
        build_ltx,
    ),
    RandomModel(
        _card(
            "wan-1.3b-random",
            "wan",
            (832, 480, 81),
            {"transformer": 1.42, "text_encoder": 5.68, "vae": 0.13},
        ),
        build_wan,
    ),
)


def planned(card: ModelCard, machine: Machine, settings: Settings) -> dict[Profile, Plan]:
    """The plan of each profile for a card on this machine."""
    return {
        profile: Planner(settings.model_copy(update={"profile": profile}), machine).plan(card)
        for profile in get_args(Profile)
    }


def measure(card: ModelCard, settings: Settings, steps: int) -> tuple[float, float, float]:
    """(peak GB, seconds per step, seconds of decoding) of a clip, after a warm-up clip."""
    from pipelines.engine.decode import decode
    from pipelines.engine.families.base import Inputs
    from pipelines.engine.manager import PipelineManager
    from pipelines.engine.memory import PeakMemory
    from pipelines.engine.sampling import sample

    manager = PipelineManager({card.id: card}, settings)
    loaded = manager.get(card.id, Task.TEXT_TO_VIDEO)
    fitted = _fitted(card, steps)
    peak_gb = step_s = decode_s = 0.0
    for _ in range(2):
        peak = PeakMemory(loaded.device)
        sampled = sample(loaded, fitted, Inputs(), _NeverStop(), lambda _step: None)
        started = time.perf_counter()
        tiles = Planner(settings, this_machine(settings)).plan(card, ClipShape.of(fitted)).tiles
        decode(loaded, sampled, fitted, tiles=tiles)
        decode_s, peak_gb = time.perf_counter() - started, peak.gb() or 0.0
        step_s = sampled.seconds["denoise"] / steps
    del loaded, sampled
    manager.close()
    return peak_gb, step_s, decode_s


class _NeverStop:
    def cancelled(self) -> bool:
        return False

    def finish_now(self) -> bool:
        return False


def _fitted(card: ModelCard, steps: int) -> FittedRequest:
    d = card.defaults
    return FittedRequest(
        task=Task.TEXT_TO_VIDEO,
        model=card.id,
        prompt="a dog running in the snow",
        negative_prompt="",
        image=None,
        focus=Focus(x=0.5, y=0.5),
        seed=1,
        num_inference_steps=steps,
        guidance_scale=d.guidance_scale,
        width=d.width,
        height=d.height,
        num_frames=d.num_frames,
        fps=d.fps,
        format="mp4",
        quality="medium",
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_profiles", description=__doc__)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where the pipelines are built and kept")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("No CUDA GPU, nothing to measure.")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        return _run(options.folder or Path(temporary), options.steps)


def _run(folder: Path, steps: int) -> int:
    base = Settings.load().model_copy(update={"previews": False, "data_dir": folder / "data"})
    machine = this_machine(base)
    print(f"{machine.gpu_name}, {machine.vram_gb:.0f} GB; memory {machine.ram_gb:.0f} GB")
    missed = False
    for model in RANDOM_MODELS:
        name = model.card["id"]
        if not (folder / name / "model_index.json").is_file():
            before = torch.get_default_dtype()
            torch.set_default_dtype(torch.bfloat16)
            try:
                with torch.device(
                    "cuda"
                ):  # random initialisation is a hundred times faster on the GPU
                    model.build(folder / name)
            finally:
                torch.set_default_dtype(before)
                torch.cuda.empty_cache()
        card = ModelCard.model_validate(model.card).model_copy(update={"folder": folder})
        for profile, plan in planned(card, machine, base).items():
            print(f"{name}, {profile}: {plan.sentence()}", flush=True)
            settings = base.model_copy(update={"profile": profile})
            peak_gb, step_s, decode_s = measure(card, settings, steps)
            guess = Planner(settings, machine).speed(card)
            error = peak_gb / plan.vram_gb - 1
            missed = missed or abs(error) > TOLERANCE
            print(
                f"    {peak_gb:.1f} GB ({error:+.0%} against the plan);"
                f" a step {step_s:.2f} s (guessed {guess.step:.2f});"
                f" decoding {decode_s:.1f} s (guessed {guess.end:.1f})",
                flush=True,
            )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
