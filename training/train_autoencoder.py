"""Stage 1: pixels to latents and back.  python -m training.train_autoencoder --minutes 45

L1, decibels and edges in space and time, the posterior's mode with noise in proportion to the
latents' own spread: the decoder learns to forgive a denoiser's mistakes, and nothing rewards ever
larger latents. Without the edges in time the two frames of a latent differ in what stands still,
which is seen as flicker.
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

from training.crops import Crops, to_tensor
from training.current_world import PLACES, SIDE, SUBJECTS, render
from training.loop import RUNS, Clock, Ema, Every, log, psnr, save
from training.models import LATENT_CHANNELS, autoencoder, grown, trained_autoencoder
from training.muon import Muon
from training.world.motions import MOTIONS

STEPS_A_LOOK = 250
"""When steps are counted."""
FLOOR = 1e-4
"""Squares under which a clip is as good as given: 46 dB."""


def held_out(count: int = 16) -> Tensor:
    """Whole clips from seeds that training never draws: [N, 3, F, SIDE, SIDE]."""
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


def noise_shares(clips: int, frames: int, most: float) -> Tensor:
    """Each latent frame its own share, and every other clip's first one none, as when a picture is
    given: the decoder learns that a frame's own latent knows better than its neighbours.

    [B, 1, F, 1, 1], 0 to `most`.
    """
    shares = torch.rand(clips, 1, frames, 1, 1) * most
    shares[::2, :, 0] = 0
    return shares


def edges(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of [B, 3, F, H, W], along F, H and W."""
    return x.diff(dim=2), x.diff(dim=3), x.diff(dim=4)


def difference(made: Tensor, video: Tensor, weight: Tensor) -> Tensor:
    """What the two halves learn to make small: decibels of each clip, and edges, which eyes count.

    The mean of decibels is that of a logarithm (as in NAFNet, arXiv:2204.04676), so that plain
    clips gain as much by getting better as busy ones do.
    made, video: [B, 3, F, H, W] in -1..1; weight: [B, 1, F, H, W].
    """
    error = made - video
    squares = (error.square() * weight).mean((1, 2, 3, 4))
    loss = 0.25 * (error.abs() * weight).mean() + 0.05 * (squares / FLOOR).log1p().mean()
    for share, edge in zip((0.25, 0.35, 0.35), edges(error), strict=True):
        loss = loss + share * edge.abs().mean()
    return loss


def halved(x: Tensor) -> Tensor:
    """[B, C, F, H, W] at half the height and width, by area."""
    return F.avg_pool3d(x, (1, 2, 2))


def mirrored(x: Tensor) -> Tensor:
    return x.flip(-1)


TRANSFORMS = (halved, mirrored)
"""What may be done to latents as to pixels: EQ-VAE (arXiv:2502.09509), with what the world does."""


def sheet(truth: Tensor, made: Tensor, path: Path) -> None:
    """Rows of pairs: four frames as they are, and under them as they came back."""
    pick = np.linspace(0, truth.shape[2] - 1, 4).astype(int).tolist()
    rows = []
    for a, b in zip(truth[:6], made[:6], strict=True):
        for x in (a, b):
            frames = x[:, pick].permute(1, 2, 3, 0).clamp(-1, 1)
            rows.append(torch.cat(list(frames), 1))
    picture = ((torch.cat(rows) + 1) * 127.5).byte().numpy()
    Image.fromarray(picture).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="autoencoder")
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--steps", type=int, help="instead of minutes, on a busy machine")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument(
        "--latent-noise", type=float, default=0.25, help="at most, as a share of their spread"
    )
    parser.add_argument(
        "--equivariance",
        type=float,
        default=0.0,
        help="share of batches whose latents are halved or mirrored, and so must be decoded",
    )
    parser.add_argument("--stop-at", type=int, help="stop after so many steps; for comparisons")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--decoder-only", action="store_true", help="keep the latents as they are")
    parser.add_argument("--start-from", type=Path, help="a pipeline's folder to go on from")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    run = RUNS / args.run
    checkpoint = run / "state.pt"
    model = grown(trained_autoencoder(args.start_from)) if args.start_from else autoencoder()
    if not args.decoder_only:  # the latents change: their mean and spread are to be measured anew
        model.latents_mean.zero_()  # type: ignore[operator]
        model.latents_std.fill_(1)  # type: ignore[operator]
    model = model.to(args.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    trained = model.decoder if args.decoder_only else model
    optimiser = Muon(trained.named_parameters(), args.lr, plain=("decoder.conv_out",))
    ema = Ema(model, 0.998)
    clock = Clock(args.steps or args.minutes * 60, by_steps=bool(args.steps))
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=args.device, weights_only=True)
        model.load_state_dict(state["model"])
        if state["trained"] == args.decoder_only:
            optimiser.load_state_dict(state["optimiser"])
        ema.values, ema.steps = state["ema"], state["ema_steps"]
        clock.spent_s, step = state["spent_s"], state["step"]
    if args.decoder_only:
        model.encoder.requires_grad_(False)
    encoder, decoder = (model.encoder, model.decoder)
    if not args.no_compile:
        # one graph for each shape: latents of half the size are no reason for a general one
        encoder = torch.compile(encoder, dynamic=False)  # type: ignore[assignment]
        decoder = torch.compile(decoder, dynamic=False)  # type: ignore[assignment]

    per_clip = 4 if args.side < SIDE else 1
    data = Crops(args.seed * 1000 + step, args.side, args.frames, per_clip)
    loader = DataLoader(
        data, args.batch, num_workers=1, prefetch_factor=4, multiprocessing_context="spawn"
    )
    validation = held_out()
    rng = np.random.default_rng((args.seed, step))
    save_now, look_by_time = Every(120), Every(240)
    running = 0.0

    def keep() -> None:
        save(
            checkpoint,
            {
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "trained": args.decoder_only,
                "ema": ema.values,
                "ema_steps": ema.steps,
                "spent_s": clock.spent_s,
                "step": step,
            },
        )

    def look() -> None:
        judge = autoencoder()
        judge.load_state_dict(ema.values)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            latents = [judge.encode(x[None]).latent_dist.mode() for x in validation]  # type: ignore[union-attr]
            made = torch.cat([judge.decode(z).sample for z in latents])  # type: ignore[union-attr]
        scores = [psnr(a / 2, b.clamp(-1, 1) / 2) for a, b in zip(validation, made, strict=True)]
        sheet(validation, made.float(), run / f"sheet-{step:06d}.png")
        log(
            run,
            step=step,
            minutes=clock.spent_s / 60,
            psnr=sum(scores) / len(scores),
            worst=min(scores),
        )

    for video, weight in loader:
        clock.tick()
        if clock.over or (args.stop_at and step >= args.stop_at):
            break
        video = video.to(args.device).to(memory_format=torch.channels_last_3d)
        weight = weight.to(args.device)
        for group in optimiser.param_groups:
            group["lr"] = args.lr * clock.factor
        with torch.autocast(args.device, torch.bfloat16):
            z = encoder(video)[:, :LATENT_CHANNELS]
            spread = z.detach().float().std((0, 2, 3, 4), keepdim=True)
            share = noise_shares(len(z), z.shape[2], args.latent_noise).to(z.device)
            if args.equivariance and float(rng.random()) < args.equivariance:
                change = TRANSFORMS[int(rng.integers(len(TRANSFORMS)))]
                z, video, weight = change(z), change(video), change(weight)
                z = z.contiguous(memory_format=torch.channels_last_3d)
            made = decoder(
                (z + share * spread * torch.randn_like(z, dtype=torch.float32)).to(z.dtype)
            )
        made = made.float()
        loss = difference(made, video, weight)
        (loss + 1e-4 * z.float().square().mean()).backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        ema.update(model)
        running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
        step += 1
        if step % 100 == 0:
            log(
                run,
                step=step,
                minutes=clock.spent_s / 60,
                loss=running,
                spread=spread.mean().item(),
            )
        if save_now():
            keep()
        # a machine that is busy would do nothing but look
        if step % STEPS_A_LOOK == 0 if args.steps else look_by_time():
            look()
    keep()
    look()


if __name__ == "__main__":
    main()
