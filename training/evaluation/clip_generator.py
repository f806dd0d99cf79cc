"""Generates the clip of a request with diffusers' LTX pipelines, and measures it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import LTXImageToVideoPipeline, LTXPipeline, LTXVideoTransformer3DModel
from PIL import Image

from training.current_world import FPS, FRAMES, PLACES, SIDE, SUBJECTS, render
from training.evaluation.clip_request import ClipRequest
from training.evaluation.ood_images import draw_image
from training.evaluation.pixel_metrics import measure, psnr
from training.models import reconstruct
from training.world.motions import MOTIONS

POCKET = Path(__file__).parents[2] / "presets" / "pocket"
JUDGED_SIDE = 64
"""Side at which clips are stored: the judges' input size."""


def to_uint8(frames: np.ndarray) -> np.ndarray:
    return (frames.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def load_source(picture: str) -> np.ndarray:
    """The source clip or picture of a request, [F, H, W, 3] uint8; a picture has F = 1."""
    kind, *rest = picture.split(":")
    if kind == "stranger":
        return draw_image(rest[0], int(rest[1]))[None]
    seed, i, s, p, m = map(int, rest)
    return render(
        np.random.default_rng((seed, i)), subject=SUBJECTS[s], place=PLACES[p], motion=MOTIONS[m]
    ).pixels


class ClipGenerator:
    def __init__(
        self, weights: Path = POCKET, transformer: Path | None = None, decode_timestep: float = 0.0
    ) -> None:
        """transformer: a folder with a transformer that replaces the pipeline's. decode_timestep:
        for a timestep-conditioned decoder."""
        self.text: Any = LTXPipeline.from_pretrained(weights, use_safetensors=True)
        if transformer:
            self.text.transformer = LTXVideoTransformer3DModel.from_pretrained(
                transformer, use_safetensors=True
            )
        self.decode_timestep = decode_timestep
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.text.to(self.device)
        self.picture: Any = LTXImageToVideoPipeline(**self.text.components)
        for pipe in (self.text, self.picture):
            pipe.set_progress_bar_config(disable=True)

    def clip(self, request: ClipRequest) -> np.ndarray:
        """[F, SIDE, SIDE, 3] uint8."""
        if request.recode:
            return self._reconstruct(load_source(request.picture))
        call: dict[str, Any] = {
            "prompt": request.words,
            "negative_prompt": request.negative or None,
            "generator": torch.Generator().manual_seed(request.seed),
            "num_inference_steps": request.steps,
            "guidance_scale": request.guidance,
            "width": SIDE,
            "height": SIDE,
            "num_frames": FRAMES,
            "frame_rate": FPS,
            "decode_timestep": self.decode_timestep,
            "output_type": "np",
        }
        if not request.picture:
            return to_uint8(self.text(**call).frames[0])
        picture = Image.fromarray(load_source(request.picture)[0])
        return to_uint8(self.picture(image=picture, **call).frames[0])

    @torch.no_grad()
    def _reconstruct(self, pixels: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(pixels).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        x = x.to(self.device)
        made = reconstruct(self.text.vae, x)[0]
        return to_uint8((made.permute(1, 2, 3, 0).cpu().numpy() + 1) / 2)

    def compute_metrics(self, request: ClipRequest, clip: np.ndarray) -> dict[str, float]:
        metrics = measure(clip)
        if request.picture:
            source = load_source(request.picture)
            metrics["first_frame_db"] = psnr(clip[0], source[0])
            if request.recode:
                metrics["clip_db"] = psnr(clip, source)
                metrics["edges_kept"] = metrics["sharpness"] / measure(source)["sharpness"]
            else:
                metrics["first_frame_at_best_db"] = psnr(
                    self._reconstruct(source[:1])[0], source[0]
                )
        return metrics


def downscale(clip: np.ndarray) -> np.ndarray:
    return np.stack(
        [cv2.resize(f, (JUDGED_SIDE, JUDGED_SIDE), interpolation=cv2.INTER_AREA) for f in clip]
    )
