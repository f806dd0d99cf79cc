"""Stage 1: trains the autoencoder.  python -m training.train_autoencoder --minutes 45

The loss has L1, PSNR, and edges in space and time. The latents (the posterior's mode) get noise in
proportion to their own standard deviation: the decoder learns to tolerate a denoiser's errors, and
larger latents bring no advantage. Without the edges in time, static areas differ between the frames
of one latent, which shows as flicker.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from training.crops import CropDataset, to_tensor
from training.current_world import PLACES, SIDE, SUBJECTS, render
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
from training.models import (
    LATENT_CHANNELS,
    build_autoencoder,
    grow_autoencoder,
    load_autoencoder,
    reconstruct,
    restore_autoencoder,
)
from training.muon import Muon
from training.world.motions import MOTIONS

VALIDATE_EVERY_STEPS = 250
"""With `--steps`."""
MSE_FLOOR = 1e-4
"""A mean squared error below this no longer counts: 46 dB."""


def validation_clips(count: int = 16) -> Tensor:
    """Whole clips from seeds not used in training: [N, 3, F, SIDE, SIDE]."""
    clips = [
        render(
            np.random.default_rng((77_000, i)),
            subject=SUBJECTS[(i * max(1, len(SUBJECTS) // count)) % len(SUBJECTS)],
            place=PLACES[i % len(PLACES)],
            motion=MOTIONS[(3 * i) % len(MOTIONS)],
        )
        for i in range(count)
    ]
    return torch.stack([to_tensor(clip.pixels) for clip in clips])


def latent_noise_shares(clips: int, frames: int, max_share: float) -> Tensor:
    """Noise per latent frame, [B, 1, F, 1, 1], 0 to `max_share`.

    Every other clip has a clean first frame, as in image-to-video: with different noise per frame
    the decoder learns to rely on a frame's own latent rather than its neighbours'.
    """
    shares = torch.rand(clips, 1, frames, 1, 1) * max_share
    shares[::2, :, 0] = 0
    return shares


def edges(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Differences of [B, 3, F, H, W] along F, H and W."""
    return x.diff(dim=2), x.diff(dim=3), x.diff(dim=4)


def reconstruction_loss(decoded: Tensor, video: Tensor, weight: Tensor) -> Tensor:
    """L1, log of each clip's squared error (PSNR, as in NAFNet, arXiv:2204.04676), and edges.

    With the logarithm, improving plain clips counts as much as improving detailed ones.
    decoded, video: [B, 3, F, H, W] in -1..1; weight: [B, 1, F, H, W].
    """
    error = decoded - video
    squares = (error.square() * weight).mean((1, 2, 3, 4))
    loss = 0.25 * (error.abs() * weight).mean() + 0.05 * (squares / MSE_FLOOR).log1p().mean()
    for share, edge in zip((0.25, 0.35, 0.35), edges(error), strict=True):
        loss = loss + share * edge.abs().mean()
    return loss


def halve(x: Tensor) -> Tensor:
    """Halves height and width of [B, C, F, H, W] by averaging."""
    return F.avg_pool3d(x, (1, 2, 2))


def mirror(x: Tensor) -> Tensor:
    return x.flip(-1)


TRANSFORMS = (halve, mirror)
"""Applied to latents and pixels alike, as in EQ-VAE (arXiv:2502.09509)."""


def save_sheet(truth: Tensor, decoded: Tensor, path: Path) -> None:
    """Four frames each of six clips; below each row its reconstruction."""
    pick = np.linspace(0, truth.shape[2] - 1, 4).astype(int).tolist()
    rows = []
    for a, b in zip(truth[:6], decoded[:6], strict=True):
        for x in (a, b):
            frames = x[:, pick].permute(1, 2, 3, 0).clamp(-1, 1)
            rows.append(torch.cat(list(frames), 1))
    picture = ((torch.cat(rows) + 1) * 127.5).byte().numpy()
    Image.fromarray(picture).save(path)


@torch.no_grad()
def validate(state: TrainingState, clips: Tensor, run: Path) -> None:
    """Reconstructs whole clips, [N, 3, F, H, W], with the averaged weights; logs PSNR
    at full and at half size, saves a sheet."""
    model = restore_autoencoder(state.ema.values)
    halved = halve(clips)
    with torch.autocast("cpu", torch.bfloat16):
        decoded = torch.cat([reconstruct(model, x[None]) for x in clips])
        decoded_halved = torch.cat([reconstruct(model, x[None]) for x in halved])
    scores = [psnr(a / 2, b.clamp(-1, 1) / 2) for a, b in zip(clips, decoded, strict=True)]
    save_sheet(clips, decoded.float(), run / f"sheet-{state.step:06d}.png")
    log_metrics(
        run,
        step=state.step,
        minutes=state.clock.spent_s / 60,
        psnr=sum(scores) / len(scores),
        worst=min(scores),
        psnr_half_size=psnr(halved / 2, decoded_halved.clamp(-1, 1) / 2),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="autoencoder")
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--steps", type=int, help="count steps instead of minutes")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument(
        "--latent-noise",
        type=float,
        default=0.25,
        help="at most, as a share of their standard deviation",
    )
    parser.add_argument(
        "--equivariance",
        type=float,
        default=0.0,
        help="share of batches whose latents and pixels are halved or mirrored",
    )
    parser.add_argument(
        "--half-size",
        type=float,
        default=0.0,
        help="share of batches at half the width and height, at which the denoiser works",
    )
    parser.add_argument("--stop-at", type=int, help="stop after this step, for comparisons")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--decoder-only", action="store_true", help="keep the latents as they are")
    parser.add_argument("--start-from", type=Path, help="a pipeline's folder to start from")
    args = parser.parse_args()

    # 1. Model, optimiser, averaged weights. With --decoder-only the latents stay as they are.
    torch.manual_seed(args.seed)
    run, checkpoint = RUNS / args.run, RUNS / args.run / "state.pt"
    model = (
        grow_autoencoder(load_autoencoder(args.start_from))
        if args.start_from
        else build_autoencoder()
    )
    if not args.decoder_only:  # the latents change: cache_latents measures their statistics again
        model.latents_mean.zero_()  # type: ignore[operator]
        model.latents_std.fill_(1)  # type: ignore[operator]
    model = model.to(args.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    trained = model.decoder if args.decoder_only else model
    optimiser = Muon(trained.named_parameters(), args.lr, adamw_names=("decoder.conv_out",))
    ema = Ema(model, 0.998)
    clock = Clock(args.steps or args.minutes * 60, by_steps=bool(args.steps))
    state = TrainingState(model, optimiser, ema, clock)

    # 2. Resume. The optimiser is only restored if it trained the same parameters.
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=args.device, weights_only=True)
        state.load(saved, with_optimiser=saved["trained"] == args.decoder_only)
    if args.decoder_only:
        model.encoder.requires_grad_(False)
    encoder, decoder = model.encoder, model.decoder
    if not args.no_compile:
        # one graph per shape: a dynamic graph for the half-size latents would be slower for all
        encoder = torch.compile(encoder, dynamic=False)  # type: ignore[assignment]
        decoder = torch.compile(decoder, dynamic=False)  # type: ignore[assignment]

    # 3. Data. The seeds depend on the step, so that no crop is drawn twice.
    crops_per_clip = 4 if args.side < SIDE else 1
    data = CropDataset(args.seed * 1000 + state.step, args.side, args.frames, crops_per_clip)
    loader = DataLoader(
        data, args.batch, num_workers=1, prefetch_factor=4, multiprocessing_context="spawn"
    )
    validation = validation_clips()
    rng = np.random.default_rng((args.seed, state.step))
    save_due, validation_due = Every(120), Every(240)
    average = AverageLoss(0.98)

    for video, weight in loader:  # [B, 3, F, S, S] and [B, 1, F, S, S]
        clock.tick()
        if clock.is_over or (args.stop_at and state.step >= args.stop_at):
            break
        video = video.to(args.device).to(memory_format=torch.channels_last_3d)
        weight = weight.to(args.device)
        if args.half_size and float(rng.random()) < args.half_size:
            video, weight = halve(video), halve(weight)

        # 4. Encode, add noise to the latents, decode.
        with torch.autocast(args.device, torch.bfloat16):
            z = encoder(video)[:, :LATENT_CHANNELS]
            spread = z.detach().float().std((0, 2, 3, 4), keepdim=True)
            share = latent_noise_shares(len(z), z.shape[2], args.latent_noise).to(z.device)
            if args.equivariance and float(rng.random()) < args.equivariance:
                transform = TRANSFORMS[int(rng.integers(len(TRANSFORMS)))]
                z, video, weight = transform(z), transform(video), transform(weight)
                z = z.contiguous(memory_format=torch.channels_last_3d)
            noise = share * spread * torch.randn_like(z, dtype=torch.float32)
            decoded = decoder((z + noise).to(z.dtype))

        # 5. Loss and update. The small term keeps the latents from growing.
        loss = reconstruction_loss(decoded.float(), video, weight)
        for group in optimiser.param_groups:
            group["lr"] = args.lr * clock.lr_factor
        (loss + 1e-4 * z.float().square().mean()).backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        ema.update(model)
        average_loss = average.update(loss.item(), state.step)
        state.step += 1

        # 6. Log, checkpoint, validation.
        if state.step % 100 == 0:
            minutes, mean_spread = clock.spent_s / 60, spread.mean().item()
            log_metrics(
                run, step=state.step, minutes=minutes, loss=average_loss, spread=mean_spread
            )
        if save_due():
            state.save(checkpoint, trained=args.decoder_only)
        # by time when counting minutes, else by steps: a slow machine would do little but validate
        if state.step % VALIDATE_EVERY_STEPS == 0 if args.steps else validation_due():
            validate(state, validation, run)

    # 7. Last checkpoint and validation.
    state.save(checkpoint, trained=args.decoder_only)
    validate(state, validation, run)


if __name__ == "__main__":
    main()
