"""Chooses the seeds of the page's examples.  python -m training.choose_examples --student FOLDER

Every prompt is drawn with several seeds by teacher and student. The seed is taken whose clip the
judges understand and whose subject is most like its drawing. Writes JSON for `training.ship`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.current_world import SUBJECTS
from training.evaluation.clip_generator import POCKET, ClipGenerator
from training.evaluation.clip_request import ClipRequest
from training.evaluation.likeness import clip_likeness
from training.evaluation.verdict import Verdict
from training.judges import ClipJudge
from training.loop import RUNS
from training.ship import POCKET as TEACHER
from training.ship import STUDENT
from training.train_student import STEPS


@dataclass(frozen=True)
class ExamplePrompt:
    prompt: str
    subject: str
    place: str
    motion: str


EXAMPLES = (
    ExamplePrompt("a rocket flying up in a starry night sky", "rocket", "night", "up"),
    ExamplePrompt("a dog running to the right in the snow", "dog", "snow", "right"),
    ExamplePrompt("a blue fish swimming to the left in the ocean", "fish", "ocean", "left"),
    ExamplePrompt("a green balloon floating up in the mountains", "balloon", "mountains", "up"),
    ExamplePrompt("a butterfly flying in circles in a meadow", "butterfly", "meadow", "circle"),
    ExamplePrompt("a red car driving to the left in the city", "car", "city", "left"),
    ExamplePrompt("a penguin bouncing in the snow", "penguin", "snow", "bounce"),
    ExamplePrompt("a robot spinning in space", "robot", "space", "spin"),
    ExamplePrompt("a dinosaur coming closer in the desert", "dinosaur", "desert", "closer"),
    ExamplePrompt("a boat sailing away at sunset", "boat", "sunset", "away"),
)


def score(example: ExamplePrompt, clip: np.ndarray, verdict: Verdict) -> float:
    """1 for each of subject, place and motion that is right, and the likeness of the subject."""
    right = sum(
        getattr(verdict, name) == getattr(example, name) for name in ("subject", "place", "motion")
    )
    subject = next(each for each in SUBJECTS if each.name == example.subject)
    return right + clip_likeness(clip, subject)


def choose_seed(
    example: ExamplePrompt,
    seeds: range,
    draw: Callable[[int], np.ndarray],
    judge: Callable[[np.ndarray], Verdict],
) -> tuple[int, float]:
    """The seed whose clip, [F, H, W, 3] uint8, has the best score, and that score; 4 is perfect."""
    scores = {}
    for seed in seeds:
        clip = draw(seed)
        scores[seed] = score(example, clip, judge(clip))
    best = max(scores, key=scores.__getitem__)
    return best, scores[best]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=POCKET)
    parser.add_argument("--student", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--out", type=Path, default=RUNS / "examples.json")
    args = parser.parse_args()

    judge = ClipJudge()
    chosen: dict[str, list[dict[str, object]]] = {}
    for name, transformer, steps, guidance in (
        (STUDENT, args.student, STEPS, 1.0),
        (TEACHER, None, 20, 3.0),
    ):
        generator = ClipGenerator(args.weights, transformer)
        chosen[name] = []
        for example in EXAMPLES:
            request = ClipRequest(example.prompt, 0, steps, guidance)
            seed, best = choose_seed(
                example,
                range(1, args.seeds + 1),
                lambda seed, generator=generator, request=request: generator.clip(
                    replace(request, seed=seed)
                ),
                judge.judge,
            )
            print(f"{name}: {example.prompt!r} seed {seed}, {best:.2f} of 4", flush=True)
            chosen[name].append({"prompt": example.prompt, "seed": seed})
    args.out.write_text(json.dumps(chosen, indent=1) + "\n")


if __name__ == "__main__":
    main()
