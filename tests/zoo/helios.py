"""Helios in miniature: at full size, and in three stages, distilled or not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, parts, wan

PYRAMID = "HeliosPyramidPipeline"
ALL = ["t2v", "i2v", "v2v"]


def build(folder: Path, cls: str, scheduler: Any, **config: Any) -> None:
    import diffusers

    pipe = getattr(diffusers, cls)(
        tokenizer=parts.t5_tokenizer(),
        text_encoder=parts.umt5_encoder(),
        vae=wan.vae(),
        scheduler=scheduler(),
        transformer=diffusers.HeliosTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=16,
            out_channels=16,
            text_dim=32,
            freq_dim=256,
            ffn_dim=32,
            num_layers=2,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_dim=(4, 4, 4),
            has_multi_term_memory_patch=True,
            guidance_cross_attn=True,
            zero_history_timestep=True,
            is_amplify_history=False,
        ),
        **config,
    )
    pipe.save_pretrained(folder)


def whole() -> Any:
    from diffusers import HeliosScheduler

    return HeliosScheduler(stages=1, stage_range=[0, 1], use_dynamic_shifting=True)


def in_stages() -> Any:
    from diffusers import HeliosScheduler

    # with a third, as by default, the covariance of its noise is at the very edge
    return HeliosScheduler(gamma=0.3)


def distilled() -> Any:
    from diffusers import HeliosDMDScheduler

    return HeliosDMDScheduler(gamma=0.3)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments = wan.words(fitted) | {"num_frames": fitted.num_frames}
    if inputs.video:
        return arguments | {"video": list(inputs.video)}
    return arguments | {"image": inputs.image}


def plain_in_stages(
    steps: list[int], pipe: Any, fitted: FittedRequest, inputs: Inputs
) -> dict[str, Any]:
    arguments = plain(pipe, fitted, inputs)
    del arguments["num_inference_steps"]
    return arguments | {"pyramid_num_inference_steps_list": steps}


def plain_distilled(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments = plain_in_stages([2, 1, 1], pipe, fitted, inputs)
    return arguments | {"guidance_scale": 1.0, "is_amplify_first_chunk": True}


def small(tasks: list[str], cls: str, frames: int, **changes: Any) -> dict[str, Any]:
    shape = {"width": 64, "height": 64, "num_frames": frames}
    return card(
        "helios",
        tasks,
        defaults=shape | changes.pop("defaults", {}),
        limits={"min_width": 64, "min_height": 64, "min_frames": 33, "max_frames": 129},
        classes=dict.fromkeys(tasks, cls),
        **changes,
    )


SPECIMENS = (
    Specimen(
        "helios-base",
        small(["t2v"], "HeliosPipeline", 65),
        partial(build, cls="HeliosPipeline", scheduler=whole),
        plain,
        first_window=33,
    ),
    Specimen(
        "helios-base-one-window",
        small(["i2v", "v2v"], "HeliosPipeline", 33),
        partial(build, cls="HeliosPipeline", scheduler=whole),
        plain,
        slow=True,
    ),
    Specimen(
        "helios-mid",
        small(ALL, PYRAMID, 33, defaults={"num_inference_steps": 5}),
        # without the "zero star" guidance of the real one, which fails on a single patch
        partial(build, cls=PYRAMID, scheduler=in_stages),
        partial(plain_in_stages, [2, 2, 1]),
        slow=True,
    ),
    Specimen(
        "helios-distilled",
        small(
            ["t2v"],
            PYRAMID,
            33,
            takes={"guidance": False, "negative_prompt": False},
            defaults={"num_inference_steps": 4, "guidance_scale": 1.0},
            call={"is_amplify_first_chunk": True},
        ),
        partial(build, cls=PYRAMID, scheduler=distilled, is_distilled=True),
        plain_distilled,
        slow=True,
    ),
)
