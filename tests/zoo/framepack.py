"""FramePack in miniature: HunyuanVideo, with the transformer and the eyes in folders of their own.

The first checkpoint begins with the end of the clip, F1 goes forward.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, hunyuan, hunyuan15

AUTHORS_NAME = "HunyuanVideoTransformer3DModelPacked"
"""The class that the checkpoints were saved with, which diffusers calls otherwise."""
PARTS = {name: f"own/{name}" for name in ("transformer", "image_encoder", "feature_extractor")}


def build(folder: Path) -> None:
    import diffusers

    hunyuan.build(folder)
    transformer = diffusers.HunyuanVideoFramepackTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        guidance_embeds=True,
        text_embed_dim=16,
        pooled_projection_dim=8,
        rope_axes_dim=(2, 4, 4),
        has_image_proj=True,
        image_proj_dim=12,
        has_clean_x_embedder=True,
    )
    encoder, extractor = hunyuan15.siglip()
    for name, part in zip(PARTS, (transformer, encoder, extractor), strict=True):
        part.save_pretrained(folder / PARTS[name])
    saved = folder / PARTS["transformer"] / "config.json"
    config = json.loads(saved.read_text()) | {"_class_name": AUTHORS_NAME}
    saved.write_text(json.dumps(config))


def load(pipeline_class: Any, folder: Path, dtype: Any) -> Any:
    import diffusers
    import transformers

    kinds = (
        diffusers.HunyuanVideoFramepackTransformer3DModel,
        transformers.SiglipVisionModel,
        transformers.SiglipImageProcessor,
    )
    own: dict[str, Any] = {}
    for (name, where), kind in zip(PARTS.items(), kinds, strict=True):
        options = {} if name == "feature_extractor" else {"dtype": dtype}
        own[name] = kind.from_pretrained(folder / where, **options)
    return pipeline_class.from_pretrained(folder, dtype=dtype, **own)


def plain(
    pipe: Any, fitted: FittedRequest, inputs: Inputs, num_frames: int, **more: Any
) -> dict[str, Any]:
    return {
        "prompt": fitted.prompt,
        "image": inputs.image,
        "last_image": inputs.last_image,
        "width": 32,
        "height": 32,
        "num_frames": num_frames,
        "num_inference_steps": 3,
        "guidance_scale": 6.0,
        **more,
    }


def specimen(name: str, frames: int, asked: int, last: bool = False, **call: Any) -> Specimen:
    """`frames` are made where the plain call is asked for `asked`."""
    about = card(
        "framepack",
        ["i2v"],
        defaults={"num_frames": frames, "guidance_scale": 6.0},
        limits={"min_frames": 37, "max_frames": 145},
        parts={part: f"../repo/{where}" for part, where in PARTS.items()},
        takes={"last_image": last},
        call=call,
    )
    first = 37 if frames > 37 else None
    typed = partial(plain, num_frames=asked, **call)
    slow = name != "framepack"
    return Specimen(name, about, build, typed, load, first_window=first, slow=slow)


SPECIMENS = (
    specimen("framepack", 109, 99),
    specimen("framepack-one-section", 37, 33, last=True),
    specimen("framepack-f1", 73, 60, sampling_type="vanilla"),
)
