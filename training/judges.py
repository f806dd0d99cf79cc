"""Judges of a clip: what and where (a classifier), how it moved (the subject's outline, tracked).

    python -m training.judges [--steps 700]    trains them anew, and says how good they are

They learn from renderings only, blurred and noised as a model's frames are; their own accuracy on
fresh renderings is always printed beside what they say of a model.
"""

from __future__ import annotations

import argparse
import hashlib
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.current_world import PLACE_NAMES, STORYBOOK, SUBJECT_NAMES, render
from training.evaluation.verdict import Verdict
from training.loop import RUNS
from training.world.motions import MOTIONS

SIDE = 64
SCORERS = RUNS / ("scorers-storybook.pt" if STORYBOOK else "scorers.pt")
CLIPS_A_STEP = 10


def _stage(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.SiLU(),
        nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.SiLU(),
    )  # fmt: skip


class Looks(nn.Module):
    """[N, 3, 64, 64] in 0..1 -> logits of subject and of place."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _stage(3, 32),
            nn.MaxPool2d(2),
            _stage(32, 64),
            nn.MaxPool2d(2),
            _stage(64, 128),
            nn.MaxPool2d(2),
            _stage(128, 192),
        )
        self.subject = nn.Linear(192, len(SUBJECT_NAMES))
        self.place = nn.Linear(192, len(PLACE_NAMES))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.subject(h.amax((2, 3))), self.place(h.mean((2, 3)))


class Outline(nn.Module):
    """[N, 3, 64, 64] in 0..1 -> [N, 64, 64] logits: is this pixel the subject?"""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = _stage(3, 24), _stage(24, 48), _stage(48, 96)
        self.deep = _stage(96, 96)
        self.up2, self.up1, self.up0 = _stage(96 + 96, 48), _stage(48 + 48, 24), _stage(24 + 24, 24)
        self.out = nn.Conv2d(24, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(F.max_pool2d(a, 2))
        c = self.c(F.max_pool2d(b, 2))
        h = self.deep(F.max_pool2d(c, 2))
        h = self.up2(torch.cat([F.interpolate(h, scale_factor=2.0), c], 1))
        h = self.up1(torch.cat([F.interpolate(h, scale_factor=2.0), b], 1))
        h = self.up0(torch.cat([F.interpolate(h, scale_factor=2.0), a], 1))
        return self.out(h)[:, 0]


def small(pixels: np.ndarray) -> Tensor:
    """[F, H, W, 3] uint8 -> [F, 3, 64, 64] in 0..1."""
    return (
        torch.from_numpy(
            np.stack([cv2.resize(f, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for f in pixels])
        ).permute(0, 3, 1, 2)
        / 255
    )


def _worn(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Blurred, noised, tinted: what a small model's frames look like at worst."""
    if rng.random() < 0.6:
        size = int(rng.integers(24, 56))
        x = F.interpolate(
            F.interpolate(x, (size, size), mode="area"), (SIDE, SIDE), mode="bilinear"
        )
    x = x + torch.randn_like(x) * float(rng.uniform(0, 0.04))
    return (x * float(rng.uniform(0.9, 1.1)) + float(rng.uniform(-0.05, 0.05))).clamp(0, 1)


def train(steps: int = 700, seed: int = 9) -> tuple[Looks, Outline]:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    looks = Looks().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    outline = Outline().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = [*looks.parameters(), *outline.parameters()]
    optimiser = torch.optim.AdamW(parameters, 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    for step in range(steps):
        frames, masks, subjects, places = [], [], [], []
        for _ in range(CLIPS_A_STEP):
            clip = render(rng)
            pick = rng.choice(len(clip.pixels), 4, replace=False)
            frames.append(_worn(small(clip.pixels[pick]), rng))
            masks.append(
                torch.from_numpy(
                    np.stack(
                        [
                            cv2.resize(m, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
                            for m in clip.masks[pick]
                        ]
                    )
                )
            )
            subjects += [SUBJECT_NAMES.index(clip.subject.name)] * 4
            places += [PLACE_NAMES.index(clip.place.name)] * 4
        x = torch.cat(frames).contiguous(memory_format=torch.channels_last)
        mask = torch.cat(masks).float() / 255
        with torch.autocast("cpu", torch.bfloat16):
            subject, place = looks(x)
            drawn = outline(x)
        loss = F.cross_entropy(subject.float(), torch.tensor(subjects)) + F.cross_entropy(
            place.float(), torch.tensor(places)
        )
        loss = loss + 3 * F.binary_cross_entropy_with_logits(drawn.float(), mask)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"scorers: step {step + 1}, loss {loss.item():.3f}", flush=True)
    SCORERS.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"looks": looks.state_dict(), "outline": outline.state_dict(), "world": _world()}, SCORERS
    )
    return looks.eval(), outline.eval()


def _world() -> str:
    """A digest of what is shown: the names in their order, and a film of each motion."""
    digest = hashlib.sha256(repr((SUBJECT_NAMES, PLACE_NAMES)).encode())
    for i, motion in enumerate(MOTIONS):
        digest.update(render(np.random.default_rng(i), motion=motion).pixels.tobytes())
    return digest.hexdigest()


def fit(state: dict[str, Any]) -> bool:
    """Whether judges were trained for the world as it is."""
    return state.get("world") == _world()


def load() -> tuple[Looks, Outline]:
    if not SCORERS.exists():
        return train()
    state = torch.load(SCORERS, weights_only=True)
    if not fit(state):
        print("scorers: the world has changed since they learned it; they learn it anew")
        return train()
    looks, outline = Looks(), Outline()
    looks.load_state_dict(state["looks"])
    outline.load_state_dict(state["outline"])
    return looks.eval(), outline.eval()


class Scorer:
    def __init__(self) -> None:
        self.looks, self.outline = load()

    @torch.no_grad()
    def judge(self, pixels: np.ndarray) -> Verdict:
        """pixels: [F, H, W, 3] uint8."""
        x = small(pixels)
        subject, place = self.looks(x)
        masks = self.outline(x).sigmoid().numpy()
        subjects = subject.softmax(1).mean(0)
        return Verdict(
            SUBJECT_NAMES[int(subjects.argmax())],
            PLACE_NAMES[int(place.softmax(1).mean(0).argmax())],
            motion_of(masks),
            dict(zip(SUBJECT_NAMES, subjects.tolist(), strict=True)),
        )


def _largest(mask: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    if count < 2:
        return np.zeros_like(mask, bool)
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


def _turns(t: np.ndarray, width: np.ndarray, height: np.ndarray) -> bool:
    """Whether it went round once: from the front to an edge, the back, an edge and the front.

    Width and height as logarithms, a value a frame.
    """
    if np.ptp(width) < max(0.5, 1.5 * np.ptp(height)):
        return False
    a_turn = np.log(np.abs(np.cos(2 * np.pi * t)).clip(0.3))
    return bool(np.corrcoef(width, a_turn)[0, 1] > 0.6)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Each value's median with its neighbours: one frame's wrong outline moves nothing."""
    padded = np.pad(values, 1, mode="edge")
    return np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), 0)


def _line(t: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """(change over the whole clip, how much of the variance a steady change explains)."""
    slope, start = np.polyfit(t, values, 1)
    spread = float(np.var(values))
    unexplained = float(np.mean((values - start - slope * t) ** 2))
    return float(slope), 1 - unexplained / spread if spread > 1e-9 else 0.0


def _sweep(angles: np.ndarray) -> float:
    """How far it turned in one direction; 0 if it went to and fro."""
    ways = float(np.abs(np.diff(angles)).sum())
    net = abs(float(angles[-1] - angles[0]))
    return net if net > 0.6 * ways else 0.0


def motion_of(masks: np.ndarray) -> str:
    """The name of the motion, by rules on the path of the subject's outline.

    masks: [F, 64, 64] in 0..1. "none" if there is no subject in most frames,
    or if its path is none of the ten: a subject that leaps about has not moved as it was told.
    """
    outlines = [_largest(mask) for mask in masks]
    keep = [i for i, outline in enumerate(outlines) if outline.sum() >= 12]
    if len(keep) < 0.6 * len(masks):
        return "none"
    outlines = [outlines[i] for i in keep]
    t = np.array(keep) / (len(masks) - 1)
    points = [np.argwhere(outline) for outline in outlines]
    centres = np.array([p.mean(0)[::-1] / SIDE for p in points])
    size = _smooth(np.array([np.log(len(p)) / 2 for p in points]))
    height, width = (_smooth(np.log([p[:, k].std() + 0.3 for p in points])) for k in (0, 1))
    x, y = _smooth(centres[:, 0]), _smooth(centres[:, 1])
    wide, tall = float(np.ptp(x)), float(np.ptp(y))
    growth, steadily = _line(t, size)
    if abs(growth) > 0.5 and steadily > 0.6 and max(wide, tall) < 0.3:
        return "closer" if growth > 0 else "away"
    (across, straight_x), (along, straight_y) = _line(t, x), _line(t, y)
    if abs(across) > 0.2 and straight_x > 0.75 and wide > tall:
        return "right" if across > 0 else "left"
    if abs(along) > 0.2 and straight_y > 0.75 and tall > wide:
        return "down" if along > 0 else "up"
    if min(wide, tall) > 0.15:
        around = np.arctan2(y - (y.max() + y.min()) / 2, x - (x.max() + x.min()) / 2)
        return "circle" if _sweep(np.unwrap(around)) > np.pi else "none"
    if tall > 0.12 and tall > 1.5 * wide:
        return "bounce" if 1.6 < np.abs(np.diff(y)).sum() / tall < 5 else "none"
    if max(wide, tall) > 0.2:
        return "none"
    if _turns(t, width, height):
        return "spin"
    return "none" if np.ptp(size) > 0.75 else "still"


def main() -> None:
    from training.evaluation.judge_accuracy import judges

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--renderings", type=int, default=400)
    args = parser.parse_args()
    train(args.steps)
    right = judges(Scorer().judge, args.renderings)
    print("on fresh renderings: " + ", ".join(f"{k} {v}" for k, v in right.items()))


if __name__ == "__main__":
    main()
