"""The student: four steps without guidance instead of twenty with it.

    python -m training.train_student --minutes 60

One step of the student goes where several guided steps of the teacher go: progressive distillation
(arXiv:2202.00512), with guidance taken in as well (arXiv:2210.03142), and all halvings at once,
since the teacher is cheap. The places it learns at lie on the teacher's own paths from pure noise,
so nothing it meets when it makes a clip is new to it. It is trained in the transformer alone: text
encoder and autoencoder are the teacher's, and are not shipped twice.

Knows the shipped pipeline's files and the cached films (for words and for given first frames).
"""

from __future__ import annotations

import argparse
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import LTXPipeline, LTXVideoTransformer3DModel
from torch import Tensor

from training.evaluate import POCKET
from training.fast_forward import block_forward, forward
from training.loop import RUNS, Clock, Ema, Every, log, save
from training.models import TOKENS, denoiser
from training.muon import Muon
from training.train_denoiser import (
    LATENT_FRAMES,
    LATENT_SIDE,
    PLAIN,
    WORDS,
    Latents,
    mixed,
    pack,
    scale,
)

STUDENT = POCKET.with_name("pocket-distilled")
STRANGERS_SHARE = 0.2
"""Of the clips with a given first frame; as the teacher learned."""
STEPS = 4
SHIFT = 3.0
"""The shipped scheduler's."""
Velocity = Callable[[Tensor, Tensor], Tensor]
"""(x [B, N, C], sigma) -> velocity as x"""


def sigma_grid(steps: int, shift: float = SHIFT) -> Tensor:
    """Where an LTXPipeline of so many steps stops: [steps + 1], from 1 to 0."""
    even = torch.linspace(1, 0, steps + 1)
    return shift * even / (1 + (shift - 1) * even)


@dataclass(frozen=True)
class Paths:
    """Some of the teacher's clips in the making, where the student will stop.

    x: [STEPS + 1, B, N, C]; text: [B, T, D]; mask: [B, T]; given: the first frame stays as it is.
    """

    x: Tensor
    text: Tensor
    mask: Tensor
    given: bool


@torch.no_grad()
def walk(velocity: Velocity, x: Tensor, steps: int) -> Tensor:
    """Euler steps down the teacher's grid; where the student's grid lies: [STEPS + 1, B, N, C]."""
    if steps % STEPS:
        raise ValueError(f"{steps} steps of the teacher are not a multiple of {STEPS}")
    stops = [x]
    sigmas = sigma_grid(steps)
    for number in range(steps):
        now, then = sigmas[number], sigmas[number + 1]
        x = x + (then - now) * velocity(x, now)
        if (number + 1) % (steps // STEPS) == 0:
            stops.append(x)
    return torch.stack(stops)


class Teacher:
    """The shipped pipeline, as training runs it: bf16, compiled, words looked at once."""

    def __init__(self, folder: Path, device: str, block_step: Callable[..., Tensor]) -> None:
        pipe = LTXPipeline.from_pretrained(folder, vae=None, use_safetensors=True)
        self.words = pipe.tokenizer
        self.transformer: LTXVideoTransformer3DModel = pipe.transformer.to(device)
        self.text_encoder = pipe.text_encoder.to(device)
        self.transformer.requires_grad_(False)
        self.device, self.block_step = device, block_step
        grid = (LATENT_FRAMES, LATENT_SIDE, LATENT_SIDE, scale(LATENT_FRAMES))
        self.rope = self.transformer.rope(torch.zeros(1, 1, 1, device=device), *grid)

    @torch.no_grad()
    def read(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        tokens = self.words(
            captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
        ).to(self.device)
        with torch.autocast(self.device, torch.bfloat16):
            text = self.text_encoder(tokens.input_ids)[0][:, :WORDS]
        return text, tokens.attention_mask.bool()[:, :WORDS]

    def velocity(
        self,
        transformer: LTXVideoTransformer3DModel,
        x: Tensor,
        text: Tensor,
        mask: Tensor,
        sigma: Tensor,
        given: bool,
    ) -> Tensor:
        """sigma: [] or [B]. A given first frame is at timestep 0, and does not move."""
        timestep = sigma.expand(len(x)).view(-1, 1).repeat(1, LATENT_FRAMES) * 1000
        if given:
            timestep[:, 0] = 0
        with torch.autocast(self.device, torch.bfloat16):
            v = forward(
                transformer, x, text, timestep.to(self.device), mask, self.rope, self.block_step
            )
        v = v.float()
        if given:
            v = torch.cat([torch.zeros_like(v[:, : _first(v)]), v[:, _first(v) :]], 1)
        return v

    def paths(
        self, start: Tensor, captions: list[str], given: bool, steps: int, guidance: float
    ) -> Paths:
        """start: [B, N, C], noise, but for a given first frame."""
        text, mask = self.read(captions)
        nothing, nothing_mask = self.read([""])
        both = torch.cat([nothing.expand_as(text), text])
        both_mask = torch.cat([nothing_mask.expand_as(mask), mask])

        def guided(x: Tensor, sigma: Tensor) -> Tensor:
            v = self.velocity(self.transformer, x.repeat(2, 1, 1), both, both_mask, sigma, given)
            without, told = v.chunk(2)
            return without + guidance * (told - without)

        return Paths(walk(guided, start.to(self.device), steps).half(), text, mask, given)


def _first(x: Tensor) -> int:
    """Tokens of the first frame, of [B, N, C]."""
    return x.shape[1] // LATENT_FRAMES


def goals(paths: Paths, stops: Tensor) -> tuple[Tensor, Tensor]:
    """Of each path, where it is at its stop, and the velocity that goes to the next in one step.

    stops: [B], 0 to STEPS - 1; both [B, N, C].
    """
    rows, sigmas = torch.arange(len(stops)), sigma_grid(STEPS)
    here, there = paths.x[stops, rows].float(), paths.x[stops + 1, rows].float()
    width = (sigmas[stops + 1] - sigmas[stops]).view(-1, 1, 1).to(here.device)
    return here, (there - here) / width


def lesson(teacher: Teacher, student: LTXVideoTransformer3DModel, paths: Paths) -> Tensor:
    """The student's loss, every stop as often as the others."""
    count = paths.x.shape[1]
    stops = torch.arange(count)[torch.randperm(count)] % STEPS
    here, wanted = goals(paths, stops)
    made = teacher.velocity(
        student, here, paths.text, paths.mask, sigma_grid(STEPS)[stops], paths.given
    )
    return (made - wanted).square().mean()


def fresh(
    teacher: Teacher,
    data: Latents,
    strangers: Latents | None,
    rng: np.random.Generator,
    args: argparse.Namespace,
) -> Paths:
    """Clips that the teacher makes now, of words and sometimes of a given first frame."""
    given = float(rng.random()) < args.clean_first
    share = STRANGERS_SHARE if given else 0.0
    x0, _, captions = mixed(data, strangers, share, LATENT_FRAMES, args.batch, rng)
    start, x0 = torch.randn_like(pack(x0)), pack(x0)
    if given:
        start[:, : _first(start)] = x0[:, : _first(start)]
    return teacher.paths(start, captions, given, args.teacher_steps, args.guidance)


def export(weights: dict[str, Tensor], out: Path) -> None:
    """The transformer alone, in half precision, as diffusers saves one; beside a card, if there."""
    model = denoiser()
    model.load_state_dict(weights)
    model.half().save_pretrained(out, safe_serialization=True, max_shard_size="8MB")
    for path in sorted(out.iterdir()):
        print(f"{path.stat().st_size / 1e6:7.2f} MB  {path.name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="student")
    parser.add_argument("--teacher", type=Path, default=POCKET)
    parser.add_argument("--latents", default="latents")
    parser.add_argument("--strangers", help="a run of `cache_latents --strangers`")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--teacher-steps", type=int, default=12, help=f"a multiple of {STEPS}")
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--clean-first", type=float, default=0.35)
    parser.add_argument("--kept", type=int, default=64, help="batches of paths in memory")
    parser.add_argument("--lessons", type=int, default=10, help="for each new batch of paths")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--partial", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--out", type=Path, default=STUDENT)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    run, checkpoint = RUNS / args.run, RUNS / args.run / "state.pt"
    block_step = block_forward if args.no_compile else torch.compile(block_forward, dynamic=False)
    teacher = Teacher(args.teacher, args.device, block_step)
    data = Latents(RUNS / args.latents, partial=args.partial)
    strangers = Latents.of_strangers(RUNS / args.strangers, data) if args.strangers else None
    student = denoiser().to(args.device)
    student.load_state_dict(teacher.transformer.state_dict())
    optimiser = Muon(student.named_parameters(), args.lr, plain=PLAIN)
    ema = Ema(student, 0.995)
    clock, step = Clock(args.minutes * 60), 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=args.device, weights_only=True)
        student.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        ema.values, ema.steps = state["ema"], state["ema_steps"]
        clock.spent_s, step = state["spent_s"], state["step"]
    rng = np.random.default_rng((args.seed, step))
    torch.manual_seed(args.seed + step)
    known: deque[Paths] = deque(maxlen=args.kept)
    save_now = Every(120)
    running: float | None = None

    def keep() -> None:
        save(
            checkpoint,
            {
                "model": student.state_dict(),
                "optimiser": optimiser.state_dict(),
                "ema": ema.values,
                "ema_steps": ema.steps,
                "spent_s": clock.spent_s,
                "step": step,
            },
        )

    while not clock.over:
        known.append(fresh(teacher, data, strangers, rng, args))
        clock.tick()
        for number in range(args.lessons):
            if clock.over:
                break
            paths = known[-1] if number == 0 else known[int(rng.integers(len(known)))]
            for group in optimiser.param_groups:
                group["lr"] = args.lr * clock.factor
            loss = lesson(teacher, student, paths)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            value = loss.item()
            if not math.isfinite(value):
                raise RuntimeError(f"the loss is {value} at step {step}")
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            ema.update(student)
            running = value if running is None else 0.95 * running + 0.05 * value
            step += 1
            if number == 0:  # paths it has not seen: how well it does, not how well it remembers
                log(run, step=step, minutes=clock.spent_s / 60, fresh=value, loss=running)
            clock.tick()
        if save_now():
            keep()
    keep()
    export(ema.values, args.out)


if __name__ == "__main__":
    main()
