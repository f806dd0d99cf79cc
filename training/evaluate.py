"""How good is the pocket model?  python -m training.evaluate [--workers 2] [--clips 60 ...]

Prompts in wordings that training never uses, pictures and seeds it never saw, the shipped weights,
and the app's own settings; the judges' accuracy on real renderings stands beside every figure. Run
it again with the same arguments and it goes on where it was stopped.

    --only text,pictures --clips 100 --pictures 30    a part of it, shorter
    --others 0.25                                     a quarter of every other section
    --report                                          only judge what is there already
    --sheet docs/images/pocket-samples.jpg            64 uncurated samples, and a moving sheet
    --card presets/pocket/README.md                   the tables, between the marks of a card
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import torch

from training.current_world import FPS
from training.evaluation.generate import POCKET, to_bytes
from training.evaluation.judged_clips import Evidence
from training.evaluation.plan import IN_FULL_SIZE, SECTIONS, Settings, Size, plan
from training.evaluation.report import card, findings, screen, write_card, write_json
from training.evaluation.request import Row
from training.evaluation.results_store import Shelf, fingerprint
from training.evaluation.run import make
from training.evaluation.sheets import contact_sheet, moving_sheet
from training.judges import Scorer
from training.loop import RUNS

__all__ = ["POCKET", "main", "to_bytes"]


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    usual, whole = Settings(), Size()
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", type=Path, default=POCKET)
    parser.add_argument(
        "--transformer", type=Path, help="a folder with one instead of the pipeline's own"
    )
    parser.add_argument("--clips", type=int, default=whole.clips, help="from text")
    parser.add_argument("--pictures", type=int, default=whole.pictures, help="to video")
    parser.add_argument("--others", type=float, default=whole.others, help="share of the rest")
    parser.add_argument("--only", help=f"sections: {','.join(SECTIONS)}")
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--guidance", type=float, default=usual.guidance)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--workers", type=int, default=1, help="processes beside each other")
    parser.add_argument("--renderings", type=int, default=400, help="that the judges are tried on")
    parser.add_argument("--report", action="store_true", help="make nothing")
    parser.add_argument("--out", type=Path, help="default: training/runs/evaluation/WEIGHTS")
    parser.add_argument("--json", type=Path, help="default: figures.json in the same folder")
    parser.add_argument("--card", type=Path, help="a card to write to; - prints")
    parser.add_argument("--sheet", type=Path, help="a JPEG; a WebP of the same name moves")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = arguments(argv)
    begun = time.monotonic()
    settings = Settings(args.steps, args.guidance, args.seed)
    only = tuple(args.only.split(",")) if args.only else SECTIONS
    rows = plan(Size(args.clips, args.pictures, args.others), settings, only)
    weights = fingerprint(args.weights, *([args.transformer] if args.transformer else []))
    shelf = Shelf(args.out or RUNS / "evaluation" / weights)
    scorer = Scorer() if set(only) != {"samples"} else None
    if not args.report:
        large = [row.request for row in rows if row.section in IN_FULL_SIZE]
        wanted = [row.request for row in rows]
        make(wanted, shelf, args.weights, args.workers, large, transformer=args.transformer)
    if args.sheet:
        _sheets(rows, shelf, args.sheet)
    if scorer is None:
        return
    evidence = Evidence(rows, shelf, scorer.judge)
    found = findings(evidence, scorer.judge, settings, args.renderings)
    print(screen(found))
    command = _command(argv)
    keys = {row.request.key for row in rows}
    about = {
        "command": command,
        "weights": weights,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "asked": len(keys),
        "made": len(keys & shelf.made.keys()),
        "minutes": round((time.monotonic() - begun) / 60, 1),
    }
    path = args.json or shelf.folder / "figures.json"
    write_json(path, found, about)
    print(f"{about['made']} of {about['asked']} clips; {path}")
    if str(args.card) == "-":
        print(card(found, command))
    elif args.card:
        write_card(args.card, card(found, command))


def _command(argv: list[str] | None) -> str:
    """As it can be typed again, without what only says where it is written or how fast."""
    told = list(sys.argv[1:] if argv is None else argv)
    quiet = {"--card", "--sheet", "--json", "--out", "--workers"}
    kept, skip = [], False
    for word in told:
        if skip or word.split("=")[0] in quiet or word == "--report":
            skip = not skip and word in quiet
            continue
        kept.append(word)
    return shlex.join(["python", "-m", "training.evaluate", *kept])


def _sheets(rows: list[Row], shelf: Shelf, path: Path) -> None:
    there = [r for r in rows if r.section == "samples" and r.request.key in shelf.made]
    if not there:
        print("no samples yet: no sheet")
        return
    clips = [shelf.clip(row.request.key) for row in there]
    contact_sheet(clips, [row.request.words for row in there], path)
    moving_sheet(clips, path.with_suffix(".webp"), FPS)
    for sheet in (path, path.with_suffix(".webp")):
        print(f"{sheet}: {sheet.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
