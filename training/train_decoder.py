"""Stage 7: trains the decoder to draw.  python -m training.train_decoder --steps 1500

Where the latents leave a doubt, a decoder trained on L1 alone paints the average, a smear. This one
also sees latents that the student made (`student_latents`), beside the film they should have been,
and is rated by a discriminator and by a judge's features. The encoder stays as it is, so denoiser
and student fit the new decoder.

--timestep-conditioning: the decoder takes the share of noise in its latents as well, as in
LTX-Video (arXiv:2501.00103): `decode_timestep` in a model's card. It then cleans its input itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training.adversarial import (
    PatchDiscriminator,
    balance_gradient,
    discriminator_loss,
    perceptual_loss,
)
from training.cache_latents import ClipDataset
from training.loop import RUNS, AverageLoss, Clock, Ema, Every, TrainingState, log_metrics
from training.models import condition_on_timestep, is_conditioned, load_autoencoder
from training.muon import Muon
from training.student_latents import FILE
from training.train_autoencoder import (
    VALIDATE_EVERY_STEPS,
    reconstruction_loss,
    validate,
    validation_clips,
)

WINDOW_FRAMES = 12
WINDOW_SIDE = 128
"""What discriminator and judge see of a clip: on the whole of it they would cost more than the
decoder."""
ADAMW_NAMES = ("conv_out.conv", "time_embedder", "scale_shift_table")
Example = tuple[Tensor, Tensor, Tensor, Tensor]


class PairDataset(IterableDataset):  # type: ignore[type-arg]
    """Yields (latents [C, F, H, W], video [3, F, S, S] in -1..1, weight [1, F, S, S], corner).

    The film of a cached clip is rendered again from its seed. `student_share` of the latents are
    the student's. corner: [3], first frame, row and column of a window, mostly on the subject.
    """

    def __init__(self, folder: Path, seed: int, student_share: float) -> None:
        with np.load(folder / "about.npz") as about:
            if "seed" not in about:
                raise ValueError(f"{folder} was cached without its seed; run cache_latents again")
            self.films = ClipDataset(int(about["seed"]), len(about["labels"]))
        self.folder, self.seed, self.student_share = folder, seed, student_share

    def __iter__(self) -> Iterator[Example]:
        info = get_worker_info()
        rng = np.random.default_rng((self.seed, info.id if info else 0))
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        encoded = np.load(self.folder / "videos.npy", mmap_mode="r")
        students = np.load(self.folder / FILE, mmap_mode="r") if self.student_share else encoded
        while True:
            chosen = students if rng.random() < self.student_share else encoded
            i = int(rng.integers(len(chosen)))
            latents = torch.from_numpy(chosen[i].astype(np.float32))
            video, masks = self.films.render(i)
            weight = 1 + torch.from_numpy(masks / 255).float()[None]
            yield latents, video, weight, pick_corner(masks, rng)


def pick_corner(masks: np.ndarray, rng: np.random.Generator) -> Tensor:
    """First frame, row and column of a window, three in four on the subject. masks: [F, S, S]."""
    frames, height, width = masks.shape
    t = int(rng.integers(0, max(0, frames - WINDOW_FRAMES) + 1))
    most = np.maximum([height - WINDOW_SIDE, width - WINDOW_SIDE], 0)
    corner = rng.integers(0, most + 1)
    inked = np.argwhere(masks[min(t + WINDOW_FRAMES // 2, frames - 1)] > 127)
    if len(inked) and rng.random() < 0.75:
        corner = (inked[rng.integers(len(inked))] - WINDOW_SIDE // 2).clip(0, most)
    return torch.tensor([t, *(int(v) for v in corner)])


def cut_windows(x: Tensor, corners: Tensor) -> Tensor:
    """[B, C, F, H, W] -> [B, C, WINDOW_FRAMES, WINDOW_SIDE, WINDOW_SIDE]."""
    return torch.stack(
        [
            clip[:, t : t + WINDOW_FRAMES, y : y + WINDOW_SIDE, x0 : x0 + WINDOW_SIDE]
            for clip, (t, y, x0) in zip(x, corners.tolist(), strict=True)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="decoder")
    parser.add_argument(
        "--autoencoder", default="autoencoder", help="a run, or a pipeline's folder"
    )
    parser.add_argument("--latents", default="latents")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--timestep-conditioning", action="store_true")
    parser.add_argument(
        "--max-noise", type=float, default=0.1, help="share of noise in the latents, at most"
    )
    parser.add_argument(
        "--student-share", type=float, default=0.6, help="share of clips that the student made"
    )
    parser.add_argument("--perceptual", type=float, default=0.1, help="weight; 0 for none")
    parser.add_argument(
        "--adversarial", type=float, default=0.3, help="relative weight; 0 for none"
    )
    parser.add_argument(
        "--adversarial-from", type=float, default=0.2, help="share of the steps before it counts"
    )
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()

    # 1. Autoencoder, of which the decoder is trained; discriminator; their optimisers.
    torch.manual_seed(args.seed)
    run, checkpoint = RUNS / args.run, RUNS / args.run / "state.pt"
    model = load_autoencoder(RUNS / args.autoencoder)
    if args.timestep_conditioning and not is_conditioned(model):
        model = condition_on_timestep(model)
    model = model.to(args.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    model.encoder.requires_grad_(False)
    trained = [(n, p) for n, p in model.decoder.named_parameters() if p.requires_grad]
    optimiser = Muon(trained, args.lr, adamw_names=ADAMW_NAMES)
    discriminator = PatchDiscriminator().to(args.device)
    rater = torch.optim.AdamW(discriminator.parameters(), 2e-4, betas=(0.5, 0.9))
    clock = Clock(args.steps, by_steps=True)
    state = TrainingState(model, optimiser, Ema(model, 0.998), clock)

    # 2. Resume.
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=args.device, weights_only=True)
        state.load(saved)
        discriminator.load_state_dict(saved["discriminator"])
        rater.load_state_dict(saved["rater"])

    # 3. Data and losses. The seeds depend on the step, so that no pair is drawn in the same order.
    torch.manual_seed(args.seed + state.step)
    pairs = PairDataset(RUNS / args.latents, args.seed * 1000 + state.step, args.student_share)
    loader = DataLoader(
        pairs, args.batch, num_workers=1, prefetch_factor=4, multiprocessing_context="spawn"
    )
    features = perceptual_loss().to(args.device) if args.perceptual else None
    decoder = model.decoder
    if not args.no_compile:
        decoder = torch.compile(decoder, dynamic=False)  # type: ignore[assignment]
    validation = validation_clips()
    save_due = Every(120)
    average, average_rating = AverageLoss(0.98), AverageLoss(0.98)

    def save() -> None:
        state.save(
            checkpoint,
            trained=True,
            discriminator=discriminator.state_dict(),
            rater=rater.state_dict(),
        )

    for latents, video, weight, corners in loader:
        clock.tick()
        if clock.is_over:
            break
        video = video.to(args.device).to(memory_format=torch.channels_last_3d)
        weight = weight.to(args.device)

        # 4. Noise, as LTXPipeline adds it before decoding: to latents in the encoder's own scale.
        z = latents.to(args.device)
        share = torch.rand(len(z), device=args.device) * args.max_noise
        blend = share.view(-1, 1, 1, 1, 1)
        z = (1 - blend) * z + blend * torch.randn_like(z)
        timestep = share if is_conditioned(model) else None
        with torch.autocast(args.device, torch.bfloat16):
            decoded = decoder(z.to(memory_format=torch.channels_last_3d), timestep)

        # 5. The losses' gradients at the pixels, then one pass back through the decoder. Features
        # and discriminator, once it can rate, get a share of the reconstruction's length.
        pixels = decoded.detach().float().requires_grad_()
        reconstruction = reconstruction_loss(pixels, video, weight)
        gradient = base = torch.autograd.grad(reconstruction, pixels)[0]
        real = cut_windows(video, corners)
        with torch.autocast(args.device, torch.bfloat16):
            if features:
                (part,) = torch.autograd.grad(features(cut_windows(pixels, corners), real), pixels)
                gradient = gradient + args.perceptual * balance_gradient(part, base)
            if args.adversarial and clock.progress >= args.adversarial_from:
                fooled = -discriminator(cut_windows(pixels, corners)).float().mean()
                (part,) = torch.autograd.grad(fooled, pixels)
                gradient = gradient + args.adversarial * balance_gradient(part, base)
        for group in optimiser.param_groups:
            group["lr"] = args.lr * clock.lr_factor
        decoded.backward(gradient.to(decoded.dtype))
        torch.nn.utils.clip_grad_norm_([p for _, p in trained], 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        state.ema.update(model)

        # 6. The discriminator's.
        rating = 0.0
        if args.adversarial:
            made = cut_windows(pixels.detach(), corners)
            with torch.autocast(args.device, torch.bfloat16):
                rated = discriminator_loss(discriminator(real), discriminator(made))
            rated.backward()
            rater.step()
            rater.zero_grad(set_to_none=True)
            rating = rated.item()
        average_loss = average.update(reconstruction.item(), state.step)
        average_rated = average_rating.update(rating, state.step)
        state.step += 1

        # 7. Log, checkpoint, validation.
        if state.step % 50 == 0:
            log_metrics(run, step=state.step, loss=average_loss, discriminator=average_rated)
        if save_due():
            save()
        if state.step % VALIDATE_EVERY_STEPS == 0:
            validate(state, validation, run)

    # 8. Last checkpoint and validation.
    save()
    validate(state, validation, run)


if __name__ == "__main__":
    main()
