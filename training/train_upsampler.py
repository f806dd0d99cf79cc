"""Stage 7: trains the latent upsampler, and the decoder with it.

    python -m training.train_upsampler --minutes 30

The denoiser works at half the width and height. The upsampler doubles its latents, and the decoder
draws them at full size: they learn it from cached latents, beside the clip rendered at full size.
First the upsampler alone, with the encoding of that clip as a second goal; then both. Where the
latents leave a doubt, a decoder trained on L1 alone paints the average, a smear. So they also get
latents that the student made (`student_latents`), and are rated by a discriminator and by a judge's
features. The encoder stays as it is, so denoiser and student fit the new decoder.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKLLTXVideo
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training.adversarial import (
    PatchDiscriminator,
    balance_gradient,
    discriminator_loss,
    perceptual_loss,
)
from training.cache_latents import ClipDataset
from training.loop import (
    RUNS,
    AverageLoss,
    Clock,
    Ema,
    Every,
    TrainingState,
    log_metrics,
    psnr,
)
from training.models import UpsamplingDecoder, load_autoencoder
from training.muon import Muon
from training.student_latents import FILE
from training.train_autoencoder import (
    halve,
    reconstruction_loss,
    save_sheet,
    validation_clips,
)

WINDOW_FRAMES = 12
WINDOW_SIDE = 128
"""What discriminator and judge see of a clip: on the whole of it they would cost more than the
decoder."""
ADAMW_NAMES = ("decoder.conv_out", "upsampler.final_conv")
VALIDATE_EVERY_S = 300
GIVEN_PICTURES = 0.25
"""Share of batches whose first frame comes from its own encoding at full size, as where a picture
is given."""
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


def validate(
    weights: dict[str, Tensor],
    autoencoder: AutoencoderKLLTXVideo,
    clips: Tensor,
    run: Path,
    step: int,
) -> None:
    """Encodes whole clips [N, 3, F, H, W] at half size, doubles and decodes them; logs PSNR, saves
    a sheet."""
    model = UpsamplingDecoder(copy.deepcopy(autoencoder))
    model.load_state_dict(weights)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        halves = [autoencoder.encode(halve(x[None])).latent_dist.mode() for x in clips]  # type: ignore[union-attr]
        decoded = torch.cat([model(z).float() for z in halves])
    scores = [psnr(a / 2, b.clamp(-1, 1) / 2) for a, b in zip(clips, decoded, strict=True)]
    save_sheet(clips, decoded, run / f"sheet-{step:06d}.png")
    log_metrics(run, step=step, psnr=sum(scores) / len(scores), worst=min(scores))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="upsampler")
    parser.add_argument(
        "--autoencoder", default="autoencoder", help="a run, or a pipeline's folder"
    )
    parser.add_argument("--latents", default="latents")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--steps", type=int, help="count steps instead of minutes")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument(
        "--decoder-from", type=float, default=0.4, help="share of the time before it is trained"
    )
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
        "--adversarial-from", type=float, default=0.5, help="share of the time before it counts"
    )
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-compile", action="store_true")
    return parser.parse_args()


def main() -> None:
    args = arguments()

    # 1. Upsampler and decoder, the frozen autoencoder, discriminator; their optimisers.
    torch.manual_seed(args.seed)
    run, checkpoint = RUNS / args.run, RUNS / args.run / "state.pt"
    autoencoder = load_autoencoder(RUNS / args.autoencoder).eval().requires_grad_(False)
    model = UpsamplingDecoder(copy.deepcopy(autoencoder)).to(args.device)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimiser = Muon(model.named_parameters(), args.lr, adamw_names=ADAMW_NAMES)
    discriminator = PatchDiscriminator().to(args.device)
    rater = torch.optim.AdamW(discriminator.parameters(), 2e-4, betas=(0.5, 0.9))
    clock = Clock(args.steps or args.minutes * 60, by_steps=bool(args.steps))
    state = TrainingState(model, optimiser, Ema(model, 0.995), clock)

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
    upsampler, decoder = model.upsampler, model.decoder
    encoder = copy.deepcopy(autoencoder.encoder).to(args.device)  # validation is on the CPU
    if not args.no_compile:
        upsampler, decoder, encoder = (
            torch.compile(part, dynamic=False) for part in (upsampler, decoder, encoder)
        )
    validation = validation_clips()
    save_due, validation_due = Every(120), Every(VALIDATE_EVERY_S)
    average, average_rating = AverageLoss(0.98), AverageLoss(0.98)

    def save() -> None:
        state.save(
            checkpoint,
            discriminator=discriminator.state_dict(),
            rater=rater.state_dict(),
        )

    for latents, video, weight, corners in loader:
        clock.tick()
        if clock.is_over:
            break
        video = video.to(args.device).to(memory_format=torch.channels_last_3d)
        weight = weight.to(args.device)
        with_decoder = clock.progress >= args.decoder_from
        model.decoder.requires_grad_(with_decoder)

        # 4. Latents with noise, in proportion to their own standard deviation; doubled, decoded.
        z = latents.to(args.device)
        share = torch.rand(len(z), device=args.device).view(-1, 1, 1, 1, 1) * args.max_noise
        z = z + share * z.std((0, 2, 3, 4), keepdim=True) * torch.randn_like(z)
        with torch.autocast(args.device, torch.bfloat16):
            doubled = upsampler(z.to(memory_format=torch.channels_last_3d))
            if float(torch.rand(())) < GIVEN_PICTURES:
                with torch.no_grad():
                    first = encoder(video[:, :, :1])[:, : z.shape[1]]
                decoded = decoder(torch.cat([first.to(doubled), doubled[:, :, 1:]], 2))
            else:
                decoded = decoder(doubled)
            if not with_decoder:
                with torch.no_grad():
                    goal = encoder(video)[:, : z.shape[1]].float()

        # 5. The losses' gradients at the pixels, then one pass back through the networks. Features
        # and discriminator, once it can rate, get a share of the reconstruction's length.
        pixels = decoded.detach().float().requires_grad_()
        reconstruction = reconstruction_loss(pixels, video, weight)
        gradient = base = torch.autograd.grad(reconstruction, pixels)[0]
        real = cut_windows(video, corners)
        is_rated = args.adversarial and clock.progress >= args.adversarial_from
        with torch.autocast(args.device, torch.bfloat16):
            if features and with_decoder:
                (part,) = torch.autograd.grad(features(cut_windows(pixels, corners), real), pixels)
                gradient = gradient + args.perceptual * balance_gradient(part, base)
            if is_rated:
                fooled = -discriminator(cut_windows(pixels, corners)).float().mean()
                (part,) = torch.autograd.grad(fooled, pixels)
                gradient = gradient + args.adversarial * balance_gradient(part, base)
        for group in optimiser.param_groups:
            group["lr"] = args.lr * clock.lr_factor
        ends, gradients = [decoded], [gradient.to(decoded.dtype)]
        if not with_decoder:
            distance = (doubled.float() - goal) / goal.std((0, 2, 3, 4), keepdim=True)
            ends.append(distance.abs().mean())
            gradients.append(torch.ones_like(ends[-1]))
        torch.autograd.backward(ends, gradients)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        state.ema.update(model)

        # 6. The discriminator's; it learns for a while before it counts.
        rating = 0.0
        if args.adversarial and clock.progress >= 0.8 * args.adversarial_from:
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
            log_metrics(
                run,
                step=state.step,
                minutes=clock.spent_s / 60,
                loss=average_loss,
                discriminator=average_rated,
            )
        if save_due():
            save()
        if validation_due():
            validate(state.ema.values, autoencoder, validation, run, state.step)

    # 8. Last checkpoint and validation.
    save()
    validate(state.ema.values, autoencoder, validation, run, state.step)


if __name__ == "__main__":
    main()
