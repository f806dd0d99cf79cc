"""Stage 3: trains the denoiser, from text and noise to latents.

    python -m training.train_denoiser --plan 1:12,3:16,5:16,9:40

Flow matching (arXiv:2210.02747): x_s = (1 - s) x_0 + s noise, the network predicts noise - x_0.
`--plan` is latent frames:minutes. Single frames come first: they teach appearance and words much
cheaper than clips. Then the whole two seconds with every fourth, every second and finally every
latent frame, at their true time coordinates. Some clips have a clean first frame at timestep 0, as
LTX-Video trains image-to-video (arXiv:2501.00103); some of these are from outside the world, so
that an input picture is preserved.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, LTXPipeline
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from training import close_ups
from training.caption_noise import add_noise_words
from training.current_world import COLOURS, FPS, FRAMES, PLACES, SUBJECTS, caption
from training.fast_forward import block_forward, forward, to_tokens
from training.loop import RUNS, AverageLoss, Clock, Ema, Every, TrainingState, log_metrics
from training.models import (
    ARCHITECTURE,
    LATENT_FRAMES,
    LATENT_SIDE,
    SAMPLED_SIDE,
    TOKENS,
    build_denoiser,
    build_text_encoder,
    load_autoencoder,
)
from training.muon import Muon
from training.tokenizer import build_tokenizer
from training.world.captions import FINITE
from training.world.motions import MOTIONS

ADAMW_NAMES = (
    "embed",
    "shared",
    "proj_in",
    "proj_out",
    "scale_shift_table",
    "time_embed",
    "relative_attention_bias",
)
"""Parameters trained by AdamW instead of Muon: input and output layers, small tables."""

NO_CAPTION, PARTIAL_CAPTION, FULL_CAPTION = range(3)
CAPTION_DROPOUT = 0.1
"""Share of empty captions, for classifier-free guidance (arXiv:2207.12598)."""

SUBJECT_NOISE_POWER = 6
"""Exponent of sigma: how quickly the subject's weight falls with noise late in training."""
SAMPLE_EVERY_STEPS = 400
"""With `--by-steps`."""
TOKENS_PER_BATCH = 9_216
CAPTION_TOKENS = 64
"""Text tokens that the denoiser attends to in training; the text encoder gets the padded prompt."""

SAMPLE_PROMPTS = (
    "a rocket flying up in a starry night sky",
    "a dog running to the right in the snow",
    "a balloon floating down in the city",
    "a fish swimming to the left in the ocean",
    "a red car driving away in the desert",
    "a butterfly going in circles in a meadow",
    "a robot spinning in space",
    "a penguin bouncing at sunset",
)


class LatentDataset:
    """Cached latents, normalised by each channel's mean and standard deviation."""

    def __init__(
        self, folder: Path, more_of: dict[str, float] | None = None, partial: float = 0.2
    ) -> None:
        """more_of: sampling weights of motions, used for full captions only: a partial or empty
        caption must not imply a motion. partial: share of captions that leave something out."""
        self.caption_kind_shares = (
            CAPTION_DROPOUT,
            partial * (1 - CAPTION_DROPOUT),
            (1 - partial) * (1 - CAPTION_DROPOUT),
        )
        self.videos = np.load(folder / "videos.npy", mmap_mode="r")
        self.stills = np.load(folder / "stills.npy", mmap_mode="r")
        labels_file, statistics = np.load(folder / "about.npz"), np.load(folder / "statistics.npz")
        self.masks, self.labels = labels_file["masks"], labels_file["labels"]
        motion_weights = np.array([(more_of or {}).get(motion.name, 1.0) for motion in MOTIONS])
        cumulative = np.cumsum(motion_weights[self.labels[:, 2]])
        self.cumulative = cumulative / cumulative[-1]
        self.mean = torch.from_numpy(statistics["mean"])
        self.std = torch.from_numpy(statistics["std"])

    @classmethod
    def load_out_of_domain(cls, folder: Path, dataset: LatentDataset) -> LatentDataset:
        """Clips from outside the world, normalised with the statistics of `dataset`."""
        ood = cls(folder)
        ood.mean, ood.std = dataset.mean, dataset.std
        return ood

    def normalise(self, x: np.ndarray) -> Tensor:
        shape = (1, -1, 1, 1, 1)
        latents = torch.from_numpy(x.astype(np.float32))
        return (latents - self.mean.view(shape)) / self.std.view(shape)

    def batch(
        self, frames: int, size: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, list[str]]:
        """Returns latents [B, C, F, H, W], subject masks [B, F, H, W], captions."""
        caption_kinds = rng.choice(3, size, p=self.caption_kind_shares)
        rows = np.where(
            caption_kinds == FULL_CAPTION,
            np.searchsorted(self.cumulative, rng.random(size), side="right"),
            rng.integers(len(self.labels), size=size),
        )
        captions = [
            self.write_caption(row, kind, rng)
            for row, kind in zip(rows, caption_kinds, strict=True)
        ]
        if frames == 1:
            no_masks = torch.zeros(size, 1, *self.stills.shape[-2:])
            return self.normalise(self.stills[rows]), no_masks, captions
        every = slice(None, None, frame_stride(frames))
        masks = torch.from_numpy(self.masks[rows][:, every].astype(np.float32))
        return self.normalise(self.videos[rows][:, :, every]), masks, captions

    def write_caption(self, row: int, kind: int, rng: np.random.Generator) -> str:
        if kind == NO_CAPTION:
            return ""
        s, p, m, *colour = self.labels[row]  # latents cached by older versions have no colour
        partial = float(kind != FULL_CAPTION)
        text = caption(
            SUBJECTS[s],
            PLACES[p],
            MOTIONS[m],
            rng,
            colour=COLOURS[colour[0]] if colour else "",
            partial=partial,
        )
        return add_noise_words(text, rng)


def mixed_batch(
    dataset: LatentDataset,
    ood: LatentDataset | None,
    share: float,
    frames: int,
    size: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, list[str]]:
    """A batch with this share of clips from outside the world."""
    ood_count = round(size * share) if ood else 0
    if not ood or not ood_count:
        return dataset.batch(frames, size, rng)
    x, masks, captions = dataset.batch(frames, size - ood_count, rng)
    x_2, masks_2, captions_2 = ood.batch(frames, ood_count, rng)
    return torch.cat([x, x_2]), torch.cat([masks, masks_2]), captions + captions_2


def frame_stride(frames: int) -> int:
    """Distance between shown latent frames when only `frames` of a clip are used."""
    return (LATENT_FRAMES - 1) // (frames - 1) if frames > 1 else 1


def rope_scale(frames: int) -> tuple[float, int, int]:
    """Seconds and pixels per latent, as LTXPipeline passes them to rope."""
    return ARCHITECTURE.time * frame_stride(frames) / FPS, ARCHITECTURE.space, ARCHITECTURE.space


class ConditionedDenoiser(nn.Module):
    """Transformer and text encoder, trained together."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, start_from: Path | None = None) -> None:
        super().__init__()
        self.transformer = build_denoiser()
        self.text_encoder = build_text_encoder(len(tokenizer))
        if start_from:
            pipe = LTXPipeline.from_pretrained(start_from, vae=None, use_safetensors=True)
            self.transformer.load_state_dict(pipe.transformer.state_dict())
            state = pipe.text_encoder.state_dict()
            table = _transfer_embeddings(
                state["shared.weight"], pipe.tokenizer, self.text_encoder, tokenizer
            )
            state["shared.weight"] = state["encoder.embed_tokens.weight"] = table
            self.text_encoder.load_state_dict(state)


def _transfer_embeddings(
    old_table: Tensor,
    old_tokenizer: PreTrainedTokenizerFast,
    new: T5EncoderModel,
    new_tokenizer: PreTrainedTokenizerFast,
) -> Tensor:
    """Embeddings of a new vocabulary: keeps learned ones; verb forms start as their participle."""
    table = new.shared.weight.detach().clone()
    old_rows = old_tokenizer.get_vocab()
    forms = {f"▁{form}": f"▁{verb}" for verb, form in FINITE.items()}
    for token, row in new_tokenizer.get_vocab().items():
        source = old_rows.get(token, old_rows.get(forms.get(token, "")))
        if source is not None:
            table[row] = old_table[source]
    return table


def parse_shares(text: str) -> dict[str, float]:
    """Parses "spin:3,circle:1.5"."""
    return {name: float(share) for name, share in (part.split(":") for part in text.split(","))}


def sample_sigmas(count: int, shift: float) -> Tensor:
    """Noise levels, logit-normal around `shift`, with 15 % uniform.

    The more redundant the data, the higher the shift: in a clip, the subject's position is still
    recognisable at a sigma of about 0.95, so motion must be learned there.
    """
    logit_normal = torch.sigmoid(torch.randn(count) * 1.25 + shift)
    uniform = torch.rand(count)
    return torch.where(torch.rand(count) < 0.15, uniform, logit_normal).clamp(0.002, 1.0)


def sample_noise_levels(clips: int, frames: int, close_up: bool, shift: float) -> Tensor:
    if close_up:
        return sample_sigmas(clips, close_ups.NOISE_SHIFT).clamp(max=close_ups.MAX_NOISE)
    return sample_sigmas(clips, 0.4 if frames == 1 else shift)


def loss_weights(masks: Tensor, sigma: Tensor, weight: float, progress: float) -> Tensor:
    """Weight of each token in the loss, [B, N]. masks: [B, N]; sigma: [B]; progress: 0 to 1.

    The subject is small, and errors in it are most visible. At high noise its position is
    undecided, so the weight biases the model towards drawing it somewhere: this teaches motion
    sooner, and is reduced as the training ends.
    """
    return 1 + weight * masks * (1 - progress * sigma[:, None] ** SUBJECT_NOISE_POWER)


def build_pipeline(
    model: ConditionedDenoiser,
    tokenizer: PreTrainedTokenizerFast,
    weights: dict[str, Tensor],
    vae_run: Path,
    data: LatentDataset,
) -> LTXPipeline:
    """A standard LTXPipeline with these weights."""
    vae = load_autoencoder(vae_run)
    vae.latents_mean.copy_(data.mean)
    vae.latents_std.copy_(data.std)
    copy = ConditionedDenoiser(tokenizer)
    copy.load_state_dict(weights)
    return LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=False),
        vae=vae.eval(),
        text_encoder=copy.text_encoder.eval(),
        tokenizer=tokenizer,
        transformer=copy.transformer.eval(),
    )


def frames_for(plan: list[tuple[int, float]], spent_s: float) -> int:
    """Latent frames per clip at this point of the plan."""
    for frames, seconds in plan:
        spent_s -= seconds
        if spent_s < 0:
            return frames
    return plan[-1][0]


@torch.no_grad()
def save_samples(pipe: LTXPipeline, path: Path, frames: int) -> None:
    """Writes a sheet: a row per prompt, six frames of each clip."""
    pipe.set_progress_bar_config(disable=True)
    with torch.autocast("cpu", torch.bfloat16):
        clips = pipe(
            prompt=list(SAMPLE_PROMPTS), width=SAMPLED_SIDE, height=SAMPLED_SIDE,
            num_frames=frames, frame_rate=FPS,
            num_inference_steps=16, guidance_scale=3.0, output_type="np",
            generator=torch.Generator().manual_seed(0),
        ).frames  # type: ignore[union-attr]  # fmt: skip
    pick = sorted({round(i * (frames - 1) / 5) for i in range(6)})
    sheet = np.concatenate([np.concatenate(list(clip[pick]), 1) for clip in clips])
    Image.fromarray((sheet.clip(0, 1) * 255).astype(np.uint8)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="denoiser")
    parser.add_argument("--latents", default="latents")
    parser.add_argument("--autoencoder", default="autoencoder", help="a run or a pipeline's folder")
    parser.add_argument("--start-from", type=Path, help="a pipeline's folder, as presets/pocket")
    parser.add_argument("--plan", default="1:12,3:16,5:16,9:40", help="latent frames:minutes, ...")
    parser.add_argument("--by-steps", action="store_true", help="the plan has steps, not minutes")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument(
        "--clean-first", type=float, default=0.35, help="share of batches with a given first frame"
    )
    parser.add_argument("--strangers", dest="ood_run", help="a run of `cache_latents --strangers`")
    parser.add_argument(
        "--strangers-share", dest="ood_share", type=float, default=0.2, help="share of those clips"
    )
    parser.add_argument(
        "--more-of", type=parse_shares, default={}, help="weights of motions: spin:3,circle:1.5"
    )
    parser.add_argument("--partial", type=float, default=0.2, help="share of partial captions")
    parser.add_argument(
        "--noise-shift", type=float, default=1.5, help="mean logit of the noise level of clips"
    )
    parser.add_argument(
        "--close-ups", type=float, default=0.0, help="share of batches around the subject only"
    )
    parser.add_argument(
        "--subject-weight", type=float, default=3.0, help="additional loss weight of the subject"
    )
    parser.add_argument("--keep-words", action="store_true", help="freeze the text encoder")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()

    # 1. Data: cached latents of the world, and optionally of clips from outside it.
    torch.manual_seed(args.seed)
    run, checkpoint = RUNS / args.run, RUNS / args.run / "state.pt"
    tokenizer = build_tokenizer()
    data = LatentDataset(RUNS / args.latents, args.more_of, args.partial)
    ood_data = LatentDataset.load_out_of_domain(RUNS / args.ood_run, data) if args.ood_run else None

    # 2. Model, optimiser, averaged weights.
    model = ConditionedDenoiser(tokenizer, args.start_from).to(args.device)
    model.text_encoder.requires_grad_(not args.keep_words)
    optimiser = Muon(model.named_parameters(), args.lr, adamw_names=ADAMW_NAMES)
    ema = Ema(model, 0.999)
    block_step = block_forward if args.no_compile else torch.compile(block_forward, dynamic=False)

    # 3. Schedule: (latent frames, seconds or steps) in turn; the clock sets the learning rate.
    unit = 1 if args.by_steps else 60
    plan = [
        (int(f), float(n) * unit) for f, n in (part.split(":") for part in args.plan.split(","))
    ]
    clock = Clock(sum(length for _, length in plan), by_steps=args.by_steps)
    state = TrainingState(model, optimiser, ema, clock)

    # 4. Resume. The seeds depend on the step, so that no batch is drawn twice.
    if checkpoint.exists():
        state.load(torch.load(checkpoint, map_location=args.device, weights_only=True))
    rng = np.random.default_rng((args.seed, state.step))
    torch.manual_seed(args.seed + state.step)
    save_due, samples_due = Every(120), Every(420)
    average = AverageLoss(0.98)

    while not clock.is_over:
        clock.tick()

        # 5. Batch: x0 [B, C, F, H, W]. All clips of a batch have a given first frame, or none.
        frames = frames_for(plan, clock.spent_s)
        has_first_frame = frames > 1 and float(rng.random()) < args.clean_first
        close_up = frames > 1 and float(rng.random()) < args.close_ups
        ood_share = args.ood_share if has_first_frame and not close_up else 0.0
        side = close_ups.SIDE if close_up else LATENT_SIDE
        x0, mask, captions = mixed_batch(
            data, ood_data, ood_share, frames, TOKENS_PER_BATCH // (side**2 * frames), rng
        )
        b, _, f, h, w = x0.shape

        # 6. Noise: each latent frame has its own sigma, 0 where the frame is given.
        sigma = sample_noise_levels(b, f, close_up, args.noise_shift)
        frame_sigmas = sigma.view(b, 1).repeat(1, f)
        if has_first_frame:
            frame_sigmas[:, 0] = 0
        blend = frame_sigmas.view(b, 1, f, 1, 1)
        noise = torch.randn_like(x0)
        x = to_tokens((1 - blend) * x0 + blend * noise)
        target = to_tokens(noise - x0)

        # 7. Weights of the tokens in the loss: the subject counts more, given frames not at all.
        progress = 0 if close_up else clock.progress
        weight = loss_weights(mask.flatten(1), sigma, args.subject_weight, progress)
        if has_first_frame:
            weight[:, : h * w] = 0

        # 8. Positions. A close-up keeps only the tokens around the subject, at their true places.
        rope = model.transformer.rope(
            torch.zeros(1, 1, 1, device=args.device), f, h, w, rope_scale(f)
        )
        if close_up:
            window = close_ups.subject_windows(mask, rng)
            x, target, weight = (
                close_ups.select_tokens(part, window) for part in (x, target, weight)
            )
            rope = tuple(part[0][window.to(args.device)] for part in rope)

        # 9. Forward.
        tokens = tokenizer(
            captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
        ).to(args.device)
        with torch.autocast(args.device, torch.bfloat16):
            text = model.text_encoder(tokens.input_ids)[0][:, :CAPTION_TOKENS]
            text_mask = tokens.attention_mask.bool()[:, :CAPTION_TOKENS]
            velocity = forward(
                model.transformer,
                x.to(args.device),
                text,
                (frame_sigmas * 1000).to(args.device),
                text_mask,
                rope,
                block_step,
            )

        # 10. Loss and update.
        error = (velocity.float() - target.to(args.device)).square().mean(-1)
        loss = (error * (weight / weight.mean()).to(args.device)).mean()
        for group in optimiser.param_groups:
            group["lr"] = args.lr * clock.lr_factor
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        ema.update(model)
        average_loss = average.update(loss.item(), state.step)
        state.step += 1

        # 11. Log, checkpoint, sample sheets.
        if state.step % 50 == 0:
            minutes = clock.spent_s / 60
            log_metrics(run, step=state.step, minutes=minutes, loss=average_loss, frames=f)
        if save_due():
            state.save(checkpoint)
        # by time when counting minutes, else by steps: a slow machine would do little but sample
        if state.step % SAMPLE_EVERY_STEPS == 0 if args.by_steps else samples_due():
            pipe = build_pipeline(model, tokenizer, ema.values, RUNS / args.autoencoder, data)
            save_samples(pipe, run / f"sheet-{state.step:06d}.png", 1 if f == 1 else FRAMES)

    # 12. Last checkpoint and samples.
    state.save(checkpoint)
    pipe = build_pipeline(model, tokenizer, ema.values, RUNS / args.autoencoder, data)
    save_samples(pipe, run / f"sheet-{state.step:06d}.png", FRAMES)


if __name__ == "__main__":
    main()
