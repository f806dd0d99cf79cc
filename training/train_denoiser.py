"""Stage 3: words and noise to latents.

    python -m training.train_denoiser --plan 1:12,3:16,5:16,9:40

Flow matching (arXiv:2210.02747): x_s = (1 - s) x_0 + s noise, the network predicts noise - x_0.
`--plan` is latent frames : minutes. First single frames, which teach looks and words many times
cheaper than films; then the whole two seconds with every fourth, every second, at last every latent
frame, each at its true time coordinate. Some films have a clean first frame at timestep 0, as
LTX-Video learns picture to video (arXiv:2501.00103); of those a part may be from outside the
world, so that a visitor's picture is kept.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, LTXPipeline
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from training import close_ups
from training.caption_noise import as_people_write
from training.current_world import COLOURS, FPS, FRAMES, PLACES, SIDE, SUBJECTS, caption
from training.fast_forward import block_forward, forward
from training.loop import RUNS, Clock, Ema, Every, log, save
from training.models import ARCHITECTURE, TOKENS, denoiser, text_encoder, trained_autoencoder
from training.muon import Muon
from training.tokenizer import tokenizer
from training.world.captions import FINITE
from training.world.motions import MOTIONS

PLAIN = (
    "embed",
    "shared",
    "proj_in",
    "proj_out",
    "scale_shift_table",
    "time_embed",
    "relative_attention_bias",
)
"""Parameters that Muon leaves to AdamW: the edges of the networks and the small tables."""

SAYS_NOTHING, SAYS_A_PART, SAYS_ALL = range(3)
SILENT = 0.1
"""The share of captions that say nothing: what guidance leads away from (arXiv:2207.12598)."""

UNDECIDED = 6
"""Power of sigma that says how little of the subject can be told from a noisy film."""
LATENT_FRAMES = (FRAMES - 1) // ARCHITECTURE.time + 1
LATENT_SIDE = SIDE // ARCHITECTURE.space
STEPS_A_LOOK = 400
"""When steps are counted."""
TOKENS_A_BATCH = 9_216
WORDS = 64
"""Prompt tokens the denoiser looks at in training.

The text encoder reads all the padding, as in the pipeline.
"""

LOOK_AT = (
    "a rocket flying up in a starry night sky",
    "a dog running to the right in the snow",
    "a balloon floating down in the city",
    "a fish swimming to the left in the ocean",
    "a red car driving away in the desert",
    "a butterfly going in circles in a meadow",
    "a robot spinning in space",
    "a penguin bouncing at sunset",
)


class Latents:
    """The cached films, normalised by their channels' mean and spread."""

    def __init__(
        self, folder: Path, more_of: dict[str, float] | None = None, partial: float = 0.2
    ) -> None:
        """more_of: how many times as often as the others the films of a motion are shown, where the
        caption names it: one that leaves it open, or none, means all of them evenly.
        partial: the share of captions that leave something open."""
        self.kinds = (SILENT, partial * (1 - SILENT), (1 - partial) * (1 - SILENT))
        self.videos = np.load(folder / "videos.npy", mmap_mode="r")
        self.stills = np.load(folder / "stills.npy", mmap_mode="r")
        about, statistics = np.load(folder / "about.npz"), np.load(folder / "statistics.npz")
        self.masks, self.labels = about["masks"], about["labels"]
        often = np.array([(more_of or {}).get(motion.name, 1.0) for motion in MOTIONS])
        upto = np.cumsum(often[self.labels[:, 2]])
        self.upto = upto / upto[-1]
        self.mean = torch.from_numpy(statistics["mean"])
        self.std = torch.from_numpy(statistics["std"])

    @classmethod
    def of_strangers(cls, folder: Path, known: Latents) -> Latents:
        """In the units of those that the denoiser knows."""
        strangers = cls(folder)
        strangers.mean, strangers.std = known.mean, known.std
        return strangers

    def normalised(self, x: np.ndarray) -> Tensor:
        wide = (1, -1, 1, 1, 1)
        return (torch.from_numpy(x.astype(np.float32)) - self.mean.view(wide)) / self.std.view(wide)

    def batch(
        self, frames: int, size: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, list[str]]:
        """(latents [B, C, F, H, W], how much of each is the subject [B, F, H, W], captions)."""
        kinds = rng.choice(3, size, p=self.kinds)
        rows = np.where(
            kinds == SAYS_ALL,
            np.searchsorted(self.upto, rng.random(size), side="right"),
            rng.integers(len(self.labels), size=size),
        )
        captions = [self._say(row, kind, rng) for row, kind in zip(rows, kinds, strict=True)]
        if frames == 1:
            no_masks = torch.zeros(size, 1, *self.stills.shape[-2:])
            return self.normalised(self.stills[rows]), no_masks, captions
        every = slice(None, None, stride(frames))
        masks = torch.from_numpy(self.masks[rows][:, every].astype(np.float32))
        return self.normalised(self.videos[rows][:, :, every]), masks, captions

    def _say(self, row: int, kind: int, rng: np.random.Generator) -> str:
        if kind == SAYS_NOTHING:
            return ""
        s, p, m, *colour = self.labels[row]  # films that were cached before there were colours
        partial = float(kind != SAYS_ALL)
        said = caption(
            SUBJECTS[s],
            PLACES[p],
            MOTIONS[m],
            rng,
            colour=COLOURS[colour[0]] if colour else "",
            partial=partial,
        )
        return as_people_write(said, rng)


def mixed(
    known: Latents,
    strangers: Latents | None,
    share: float,
    frames: int,
    size: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, list[str]]:
    """A batch, part of which is from outside the world."""
    others = round(size * share) if strangers else 0
    if not strangers or not others:
        return known.batch(frames, size, rng)
    x, masks, captions = known.batch(frames, size - others, rng)
    x_2, masks_2, captions_2 = strangers.batch(frames, others, rng)
    return torch.cat([x, x_2]), torch.cat([masks, masks_2]), captions + captions_2


def stride(frames: int) -> int:
    """Latent frames from one to the next, when so many of the clip's are shown."""
    return (LATENT_FRAMES - 1) // (frames - 1) if frames > 1 else 1


def scale(frames: int) -> tuple[float, int, int]:
    """Seconds and pixels from one latent to the next, as the pipeline counts them."""
    is_a = ARCHITECTURE
    return is_a.time * stride(frames) / FPS, is_a.space, is_a.space


class Model(nn.Module):
    def __init__(self, words: PreTrainedTokenizerFast, start_from: Path | None = None) -> None:
        super().__init__()
        self.transformer = denoiser()
        self.text_encoder = text_encoder(len(words))
        if start_from:
            given = LTXPipeline.from_pretrained(start_from, vae=None, use_safetensors=True)
            self.transformer.load_state_dict(given.transformer.state_dict())
            state = given.text_encoder.state_dict()
            table = _rows(state["shared.weight"], given.tokenizer, self.text_encoder, words)
            state["shared.weight"] = state["encoder.embed_tokens.weight"] = table
            self.text_encoder.load_state_dict(state)


def _rows(
    given: Tensor,
    theirs: PreTrainedTokenizerFast,
    new: T5EncoderModel,
    mine: PreTrainedTokenizerFast,
) -> Tensor:
    """The embedding of each of `mine`: as it was learned; a verb's new form as the verb's own."""
    table = new.shared.weight.detach().clone()
    known = theirs.get_vocab()
    forms = {f"▁{form}": f"▁{verb}" for verb, form in FINITE.items()}
    for token, row in mine.get_vocab().items():
        source = known.get(token, known.get(forms.get(token, "")))
        if source is not None:
            table[row] = given[source]
    return table


def shares(text: str) -> dict[str, float]:
    """ "spin:3,circle:1.5" as numbers."""
    return {name: float(share) for name, share in (part.split(":") for part in text.split(","))}


def pack(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def sigmas(count: int, shift: float) -> Tensor:
    """Logit-normal, moved towards noise by `shift` where neighbours tell of each other.

    In a film everything does: where its subject is, and so how it moves, can be told up to a
    sigma of about 0.95, so that is where a film's path must be learned.
    """
    spread = torch.sigmoid(torch.randn(count) * 1.25 + shift)
    even = torch.rand(count)
    return torch.where(torch.rand(count) < 0.15, even, spread).clamp(0.002, 1.0)


def noise_levels(films: int, frames: int, close: bool, shift: float) -> Tensor:
    if close:
        return sigmas(films, close_ups.NOISE_SHIFT).clamp(max=close_ups.MOST_NOISE)
    return sigmas(films, 0.4 if frames == 1 else shift)


def subject_weight(masks: Tensor, sigma: Tensor, weight: float, done: float) -> Tensor:
    """How much each token counts in the loss, masks: [B, N], sigma: [B].

    The subject is small, and an error in it is seen five times as well. At high noise, where it is
    not decided yet, its weight is a bias towards showing it, which teaches paths sooner and is
    taken back as the training ends.
    """
    return 1 + weight * masks * (1 - done * sigma[:, None] ** UNDECIDED)


def export(
    model: Model,
    words: PreTrainedTokenizerFast,
    weights: dict[str, Tensor],
    vae_run: Path,
    data: Latents,
) -> LTXPipeline:
    """The whole pipeline, as anybody's LTXPipeline."""
    vae = trained_autoencoder(vae_run)
    vae.latents_mean.copy_(data.mean)
    vae.latents_std.copy_(data.std)
    copy = Model(words)
    copy.load_state_dict(weights)
    return LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=False),
        vae=vae.eval(),
        text_encoder=copy.text_encoder.eval(),
        tokenizer=words,
        transformer=copy.transformer.eval(),
    )


def frames_at(plan: list[tuple[int, float]], spent_s: float) -> int:
    for frames, seconds in plan:
        spent_s -= seconds
        if spent_s < 0:
            return frames
    return plan[-1][0]


@torch.no_grad()
def look(pipe: LTXPipeline, path: Path, frames: int) -> None:
    pipe.set_progress_bar_config(disable=True)
    with torch.autocast("cpu", torch.bfloat16):
        made = pipe(
            prompt=list(LOOK_AT), width=SIDE, height=SIDE, num_frames=frames, frame_rate=FPS,
            num_inference_steps=16, guidance_scale=3.0, output_type="np",
            generator=torch.Generator().manual_seed(0),
        ).frames  # type: ignore[union-attr]  # fmt: skip
    pick = sorted({round(i * (frames - 1) / 5) for i in range(6)})
    sheet = np.concatenate([np.concatenate(list(clip[pick]), 1) for clip in made])
    Image.fromarray((sheet.clip(0, 1) * 255).astype(np.uint8)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="denoiser")
    parser.add_argument("--latents", default="latents")
    parser.add_argument(
        "--autoencoder", default="autoencoder", help="a run, or a pipeline's folder"
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        help="a pipeline's folder, such as the shipped one, to go on from",
    )
    parser.add_argument(
        "--plan", default="1:12,3:16,5:16,9:40", help="latent frames:minutes, in turn"
    )
    parser.add_argument(
        "--by-steps", action="store_true", help="the plan counts steps, on a busy machine"
    )
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument(
        "--clean-first", type=float, default=0.35, help="share of batches with a given first frame"
    )
    parser.add_argument("--strangers", help="a run of `cache_latents --strangers`")
    parser.add_argument(
        "--strangers-share", type=float, default=0.2, help="of the films with a given first frame"
    )
    parser.add_argument(
        "--more-of", type=shares, default={}, help="motions to show more often: spin:3,circle:1.5"
    )
    parser.add_argument(
        "--partial", type=float, default=0.2, help="share of captions that leave something open"
    )
    parser.add_argument(
        "--noise-shift", type=float, default=1.5, help="logit around which films are noised"
    )
    parser.add_argument(
        "--close-ups", type=float, default=0.0, help="share of batches that show subjects alone"
    )
    parser.add_argument(
        "--subject-weight", type=float, default=3.0, help="how much more a subject counts"
    )
    parser.add_argument(
        "--keep-words", action="store_true", help="the text encoder stays as it was given"
    )
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    run, checkpoint = RUNS / args.run, RUNS / args.run / "state.pt"
    words = tokenizer()
    data = Latents(RUNS / args.latents, args.more_of, args.partial)
    strangers = Latents.of_strangers(RUNS / args.strangers, data) if args.strangers else None
    model = Model(words, args.start_from).to(args.device)
    model.text_encoder.requires_grad_(not args.keep_words)
    optimiser = Muon(model.named_parameters(), args.lr, plain=PLAIN)
    ema = Ema(model, 0.999)
    unit = 1 if args.by_steps else 60
    plan = [
        (int(f), float(n) * unit) for f, n in (part.split(":") for part in args.plan.split(","))
    ]
    clock, step = Clock(sum(length for _, length in plan), by_steps=args.by_steps), 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=args.device, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        ema.values, ema.steps = state["ema"], state["ema_steps"]
        clock.spent_s, step = state["spent_s"], state["step"]
    block_step = block_forward if args.no_compile else torch.compile(block_forward, dynamic=False)
    rng = np.random.default_rng((args.seed, step))
    torch.manual_seed(args.seed + step)
    save_now, look_by_time = Every(120), Every(420)
    running: float | None = None

    def keep() -> None:
        save(
            checkpoint,
            {
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "ema": ema.values,
                "ema_steps": ema.steps,
                "spent_s": clock.spent_s,
                "step": step,
            },
        )

    while not clock.over:
        clock.tick()
        frames = frames_at(plan, clock.spent_s)
        given = frames > 1 and float(rng.random()) < args.clean_first
        close = frames > 1 and float(rng.random()) < args.close_ups
        share = args.strangers_share if given and not close else 0.0
        size = TOKENS_A_BATCH // ((close_ups.SIDE**2 if close else LATENT_SIDE**2) * frames)
        x0, mask, captions = mixed(data, strangers, share, frames, size, rng)
        b, _, f, h, w = x0.shape
        for group in optimiser.param_groups:
            group["lr"] = args.lr * clock.factor
        s = noise_levels(b, f, close, args.noise_shift)
        noise = torch.randn_like(x0)
        target = pack(noise - x0)
        blend = s.view(b, 1).repeat(1, f)
        if given:
            blend[:, 0] = 0
        mix = blend.view(b, 1, f, 1, 1)
        x = pack((1 - mix) * x0 + mix * noise)
        weight = subject_weight(mask.flatten(1), s, args.subject_weight, 0 if close else clock.done)
        if given:
            weight[:, : h * w] = 0
        rope = model.transformer.rope(torch.zeros(1, 1, 1, device=args.device), f, h, w, scale(f))
        if close:
            near = close_ups.windows(mask, rng)
            x, target, weight = (close_ups.seen(part, near) for part in (x, target, weight))
            rope = tuple(part[0][near.to(args.device)] for part in rope)
        tokens = words(
            captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
        ).to(args.device)
        with torch.autocast(args.device, torch.bfloat16):
            text = model.text_encoder(tokens.input_ids)[0][:, :WORDS]
            text_mask = tokens.attention_mask.bool()[:, :WORDS]
            made = forward(
                model.transformer,
                x.to(args.device),
                text,
                (blend * 1000).to(args.device),
                text_mask,
                rope,
                block_step,
            )
        error = (made.float() - target.to(args.device)).square().mean(-1)
        weight = (weight / weight.mean()).to(args.device)
        loss = (error * weight).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        ema.update(model)
        value = loss.item()
        if not math.isfinite(value):
            raise RuntimeError(f"the loss is {value} at step {step}")
        running = value if running is None else 0.98 * running + 0.02 * value
        step += 1
        if step % 50 == 0:
            log(run, step=step, minutes=clock.spent_s / 60, loss=running, frames=f)
        if save_now():
            keep()
        # a machine that is busy would do nothing but look
        if step % STEPS_A_LOOK == 0 if args.by_steps else look_by_time():
            look(
                export(model, words, ema.values, RUNS / args.autoencoder, data),
                run / f"sheet-{step:06d}.png",
                1 if f == 1 else FRAMES,
            )
    keep()
    look(
        export(model, words, ema.values, RUNS / args.autoencoder, data),
        run / f"sheet-{step:06d}.png",
        FRAMES,
    )


if __name__ == "__main__":
    main()
