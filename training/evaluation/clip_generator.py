"""Generates the clip of a request with diffusers' LTX pipelines, and measures it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import LTXImageToVideoPipeline, LTXPipeline, LTXVideoTransformer3DModel
from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel
from PIL import Image

from training.current_world import FPS, FRAMES, PLACES, SUBJECTS, render
from training.evaluation.clip_request import ClipRequest
from training.evaluation.ood_images import draw_image
from training.evaluation.pixel_metrics import measure, psnr
from training.models import LATENT_FRAMES, LATENT_SIDE, SAMPLED_SIDE
from training.world.motions import MOTIONS

POCKET = Path(__file__).parents[2] / "presets" / "pocket"
UPSAMPLER = "latent_upsampler"
"""Folder in that of the pipeline, where its clips are sampled at half their size."""
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
    def __init__(self, weights: Path = POCKET, transformer: Path | None = None) -> None:
        """transformer: a folder with a transformer that replaces the pipeline's."""
        self.text: Any = LTXPipeline.from_pretrained(weights, use_safetensors=True)
        if transformer:
            self.text.transformer = LTXVideoTransformer3DModel.from_pretrained(
                transformer, use_safetensors=True
            )
        self.upsampler: LTXLatentUpsamplerModel | None = None
        if (weights / UPSAMPLER).is_dir():
            self.upsampler = LTXLatentUpsamplerModel.from_pretrained(
                weights, subfolder=UPSAMPLER, use_safetensors=True
            )
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.upsampler:
            self.upsampler.to(self.device)
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
            "width": SAMPLED_SIDE,
            "height": SAMPLED_SIDE,
            "num_frames": FRAMES,
            "frame_rate": FPS,
            "output_type": "latent",
        }
        if not request.picture:
            return self._decode(self._unpack(self.text(**call).frames))
        picture = load_source(request.picture)[:1]
        packed = self.picture(image=Image.fromarray(picture[0]), **call).frames
        return self._decode(self._unpack(packed), picture)

    def _unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """Latents [1, C, F, H, W] in the autoencoder's own scale, from the pipeline's output."""
        pipe, vae = self.text, self.text.vae
        shape = (LATENT_FRAMES, LATENT_SIDE, LATENT_SIDE, 1, 1)
        return pipe._denormalize_latents(
            pipe._unpack_latents(packed, *shape),
            vae.latents_mean,
            vae.latents_std,
            vae.config.scaling_factor,
        )

    @torch.no_grad()
    def _encode(self, pixels: np.ndarray) -> torch.Tensor:
        """[F, H, W, 3] uint8 -> [1, C, F, H, W]."""
        x = torch.from_numpy(pixels).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        return self.text.vae.encode(x.to(self.device)).latent_dist.mode()

    @torch.no_grad()
    def _decode(self, latents: torch.Tensor, picture: np.ndarray | None = None) -> np.ndarray:
        """[F, SIDE, SIDE, 3] uint8. picture: the given first frame, [1, SIDE, SIDE, 3] uint8, whose
        own latent frame is decoded, as in the app."""
        if self.upsampler:
            latents = self.upsampler(latents)
            if picture is not None:
                latents = torch.cat([self._encode(picture), latents[:, :, 1:]], 2)
        made = self.text.vae.decode(latents).sample[0]
        return to_uint8((made.permute(1, 2, 3, 0).float().cpu().numpy() + 1) / 2)

    def _reconstruct(self, pixels: np.ndarray) -> np.ndarray:
        """The clip or picture after the path that generated clips take, without the denoiser."""
        picture = pixels if len(pixels) == 1 else None
        half = np.stack([_halve(frame) for frame in pixels]) if self.upsampler else pixels
        return self._decode(self._encode(half), picture)

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


def _halve(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    return cv2.resize(frame, (width // 2, height // 2), interpolation=cv2.INTER_AREA)


def downscale(clip: np.ndarray) -> np.ndarray:
    return np.stack(
        [cv2.resize(f, (JUDGED_SIDE, JUDGED_SIDE), interpolation=cv2.INTER_AREA) for f in clip]
    )
