"""Stage 2: renders clips and caches their latents.  python -m training.cache_latents --clips 10000

Per clip: its latents, one random frame as a latent of its own (single frames teach appearance
cheaply), the share of each latent that the subject covers, and labels. Captions are not cached:
they are generated at every use. `--strangers` renders clips from outside the world instead, for
image-to-video.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from training.crops import to_tensor
from training.current_world import (
    COLOURS,
    FRAMES,
    PLACES,
    SIDE,
    SUBJECTS,
    RenderedClip,
    render,
)
from training.loop import RUNS
from training.models import (
    ARCHITECTURE,
    LATENT_CHANNELS,
    LATENT_FRAMES,
    LATENT_SIDE,
    UPSAMPLING,
    load_autoencoder,
)
from training.world.motions import MOTIONS
from training.world.ood_clips import single_object_clip

Item = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class ClipDataset(Dataset):  # type: ignore[type-arg]
    """Clip i: (video, one frame, mask per latent, labels).

    Every triple of subject, place and motion is equally frequent.
    """

    def __init__(self, seed: int, count: int) -> None:
        self.seed, self.count = seed, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Item:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        if i >= self.count:
            raise IndexError(i)
        rng = np.random.default_rng((self.seed, i))
        clip, labels = self._render(i, rng)
        return make_item(clip.pixels, clip.masks, labels, rng)

    def render(self, i: int) -> tuple[torch.Tensor, np.ndarray]:
        """Clip i again: video [3, F, H, W] in -1..1, masks [F, H, W] uint8."""
        clip, _ = self._render(i, np.random.default_rng((self.seed, i)))
        return to_tensor(clip.pixels), clip.masks

    def _render(
        self, i: int, rng: np.random.Generator
    ) -> tuple[RenderedClip, tuple[int, int, int, int]]:
        kinds = (len(SUBJECTS), len(PLACES), len(MOTIONS))
        triple = np.random.default_rng(self.seed).permutation(int(np.prod(kinds)))
        s, p, m = (int(v) for v in np.unravel_index(triple[i % len(triple)], kinds))
        clip = render(rng, subject=SUBJECTS[s], place=PLACES[p], motion=MOTIONS[m])
        return clip, (s, p, m, COLOURS.index(clip.colour))


class OutOfDomainDataset(ClipDataset):
    """Clips from outside the world. Subject and place labels are random, the motion is true."""

    def __getitem__(self, i: int) -> Item:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        if i >= self.count:
            raise IndexError(i)
        rng = np.random.default_rng((self.seed, i, 1))
        pixels, masks, motion = single_object_clip(rng, FRAMES, SIDE)
        subject, place = rng.integers(len(SUBJECTS)), rng.integers(len(PLACES))
        return make_item(pixels, masks, (int(subject), int(place), MOTIONS.index(motion), 0), rng)


def make_item(
    pixels: np.ndarray,
    masks: np.ndarray,
    labels: tuple[int, int, int, int],
    rng: np.random.Generator,
) -> Item:
    video = to_tensor(pixels)
    # at the size at which the denoiser works
    video = torch.nn.functional.avg_pool2d(video, UPSAMPLING)
    still = video[:, int(rng.integers(FRAMES))].unsqueeze(1)
    mask = torch.from_numpy(masks).float()[None, None] / 255
    space, time = ARCHITECTURE.space * UPSAMPLING, ARCHITECTURE.time
    first = torch.nn.functional.avg_pool3d(mask[:, :, :1], (1, space, space))
    rest = torch.nn.functional.avg_pool3d(mask[:, :, 1:], (time, space, space))
    return video, still, torch.cat([first, rest], 2)[0, 0], torch.tensor(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--autoencoder", default="autoencoder", help="a run, or a pipeline's folder"
    )
    parser.add_argument("--run", default="latents")
    parser.add_argument("--clips", type=int, default=9600)
    parser.add_argument(
        "--strangers",
        dest="out_of_domain",
        action="store_true",
        help="clips from outside the world",
    )
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()

    # 1. Autoencoder and output files.
    vae = load_autoencoder(RUNS / args.autoencoder)
    encoder = vae.encoder.eval().requires_grad_(False).to(args.device)
    out = RUNS / args.run
    out.mkdir(parents=True, exist_ok=True)
    n = args.clips
    t, s = LATENT_FRAMES, LATENT_SIDE
    videos = np.lib.format.open_memmap(
        out / "videos.npy", "w+", np.float16, (n, LATENT_CHANNELS, t, s, s)
    )
    stills = np.lib.format.open_memmap(
        out / "stills.npy", "w+", np.float16, (n, LATENT_CHANNELS, 1, s, s)
    )
    masks = np.zeros((n, t, s, s), np.float16)
    labels = np.zeros((n, 4), np.int64)
    # 2. Render and encode.
    dataset = OutOfDomainDataset if args.out_of_domain else ClipDataset
    loader = DataLoader(
        dataset(args.seed, n), 16, num_workers=1, prefetch_factor=4, multiprocessing_context="spawn"
    )
    at = 0
    with torch.no_grad(), torch.autocast(args.device, torch.bfloat16):
        for video, still, mask, label in loader:
            rows = slice(at, at + len(video))
            videos[rows] = encoder(video.to(args.device))[:, :LATENT_CHANNELS].float().cpu().numpy()
            stills[rows] = encoder(still.to(args.device))[:, :LATENT_CHANNELS].float().cpu().numpy()
            masks[rows], labels[rows] = mask.numpy(), label.numpy()
            at += len(video)
            if at % 800 == 0:
                print(f"{at} of {n} clips", flush=True)
    videos.flush()
    stills.flush()
    # 3. Masks, labels, and the channels' statistics, which normalise the latents.
    np.savez(out / "about.npz", masks=masks, labels=labels, seed=args.seed)
    if bool((vae.latents_std == 1).all()):
        sample = np.asarray(videos[:: max(1, n // 1000)], np.float32)
        mean, std = sample.mean((0, 2, 3, 4)), sample.std((0, 2, 3, 4))
    else:  # a trained denoiser depends on these
        mean, std = vae.latents_mean.numpy(), vae.latents_std.numpy()
    np.savez(out / "statistics.npz", mean=mean, std=std)
    print(
        f"latents: mean {np.abs(mean).mean():.3f}, "
        f"std {std.min():.3f} .. {std.mean():.3f} .. {std.max():.3f}"
    )


if __name__ == "__main__":
    main()
