"""How good is the pocket model?  python -m training.evaluate [--clips 60] [--pictures 20]

Prompts in wordings that training never uses, pictures and seeds it never saw, the shipped weights,
and the app's own settings. Prints the judges' accuracy on real renderings beside every figure.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import LTXImageToVideoPipeline, LTXPipeline
from PIL import Image

from training.captions_held_out import sentence
from training.loop import RUNS, psnr
from training.scorers import Scorer, accuracy_on_renderings
from training.train_autoencoder import held_out
from training.world.motions import MOTIONS
from training.world.places import PLACES
from training.world.render import FPS, FRAMES, SIDE, render
from training.world.subjects import SUBJECTS

POCKET = Path(__file__).parent.parent / "presets" / "pocket"


def triples(count: int, seed: int) -> list[tuple[int, int, int]]:
    """Subjects, places and motions in even shares, combined at random."""
    rng = np.random.default_rng(seed)
    columns = [
        np.concatenate([rng.permutation(n) for _ in range(count // n + 1)])[:count]
        for n in (len(SUBJECTS), len(PLACES), len(MOTIONS))
    ]
    return [(int(s), int(p), int(m)) for s, p, m in zip(*columns, strict=True)]


def sheet(clips: list[np.ndarray], path: Path, columns: int = 6) -> None:
    pick = [round(i * (FRAMES - 1) / (columns - 1)) for i in range(columns)]
    rows = [np.concatenate(list(clip[pick]), 1) for clip in clips]
    half = (len(rows) + 1) // 2
    rows += [np.zeros_like(rows[0])] * (2 * half - len(rows))
    Image.fromarray(
        np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half:])], 1)
    ).save(path)


def to_bytes(frames: np.ndarray) -> np.ndarray:
    return (frames.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=POCKET)
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=90_001)
    parser.add_argument("--sheet", type=Path, default=RUNS / "evaluation.png")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    figures: dict[str, float] = {}
    scorer = Scorer()
    own, errors = accuracy_on_renderings(scorer)
    figures |= {f"judge_{k}": v for k, v in own.items()}
    print(f"judges on real renderings: {own}; wrong motions: {errors}", flush=True)

    text: Any = LTXPipeline.from_pretrained(args.weights, use_safetensors=True)
    picture: Any = LTXImageToVideoPipeline(**text.components)
    for pipe in (text, picture):
        pipe.set_progress_bar_config(disable=True)
    shape: dict[str, Any] = {"width": SIDE, "height": SIDE, "num_frames": FRAMES, "frame_rate": FPS}
    calls = shape | {
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance,
        "output_type": "np",
    }

    with torch.no_grad():
        truth = held_out(24)
        made = torch.cat(
            [text.vae.decode(text.vae.encode(x[None]).latent_dist.mode()).sample for x in truth]
        )
    scores = [psnr(a / 2, b.clamp(-1, 1) / 2) for a, b in zip(truth, made, strict=True)]
    figures["autoencoder_psnr_db"] = float(np.mean(scores))
    print(
        f"autoencoder: {np.mean(scores):.2f} dB on {len(scores)} whole clips "
        f"(worst {min(scores):.2f})",
        flush=True,
    )

    rng = np.random.default_rng(args.seed)
    hits = {"subject": 0, "place": 0, "motion": 0}
    by_motion: dict[str, list[bool]] = {}
    clips, begun = [], time.monotonic()
    for i, (s, p, m) in enumerate(triples(args.clips, args.seed)):
        words = sentence(SUBJECTS[s], PLACES[p], MOTIONS[m], rng)
        generator = torch.Generator().manual_seed(args.seed + i)
        clip = to_bytes(text(prompt=words, generator=generator, **calls).frames[0])
        verdict = scorer.judge(clip)
        hits["subject"] += verdict.subject == SUBJECTS[s].name
        hits["place"] += verdict.place == PLACES[p].name
        hits["motion"] += verdict.motion == MOTIONS[m].name
        by_motion.setdefault(MOTIONS[m].name, []).append(verdict.motion == MOTIONS[m].name)
        clips.append(clip)
        print(f"{i + 1}/{args.clips} {words!r} -> {verdict}", flush=True)
    for k, v in hits.items():
        figures[f"text_{k}"] = v / args.clips
    figures["seconds_a_clip"] = (time.monotonic() - begun) / args.clips
    sheet(clips[:32], args.sheet)

    first, moved, kept = [], 0, 0
    for i, (s, p, m) in enumerate(triples(args.pictures, args.seed + 1)):
        source = render(
            np.random.default_rng((args.seed, i)),
            subject=SUBJECTS[s],
            place=PLACES[p],
            motion=MOTIONS[m],
        )
        given = source.pixels[0]
        words = sentence(SUBJECTS[s], PLACES[p], MOTIONS[m], rng)
        generator = torch.Generator().manual_seed(args.seed + i)
        clip = to_bytes(
            picture(
                image=Image.fromarray(given), prompt=words, generator=generator, **calls
            ).frames[0]
        )
        first.append(psnr(torch.from_numpy(clip[0]) / 255, torch.from_numpy(given) / 255))
        verdict = scorer.judge(clip)
        moved += verdict.motion == MOTIONS[m].name
        kept += verdict.subject == SUBJECTS[s].name
        print(
            f"picture {i + 1}/{args.pictures} {words!r} -> {verdict}, "
            f"first frame {first[-1]:.1f} dB",
            flush=True,
        )
    if args.pictures:
        figures["picture_first_frame_psnr_db"] = float(np.mean(first))
        figures["picture_motion"] = moved / args.pictures
        figures["picture_subject"] = kept / args.pictures
    print(
        "motions, text: " + ", ".join(f"{k} {np.mean(v):.2f}" for k, v in sorted(by_motion.items()))
    )
    print(json.dumps({k: round(v, 3) for k, v in figures.items()}, indent=1))
    if args.json:
        args.json.write_text(
            json.dumps(figures | {"clips": args.clips, "pictures": args.pictures}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
