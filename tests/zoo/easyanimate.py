"""EasyAnimate in miniature: one for words, one that fills in what follows a picture."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card

INPAINT = "EasyAnimateInpaintPipeline"
FILLING_IN = {
    "in_channels": 9,  # the latents, a mask, and the latents that are known
    "resize_inpaint_mask_directly": True,
    "add_noise_in_inpaint_model": True,
}


def build(folder: Path, of: str = "EasyAnimatePipeline") -> None:
    from tests.zoo.any.build import build_at

    if of != INPAINT:
        build_at(folder, of, {})
        return
    build_at(folder, of, {"transformer": FILLING_IN})
    config = folder / "vae" / "config.json"  # its pipeline reads what the VAE itself ignores
    config.write_text(json.dumps(json.loads(config.read_text()) | {"cache_mag_vae": True}))


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "width": 32,
        "height": 32,
        "num_frames": 9,
        "num_inference_steps": fitted.num_inference_steps,
        "guidance_scale": 3.0,
    }
    if inputs.video:
        import numpy as np
        import torch

        frames = np.stack([np.array(each) for each in inputs.video])
        video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 255
        torch.manual_seed(fitted.seed)  # the pipeline samples the clip's latents without generator
        mask = torch.full((1, 1, *video.shape[2:]), 255.0)
        return arguments | {
            "video": video,
            "mask_video": mask,
            "strength": 0.8,
        }
    if inputs.image is None:
        return arguments
    from diffusers.pipelines.easyanimate.pipeline_easyanimate_inpaint import (
        get_image_to_video_latent,
    )

    video, mask = get_image_to_video_latent([inputs.image], inputs.last_image, 9, (32, 32))
    return arguments | {"video": video, "mask_video": mask}


SPECIMENS = (
    Specimen("easyanimate", card("easyanimate", ["t2v"]), build, plain),
    Specimen(
        "easyanimate-inp",
        card(
            "easyanimate",
            ["t2v", "i2v", "v2v"],
            classes={"t2v": INPAINT},
            # so many steps that a strength of 0.8 leaves more than one
            defaults={"num_inference_steps": 4, "strength": 0.8},
            takes={"last_image": True},
        ),
        partial(build, of=INPAINT),
        plain,
        frames_only=True,
    ),
)
