"""Evaluates the pocket model.  python -m training.evaluate [--workers 2] [--clips 60 ...]

Uses wordings, pictures and seeds that training never used, and the app's default settings. The
judges' accuracy on renderings is given beside every figure. Run it again with the same arguments to
resume.

    --only text,pictures --clips 100 --pictures 30    some sections, fewer clips
    --others 0.25                                     a quarter of every other section
    --report                                          judge existing clips only
    --sheet docs/images/pocket-samples.jpg            64 uncurated samples, and an animated sheet
    --card presets/pocket/README.md                   write the tables into a model card
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import torch

from training.current_world import FPS
from training.evaluation.clip_generator import POCKET
from training.evaluation.clip_request import PlannedClip
from training.evaluation.evaluation_plan import (
    IN_FULL_SIZE,
    SECTIONS,
    PlanSize,
    SamplingOptions,
    plan,
)
from training.evaluation.judged_clips import JudgedClips
from training.evaluation.missing_clips import generate_missing
from training.evaluation.report import (
    evaluate_all,
    format_card,
    format_text,
    write_card,
    write_json,
)
from training.evaluation.results_store import ResultsStore, fingerprint
from training.evaluation.sheets import contact_sheet, moving_sheet
from training.judges import ClipJudge
from training.loop import RUNS


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    usual, whole = SamplingOptions(), PlanSize()
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", type=Path, default=POCKET)
    parser.add_argument(
        "--transformer", type=Path, help="a folder with a transformer to use instead"
    )
    parser.add_argument("--clips", type=int, default=whole.clips, help="clips from text")
    parser.add_argument("--pictures", type=int, default=whole.pictures, help="clips from pictures")
    parser.add_argument(
        "--others",
        type=float,
        default=whole.others,
        help="share of the clips of the other sections",
    )
    parser.add_argument("--only", help=f"sections: {','.join(SECTIONS)}")
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--guidance", type=float, default=usual.guidance)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--workers", type=int, default=1, help="parallel processes")
    parser.add_argument(
        "--renderings", type=int, default=400, help="renderings to measure the judges with"
    )
    parser.add_argument("--report", action="store_true", help="generate nothing")
    parser.add_argument("--out", type=Path, help="default: training/runs/evaluation/WEIGHTS")
    parser.add_argument("--json", type=Path, help="default: figures.json in the same folder")
    parser.add_argument("--card", type=Path, help="a model card to update; - prints")
    parser.add_argument("--sheet", type=Path, help="a JPEG; also writes an animated WebP")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = arguments(argv)
    begun = time.monotonic()
    options = SamplingOptions(args.steps, args.guidance, args.seed)
    only = tuple(args.only.split(",")) if args.only else SECTIONS
    rows = plan(PlanSize(args.clips, args.pictures, args.others), options, only)
    weights = fingerprint(args.weights, *([args.transformer] if args.transformer else []))
    results = ResultsStore(args.out or RUNS / "evaluation" / weights)
    judge = ClipJudge() if set(only) != {"samples"} else None
    if not args.report:
        full_size_rows = [row.request for row in rows if row.section in IN_FULL_SIZE]
        wanted = [row.request for row in rows]
        generate_missing(
            wanted,
            results,
            args.weights,
            args.workers,
            full_size_rows,
            transformer=args.transformer,
        )
    if args.sheet:
        _sheets(rows, results, args.sheet)
    if judge is None:
        return
    clips = JudgedClips(rows, results, judge.judge)
    findings = evaluate_all(clips, judge.judge, options, args.renderings)
    print(format_text(findings))
    command = _command(argv)
    keys = {row.request.key for row in rows}
    run_info = {
        "command": command,
        "weights": weights,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "asked": len(keys),
        "made": len(keys & results.results.keys()),
        "minutes": round((time.monotonic() - begun) / 60, 1),
    }
    path = args.json or results.folder / "figures.json"
    write_json(path, findings, run_info)
    print(f"{run_info['made']} of {run_info['asked']} clips; {path}")
    if str(args.card) == "-":
        print(format_card(findings, command))
    elif args.card:
        write_card(args.card, format_card(findings, command))


def _command(argv: list[str] | None) -> str:
    """The command line without the options that do not affect the figures."""
    words = list(sys.argv[1:] if argv is None else argv)
    quiet = {"--card", "--sheet", "--json", "--out", "--workers"}
    kept, skip = [], False
    for word in words:
        if skip or word.split("=")[0] in quiet or word == "--report":
            skip = not skip and word in quiet
            continue
        kept.append(word)
    return shlex.join(["python", "-m", "training.evaluate", *kept])


def _sheets(rows: list[PlannedClip], results: ResultsStore, path: Path) -> None:
    there = [r for r in rows if r.section == "samples" and r.request.key in results.results]
    if not there:
        print("No samples yet, so no sheet was written.")
        return
    clips = [results.clip(row.request.key) for row in there]
    contact_sheet(clips, [row.request.words for row in there], path)
    moving_sheet(clips, path.with_suffix(".webp"), FPS)
    for sheet in (path, path.with_suffix(".webp")):
        print(f"{sheet}: {sheet.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
