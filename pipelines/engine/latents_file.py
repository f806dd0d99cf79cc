"""The checkpoint: what was sampled, in a file until the clip is written, so that decoding can be
retried without sampling.

A safetensors file with the tensors `latents`, `noise` and `sound`, and the other fields of
`Sampled` as JSON in its metadata. Frames are stored as uint8 `latents` [1, 3, F, H, W]; latents are
floats. Files from before 0.1.0 hold frames as uint8 `noise`, beside latents.
"""

from __future__ import annotations

import json
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from typing_extensions import assert_never

from pipelines.engine.denoise import Sampled, SampledFrames, SampledLatents
from pipelines.sound import Sound

log = logging.getLogger(__name__)

LATENTS, NOISE, SOUND = "latents", "noise", "sound"
"""Names of tensors. The sound's rate is in the metadata, under the same name."""


def save(sampled: Sampled, file: Path) -> None:
    """Raises OSError where the disk is full."""
    tensors = _tensors(sampled)
    metadata = {
        each.name: json.dumps(value)
        for each in fields(sampled)
        if each.name not in (LATENTS, NOISE, SOUND, "frames")
        and (value := getattr(sampled, each.name)) is not None
    }
    if sampled.sound is not None:
        tensors[SOUND] = torch.from_numpy(np.ascontiguousarray(sampled.sound.samples))
        metadata[SOUND] = json.dumps(sampled.sound.rate_hz)
    try:
        save_file(tensors, file, metadata=metadata)
    except SafetensorError as error:  # safetensors raises this for a full disk, too
        raise OSError(str(error)) from error


def load(file: Path, device: torch.device) -> Sampled | None:
    """None where there is no file, or none that can be used: it is sampled again."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt", device="cpu") as source:
            metadata = source.metadata() or {}
            tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
        rest: dict[str, Any] = {name: json.loads(text) for name, text in metadata.items()}
        rate_hz, samples = rest.pop(SOUND, None), tensors.get(SOUND)
        rest[SOUND] = None if samples is None else Sound(samples.numpy(), rate_hz)
        return _sampled(tensors[LATENTS], tensors.get(NOISE), rest, device)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        log.warning("Reading the checkpoint failed: %s", type(error).__name__)
        return None


def _tensors(sampled: Sampled) -> dict[str, torch.Tensor]:
    match sampled:
        case SampledFrames(frames=frames):
            return {LATENTS: torch.from_numpy(frames).permute(3, 0, 1, 2)[None].contiguous()}
        case SampledLatents(latents=latents, noise=noise):
            found = {LATENTS: latents} if noise is None else {LATENTS: latents, NOISE: noise}
            # cloned, as safetensors refuses tensors that share memory
            return {n: t.detach().cpu().contiguous().clone() for n, t in found.items()}
        case _:
            assert_never(sampled)


def _sampled(
    latents: torch.Tensor, noise: torch.Tensor | None, rest: dict[str, Any], device: torch.device
) -> Sampled | None:
    # the decoder's noise and latents are always floats, so uint8 can only be frames
    pixels = next((t for t in (noise, latents) if t is not None and t.dtype is torch.uint8), None)
    if pixels is not None:
        return SampledFrames(frames=pixels[0].permute(1, 2, 3, 0).contiguous().numpy(), **rest)
    if not torch.isfinite(latents).all():
        return None
    noise = None if noise is None else noise.to(device)
    return SampledLatents(latents=latents.to(device), noise=noise, **rest)
