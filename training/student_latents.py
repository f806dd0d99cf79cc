"""Stage 6: clips as the student makes them, paired with the film they should have been.

    python -m training.student_latents --clips 2000

A cached clip gets the noise of one of the student's steps, and the student takes the remaining
ones. Up to the second step's noise the clip still shows what is where, so that the result is the
same clip with the student's own errors. `train_decoder` learns to draw it cleanly.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from diffusers import LTXVideoTransformer3DModel
from torch import Tensor

from training.fast_forward import block_forward, to_tokens
from training.loop import RUNS
from training.models import LATENT_FRAMES, LATENT_SIDE
from training.train_denoiser import (
    FULL_CAPTION,
    LatentDataset,
)
from training.train_student import STEPS, Teacher, Velocity, sigma_grid

FILE = "student.npy"
"""In the folder of the cached latents: row i belongs to clip i."""
FIRST_STOPS = (1, 2, 3)
"""The student's steps that a clip can start from; 0 would be noise alone, and another clip."""


def from_tokens(x: Tensor) -> Tensor:
    """[B, F * H * W, C] -> [B, C, F, H, W]."""
    return x.unflatten(1, (LATENT_FRAMES, LATENT_SIDE, LATENT_SIDE)).movedim(-1, 1)


def finish(velocity: Velocity, x: Tensor, stop: int) -> Tensor:
    """Takes the student's steps from this stop to the end. x: [B, N, C]."""
    sigmas = sigma_grid(STEPS)
    for sigma, next_sigma in pairwise(sigmas[stop:]):
        x = x + (next_sigma - sigma) * velocity(x, sigma)
    return x


@torch.no_grad()
def redraw(
    teacher: Teacher,
    student: LTXVideoTransformer3DModel,
    x0: Tensor,
    captions: list[str],
    stop: int,
    has_first_frame: bool,
) -> Tensor:
    """Adds the noise of this stop to normalised latents [B, C, F, H, W] and lets the student remove
    it; a given first frame stays as it is."""
    sigma = sigma_grid(STEPS)[stop]
    clean = to_tokens(x0).to(teacher.device)
    x = (1 - sigma) * clean + sigma * torch.randn_like(clean)
    if has_first_frame:
        first = LATENT_SIDE**2
        x = torch.cat([clean[:, :first], x[:, first:]], 1)
    text, mask = teacher.encode_captions(captions)

    def velocity(x: Tensor, sigma: Tensor) -> Tensor:
        return teacher.velocity(student, x, text, mask, sigma, has_first_frame)

    return from_tokens(finish(velocity, x, stop)).cpu()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latents", default="latents")
    parser.add_argument("--teacher", type=Path, required=True, help="for its text encoder")
    parser.add_argument("--student", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()

    # 1. The cached clips, text encoder and student.
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    data = LatentDataset(RUNS / args.latents)
    block_step = block_forward if args.no_compile else torch.compile(block_forward, dynamic=False)
    teacher = Teacher(args.teacher, args.device, block_step)
    student = LTXVideoTransformer3DModel.from_pretrained(args.student, use_safetensors=True)
    student = student.to(args.device).requires_grad_(False)

    # 2. Batches of clips, each from one stop; a third with a given first frame.
    count = min(args.clips, len(data.labels))
    path = RUNS / args.latents / FILE
    part = path.with_suffix(".part.npy")
    made = np.lib.format.open_memmap(part, "w+", np.float16, (count, *data.videos.shape[1:]))
    shape = (1, -1, 1, 1, 1)
    for at in range(0, count, args.batch):
        rows = np.arange(at, min(at + args.batch, count))
        captions = [data.write_caption(int(row), FULL_CAPTION, rng) for row in rows]
        stop = FIRST_STOPS[int(rng.integers(len(FIRST_STOPS)))]
        x0 = data.normalise(data.videos[rows])
        x = redraw(teacher, student, x0, captions, stop, float(rng.random()) < 1 / 3)
        made[rows] = (x.float() * data.std.view(shape) + data.mean.view(shape)).numpy()
        if at % (50 * args.batch) == 0:
            print(f"{at} of {count} clips", flush=True)

    # 3. In place only when it is whole.
    made.flush()
    part.replace(path)


if __name__ == "__main__":
    main()
