"""Prints what Kinora makes of every video class of diffusers: a row for each folder, and totals.

python -m tests.pipelines.any.report [NAME ...] [--quick] [--offers] [--page] [--known FILE]
    [--pixels N]

NAME is a folder of the zoo or a class. --quick leaves half precision out. --offers makes no clips:
it shows what is offered under neutral names and with the sizes of real checkpoints. --known adds
the findings to FILE as lines of known.txt. --pixels: clips of more are not made, only their card is
looked at. --page writes the rows into the table of docs/models.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

from tests.pipelines.any import clip, matrix
from tests.pipelines.any.examine import examine, offered
from tests.pipelines.any.findings import KINDS, Report
from tests.pipelines.any.kinora import Kinora, forget_classes, without_logs
from tests.pipelines.any.truth import REAL_SIZES
from tests.zoo.any.build import Builder, Folder
from tests.zoo.any.classes import video_classes
from tests.zoo.any.folders import FOLDERS, folders
from tests.zoo.any.made_up import MADE_UP, in_diffusers, made_up_folders


class Ground:
    """The folders, the made-up classes among those of diffusers, and Kinora beside them."""

    def __init__(self, root: Path, *, half: bool = True) -> None:
        self.builder = Builder(root / "models")
        self.folders = folders()
        self.folders |= made_up_folders(self.folders)
        self.kinora = Kinora(root / "models", root / "data")
        self.half = Kinora(root / "models", root / "half", "bfloat16") if half else None
        self._overlay = in_diffusers(root / "overlay")

    def __enter__(self) -> Ground:
        self._overlay.__enter__()
        forget_classes()
        return self

    def __exit__(self, *error: Any) -> None:
        self._overlay.__exit__(*error)
        forget_classes()

    @property
    def classes(self) -> list[type[Any]]:
        import diffusers

        return [*video_classes().values(), *(getattr(diffusers, name) for name in MADE_UP)]

    def examine(self, folder: Folder) -> Report:
        path = self.builder.build(folder)
        return examine(self.kinora, folder, path, self.classes, self.half)

    def offered(self, name: str, gb: float = 0.0) -> Report:
        """What is offered for that folder under a name that says nothing; with `gb`, with as many
        bytes on the disk."""
        folder = self.folders[name]
        source = self.builder.build(folder)
        neutral = f"x{sum(1 for _ in self.builder.root.iterdir())}"
        target = self.builder.root / neutral
        shutil.copytree(source, target, copy_function=os.link)
        if gb:
            with (target / "weights.safetensors").open("wb") as file:
                file.truncate(int(gb * 1e9))  # sparse: it takes no room
        as_what = f"{gb:g}gb/{folder.of}" if gb else f"neutral/{name}"
        report = Report(as_what, folder.of)
        offered(self.kinora, neutral, name, folder.of, report)
        return report

    def all_offered(self) -> Iterator[Report]:
        """By neutral names, then with the sizes of real checkpoints."""
        for name in self.folders:
            yield self.offered(name)
        for of, gb in sized():
            yield self.offered(plainest(of).name, gb)


def sized() -> list[tuple[str, float]]:
    return [(of, gb) for of, sizes in REAL_SIZES.items() for gb in sizes]


def plainest(of: str) -> Folder:
    return next(each for each in FOLDERS if each.of == of)


def row(report: Report) -> str:
    clips = "; ".join(f"{task}: {words}" for task, words in report.clips.items())
    found = "; ".join(
        f"{each.kind} {each.task + ' ' if each.task else ''}{each.check}: {each.words}"
        for each in report.findings
    )
    cells = [report.folder, report.class_name, report.family, report.offers, clips, found]
    return "| " + " | ".join(cells) + f" | {report.seconds:.1f} |"


def known_lines(reports: Iterable[Report]) -> list[str]:
    return [
        f"{report.folder} {each.task or '-'} {each.check} {each.kind}: {each.words}"
        for report in reports
        for each in sorted(report.findings)
    ]


def totals(reports: list[Report]) -> list[str]:
    found = [each for report in reports for each in report.findings]
    clean = [report for report in reports if not report.findings]
    kinds = Counter(each.kind for each in found)
    holders = {
        kind: sum(any(f.kind == kind for f in r.findings) for r in reports) for kind in KINDS
    }
    checks = Counter((each.kind, each.check) for each in found)
    lines = [f"{len(reports)} folders, {len(clean)} without a finding, {len(found)} findings."]
    lines += [f"{kind}: {kinds[kind]} findings in {holders[kind]} folders" for kind in KINDS]
    lines.append(", ".join(f"{kind} {check} {n}" for (kind, check), n in sorted(checks.items())))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--known", type=Path, metavar="FILE")
    parser.add_argument("--offers", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--pixels", type=int, default=clip.MOST_PIXELS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    clip.MOST_PIXELS = arguments.pixels
    with (
        without_logs(),
        tempfile.TemporaryDirectory() as place,
        Ground(Path(place), half=not arguments.quick) as ground,
    ):
        every = list(ground.folders.values())
        wanted = [e for name in arguments.names for e in every if name in (e.name, e.of)] or every
        reports: list[Report] = []
        examined = ground.all_offered() if arguments.offers else map(ground.examine, wanted)
        print("| folder | class | family | offers | clips | findings | CPU s |")
        print("|---|---|---|---|---|---|---|")
        for each in examined:
            reports.append(each)
            print(row(each), flush=True)
            if arguments.page:
                matrix.write([matrix.row(each)])
            if arguments.known:
                with arguments.known.open("a", encoding="utf-8") as file:
                    file.writelines(f"{line}\n" for line in known_lines([each]))
        print(*totals(reports), sep="\n")


if __name__ == "__main__":
    main()
