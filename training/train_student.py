"""Stage 5: distils a student that needs four steps without guidance.

    python -m training.train_student --minutes 60

One student step replaces several guided steps of the teacher: progressive distillation
(arXiv:2202.00512), with guidance distilled as well (arXiv:2210.03142), and in one go instead of by
halving, since the teacher is cheap. Training points lie on the teacher's own sampling paths from
pure noise, so the student sees the same inputs at inference. Only the transformer is trained: text
encoder and autoencoder are the teacher's, and are not shipped twice.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import LTXPipeline, LTXVideoTransformer3DModel
from torch import Tensor

from training.evaluation.clip_generator import POCKET
from training.fast_forward import block_forward, forward, to_tokens
from training.loop import RUNS, AverageLoss, Clock, Ema, Every, TrainingState, log_metrics
from training.models import LATENT_FRAMES, LATENT_SIDE, TOKENS, build_denoiser
from training.muon import Muon
from training.train_denoiser import (
    ADAMW_NAMES,
    CAPTION_TOKENS,
    LatentDataset,
    mixed_batch,
    rope_scale,
)

STUDENT = POCKET.with_name("pocket-distilled")
OUT_OF_DOMAIN_SHARE = 0.2
"""Share of the clips with a given first frame; as in the teacher's training."""
STEPS = 4
SHIFT = 3.0
"""The shift of the shipped scheduler."""
Velocity = Callable[[Tensor, Tensor], Tensor]
"""(x [B, N, C], sigma) -> velocity as x"""


def sigma_grid(steps: int, shift: float = SHIFT) -> Tensor:
    """The sigmas of an LTXPipeline with so many steps: [steps + 1], from 1 to 0."""
    linear = torch.linspace(1, 0, steps + 1)
    return shift * linear / (1 + (shift - 1) * linear)


@dataclass(frozen=True)
class TeacherPaths:
    """The teacher's sampling paths at the student's sigmas.

    x: [STEPS + 1, B, N, C]; text: [B, T, D]; mask: [B, T]; has_first_frame: the first frame is
    given instead of sampled.
    """

    x: Tensor
    text: Tensor
    mask: Tensor
    has_first_frame: bool


@torch.no_grad()
def sample_path(velocity: Velocity, x: Tensor, steps: int) -> Tensor:
    """Takes `steps` Euler steps; returns the samples at the student's sigmas: [STEPS + 1, B, N, C].

    Raises ValueError if `steps` is not a multiple of STEPS.
    """
    if steps % STEPS:
        raise ValueError(f"the teacher's {steps} steps are not a multiple of {STEPS}")
    stops = [x]
    sigmas = sigma_grid(steps)
    for number in range(steps):
        sigma, next_sigma = sigmas[number], sigmas[number + 1]
        x = x + (next_sigma - sigma) * velocity(x, sigma)
        if (number + 1) % (steps // STEPS) == 0:
            stops.append(x)
    return torch.stack(stops)


class Teacher:
    """A trained pipeline, run with the training code: bf16 and compiled."""

    def __init__(self, folder: Path, device: str, block_step: Callable[..., Tensor]) -> None:
        pipe = LTXPipeline.from_pretrained(folder, vae=None, use_safetensors=True)
        self.tokenizer = pipe.tokenizer
        self.transformer: LTXVideoTransformer3DModel = pipe.transformer.to(device)
        self.text_encoder = pipe.text_encoder.to(device)
        self.transformer.requires_grad_(False)
        self.device, self.block_step = device, block_step
        grid = (LATENT_FRAMES, LATENT_SIDE, LATENT_SIDE, rope_scale(LATENT_FRAMES))
        self.rope = self.transformer.rope(torch.zeros(1, 1, 1, device=device), *grid)

    @torch.no_grad()
    def encode_captions(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Text embeddings [B, T, D] and mask [B, T]."""
        tokens = self.tokenizer(
            captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
        ).to(self.device)
        with torch.autocast(self.device, torch.bfloat16):
            text = self.text_encoder(tokens.input_ids)[0][:, :CAPTION_TOKENS]
        return text, tokens.attention_mask.bool()[:, :CAPTION_TOKENS]

    def velocity(
        self,
        transformer: LTXVideoTransformer3DModel,
        x: Tensor,
        text: Tensor,
        mask: Tensor,
        sigma: Tensor,
        has_first_frame: bool,
    ) -> Tensor:
        """[B, N, C]. sigma: [] or [B]. A given first frame has timestep 0 and velocity 0."""
        timestep = sigma.expand(len(x)).view(-1, 1).repeat(1, LATENT_FRAMES) * 1000
        if has_first_frame:
            timestep[:, 0] = 0
        with torch.autocast(self.device, torch.bfloat16):
            v = forward(
                transformer, x, text, timestep.to(self.device), mask, self.rope, self.block_step
            )
        v = v.float()
        if has_first_frame:
            v = torch.cat(
                [torch.zeros_like(v[:, : _first_frame_tokens(v)]), v[:, _first_frame_tokens(v) :]],
                1,
            )
        return v

    def paths(
        self,
        start: Tensor,
        captions: list[str],
        has_first_frame: bool,
        steps: int,
        guidance: float,
    ) -> TeacherPaths:
        """Samples with guidance. start: [B, N, C], noise, except for a given first frame."""
        text, mask = self.encode_captions(captions)
        empty, empty_mask = self.encode_captions([""])
        texts = torch.cat([empty.expand_as(text), text])
        masks = torch.cat([empty_mask.expand_as(mask), mask])

        def guided(x: Tensor, sigma: Tensor) -> Tensor:
            v = self.velocity(
                self.transformer, x.repeat(2, 1, 1), texts, masks, sigma, has_first_frame
            )
            unconditional, conditional = v.chunk(2)
            return unconditional + guidance * (conditional - unconditional)

        return TeacherPaths(
            sample_path(guided, start.to(self.device), steps).half(), text, mask, has_first_frame
        )


def _first_frame_tokens(x: Tensor) -> int:
    """Number of tokens of the first frame. x: [B, N, C]."""
    return x.shape[1] // LATENT_FRAMES


def student_targets(paths: TeacherPaths, stops: Tensor) -> tuple[Tensor, Tensor]:
    """Each path's sample at its stop, and the velocity that reaches the next stop in one step.

    stops: [B], 0 to STEPS - 1. Both results: [B, N, C].
    """
    rows, sigmas = torch.arange(len(stops)), sigma_grid(STEPS)
    sample, next_sample = paths.x[stops, rows].float(), paths.x[stops + 1, rows].float()
    step = (sigmas[stops + 1] - sigmas[stops]).view(-1, 1, 1).to(sample.device)
    return sample, (next_sample - sample) / step


def distillation_loss(
    teacher: Teacher, student: LTXVideoTransformer3DModel, paths: TeacherPaths
) -> Tensor:
    """Mean squared error of the student's velocity, with stops drawn evenly."""
    count = paths.x.shape[1]
    stops = torch.arange(count)[torch.randperm(count)] % STEPS
    sample, target = student_targets(paths, stops)
    velocity = teacher.velocity(
        student, sample, paths.text, paths.mask, sigma_grid(STEPS)[stops], paths.has_first_frame
    )
    return (velocity - target).square().mean()


def new_paths(
    teacher: Teacher,
    data: LatentDataset,
    ood: LatentDataset | None,
    rng: np.random.Generator,
    args: argparse.Namespace,
) -> TeacherPaths:
    """Samples a new batch with the teacher, some of it from given first frames."""
    has_first_frame = float(rng.random()) < args.clean_first
    share = OUT_OF_DOMAIN_SHARE if has_first_frame else 0.0
    x0, _, captions = mixed_batch(data, ood, share, LATENT_FRAMES, args.batch, rng)
    start, x0 = torch.randn_like(to_tokens(x0)), to_tokens(x0)
    if has_first_frame:
        start[:, : _first_frame_tokens(start)] = x0[:, : _first_frame_tokens(start)]
    return teacher.paths(start, captions, has_first_frame, args.teacher_steps, args.guidance)


def export_student(weights: dict[str, Tensor], out: Path) -> None:
    """Saves the transformer in half precision; an existing model card stays."""
    model = build_denoiser()
    model.load_state_dict(weights)
    model.half().save_pretrained(out, safe_serialization=True, max_shard_size="8MB")
    for path in sorted(out.iterdir()):
        print(f"{path.stat().st_size / 1e6:7.2f} MB  {path.name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="student")
    parser.add_argument("--teacher", type=Path, default=POCKET)
    parser.add_argument("--latents", default="latents")
    parser.add_argument("--strangers", dest="ood_run", help="a run of `cache_latents --strangers`")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--teacher-steps", type=int, default=12, help=f"a multiple of {STEPS}")
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--clean-first", type=float, default=0.35)
    parser.add_argument("--kept", type=int, default=64, help="batches of paths kept in memory")
    parser.add_argument("--lessons", type=int, default=10, help="updates per new batch of paths")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--partial", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--out", type=Path, default=STUDENT)
    args = parser.parse_args()

    # 1. Teacher and data: cached clips, for captions and for given first frames.
    torch.manual_seed(args.seed)
    run, checkpoint = RUNS / args.run, RUNS / args.run / "state.pt"
    block_step = block_forward if args.no_compile else torch.compile(block_forward, dynamic=False)
    teacher = Teacher(args.teacher, args.device, block_step)
    data = LatentDataset(RUNS / args.latents, partial=args.partial)
    ood_data = LatentDataset.load_out_of_domain(RUNS / args.ood_run, data) if args.ood_run else None

    # 2. Student: the teacher's transformer; text encoder and autoencoder are shared.
    student = build_denoiser().to(args.device)
    student.load_state_dict(teacher.transformer.state_dict())
    optimiser = Muon(student.named_parameters(), args.lr, adamw_names=ADAMW_NAMES)
    ema = Ema(student, 0.995)
    clock = Clock(args.minutes * 60)
    state = TrainingState(student, optimiser, ema, clock)

    # 3. Resume. The seeds depend on the step, so that no batch is drawn twice.
    if checkpoint.exists():
        state.load(torch.load(checkpoint, map_location=args.device, weights_only=True))
    rng = np.random.default_rng((args.seed, state.step))
    torch.manual_seed(args.seed + state.step)
    replay: deque[TeacherPaths] = deque(maxlen=args.kept)
    save_due = Every(120)
    average = AverageLoss(0.95)

    while not clock.is_over:
        # 4. A new batch of the teacher's sampling paths, kept for reuse.
        replay.append(new_paths(teacher, data, ood_data, rng, args))
        clock.tick()

        # 5. Several updates per batch: the first on the new paths, the others on any kept ones.
        for number in range(args.lessons):
            if clock.is_over:
                break
            paths = replay[-1] if number == 0 else replay[int(rng.integers(len(replay)))]
            for group in optimiser.param_groups:
                group["lr"] = args.lr * clock.lr_factor
            loss = distillation_loss(teacher, student, paths)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            average_loss = average.update(loss.item(), state.step)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            ema.update(student)
            state.step += 1
            if number == 0:  # `fresh` is the loss on unseen paths, which shows overfitting
                log_metrics(
                    run,
                    step=state.step,
                    minutes=clock.spent_s / 60,
                    fresh=loss.item(),
                    loss=average_loss,
                )
            clock.tick()
        if save_due():
            state.save(checkpoint)

    # 6. Last checkpoint, and the student's transformer in half precision.
    state.save(checkpoint)
    export_student(ema.values, args.out)


if __name__ == "__main__":
    main()
