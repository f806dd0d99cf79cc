"""Judges for the evaluation: a classifier of subject and place, a segmenter to track the motion.

    python -m training.judges [--steps 700]    trains both and prints their accuracy

Trained on renderings only, with blur and noise like a model's frames. The evaluation prints their
accuracy on new renderings beside every figure.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
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
WEIGHTS_FILE = RUNS / ("scorers-storybook.pt" if STORYBOOK else "scorers.pt")
CLIPS_PER_STEP = 10


def _stage(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.SiLU(),
        nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.SiLU(),
    )  # fmt: skip


class AppearanceClassifier(nn.Module):
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


class SubjectSegmenter(nn.Module):
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


def to_judge_input(pixels: np.ndarray) -> Tensor:
    """[F, H, W, 3] uint8 -> [F, 3, SIDE, SIDE] in 0..1."""
    return (
        torch.from_numpy(
            np.stack([cv2.resize(f, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for f in pixels])
        ).permute(0, 3, 1, 2)
        / 255
    )


def _degrade(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Augments with blur, noise and tint, like the worst frames of a small model."""
    if rng.random() < 0.6:
        size = int(rng.integers(24, 56))
        x = F.interpolate(
            F.interpolate(x, (size, size), mode="area"), (SIDE, SIDE), mode="bilinear"
        )
    x = x + torch.randn_like(x) * float(rng.uniform(0, 0.04))
    return (x * float(rng.uniform(0.9, 1.1)) + float(rng.uniform(-0.05, 0.05))).clamp(0, 1)


def train(
    steps: int = 700, seed: int = 9, weights_file: Path | None = None
) -> tuple[AppearanceClassifier, SubjectSegmenter]:
    """Trains both and writes them to `weights_file`, by default the evaluation's."""
    weights_file = weights_file or WEIGHTS_FILE
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    classifier = AppearanceClassifier().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    segmenter = SubjectSegmenter().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = [*classifier.parameters(), *segmenter.parameters()]
    optimiser = torch.optim.AdamW(parameters, 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    for step in range(steps):
        frames, masks, subjects, places = [], [], [], []
        for _ in range(CLIPS_PER_STEP):
            clip = render(rng)
            pick = rng.choice(len(clip.pixels), 4, replace=False)
            frames.append(_degrade(to_judge_input(clip.pixels[pick]), rng))
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
            subject, place = classifier(x)
            segmented = segmenter(x)
        loss = F.cross_entropy(subject.float(), torch.tensor(subjects)) + F.cross_entropy(
            place.float(), torch.tensor(places)
        )
        loss = loss + 3 * F.binary_cross_entropy_with_logits(segmented.float(), mask)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"judges: step {step + 1}, loss {loss.item():.3f}", flush=True)
    weights_file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "looks": classifier.state_dict(),
            "outline": segmenter.state_dict(),
            "world": _world_digest(),
        },
        weights_file,
    )
    return classifier.eval(), segmenter.eval()


def _world_digest() -> str:
    """A hash of the labels in their order and of one clip per motion."""
    digest = hashlib.sha256(repr((SUBJECT_NAMES, PLACE_NAMES)).encode())
    for i, motion in enumerate(MOTIONS):
        digest.update(render(np.random.default_rng(i), motion=motion).pixels.tobytes())
    return digest.hexdigest()


def matches_world(state: dict[str, Any]) -> bool:
    """Whether these weights were trained on the present world."""
    return state.get("world") == _world_digest()


def load() -> tuple[AppearanceClassifier, SubjectSegmenter]:
    if not WEIGHTS_FILE.exists():
        return train()
    state = torch.load(WEIGHTS_FILE, weights_only=True)
    if not matches_world(state):
        print("judges: the world has changed; training them again")
        return train()
    classifier, segmenter = AppearanceClassifier(), SubjectSegmenter()
    classifier.load_state_dict(state["looks"])
    segmenter.load_state_dict(state["outline"])
    return classifier.eval(), segmenter.eval()


class ClipJudge:
    def __init__(self) -> None:
        self.classifier, self.segmenter = load()

    @torch.no_grad()
    def judge(self, pixels: np.ndarray) -> Verdict:
        """pixels: [F, H, W, 3] uint8."""
        x = to_judge_input(pixels)
        subject, place = self.classifier(x)
        masks = self.segmenter(x).sigmoid().numpy()
        subjects = subject.softmax(1).mean(0)
        return Verdict(
            SUBJECT_NAMES[int(subjects.argmax())],
            PLACE_NAMES[int(place.softmax(1).mean(0).argmax())],
            motion_of(masks),
            dict(zip(SUBJECT_NAMES, subjects.tolist(), strict=True)),
        )


def _largest_component(mask: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    if count < 2:
        return np.zeros_like(mask, bool)
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


def _is_full_turn(t: np.ndarray, width: np.ndarray, height: np.ndarray) -> bool:
    """Whether it rotated once about its vertical axis: narrow twice, wide in between.

    width, height: [F], logarithms.
    """
    if np.ptp(width) < max(0.5, 1.5 * np.ptp(height)):
        return False
    a_turn = np.log(np.abs(np.cos(2 * np.pi * t)).clip(0.3))
    return bool(np.corrcoef(width, a_turn)[0, 1] > 0.6)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Median of each value and its neighbours, against single wrong outlines."""
    padded = np.pad(values, 1, mode="edge")
    return np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), 0)


def _fit_line(t: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """(slope over the whole clip, R squared of the linear fit)."""
    slope, start = np.polyfit(t, values, 1)
    spread = float(np.var(values))
    unexplained = float(np.mean((values - start - slope * t) ** 2))
    return float(slope), 1 - unexplained / spread if spread > 1e-9 else 0.0


def _net_rotation(angles: np.ndarray) -> float:
    """Total rotation in radians; 0 if it changed direction too often."""
    total = float(np.abs(np.diff(angles)).sum())
    net = abs(float(angles[-1] - angles[0]))
    return net if net > 0.6 * total else 0.0


def motion_of(masks: np.ndarray) -> str:
    """Classifies the motion by rules on position and size of the segmented subject.

    masks: [F, 64, 64] in 0..1. Returns "none" if most frames have no subject or its path is none of
    the ten, for example erratic.
    """
    outlines = [_largest_component(mask) for mask in masks]
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
    range_x, range_y = float(np.ptp(x)), float(np.ptp(y))
    growth, linear_size = _fit_line(t, size)
    if abs(growth) > 0.5 and linear_size > 0.6 and max(range_x, range_y) < 0.3:
        return "closer" if growth > 0 else "away"
    (dx, linear_x), (dy, linear_y) = _fit_line(t, x), _fit_line(t, y)
    if abs(dx) > 0.2 and linear_x > 0.75 and range_x > range_y:
        return "right" if dx > 0 else "left"
    if abs(dy) > 0.2 and linear_y > 0.75 and range_y > range_x:
        return "down" if dy > 0 else "up"
    if min(range_x, range_y) > 0.15:
        around = np.arctan2(y - (y.max() + y.min()) / 2, x - (x.max() + x.min()) / 2)
        return "circle" if _net_rotation(np.unwrap(around)) > np.pi else "none"
    if range_y > 0.12 and range_y > 1.5 * range_x:
        return "bounce" if 1.6 < np.abs(np.diff(y)).sum() / range_y < 5 else "none"
    if max(range_x, range_y) > 0.2:
        return "none"
    if _is_full_turn(t, width, height):
        return "spin"
    return "none" if np.ptp(size) > 0.75 else "still"


def main() -> None:
    from training.evaluation.judge_accuracy import measure_judge_accuracy

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--renderings", type=int, default=400)
    args = parser.parse_args()
    train(args.steps)
    accuracy = measure_judge_accuracy(ClipJudge().judge, args.renderings)
    print("on new renderings: " + ", ".join(f"{k} {v}" for k, v in accuracy.items()))


if __name__ == "__main__":
    main()
