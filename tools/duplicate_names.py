"""Lists class names and file stems that stand for two things: `python -m tools.duplicate_names`.

A name that is defined twice sends a reader's search, and an editor's jump, to the wrong place.
Tests are left out: there a `Case` or a `Person` is known from its file.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

STEMS_OF_EVERY_PACKAGE = ("__init__", "__main__")


def sources(root: Path = ROOT) -> list[Path]:
    """The Python files of every package and at the top, without tests; relative to `root`."""
    packages = (path.parent for path in root.glob("*/__init__.py") if path.parent.name != "tests")
    paths = [*root.glob("*.py"), *(path for each in packages for path in each.rglob("*.py"))]
    return sorted(path.relative_to(root) for path in paths)


def duplicate_classes(paths: list[Path], root: Path = ROOT) -> dict[str, list[str]]:
    """Class names at the top level of several files -> those files. Private ones count as well."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        for node in ast.parse((root / path).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(path.as_posix())
    return _several(found)


def duplicate_stems(paths: list[Path]) -> dict[str, list[str]]:
    """File names without their ending, of several packages -> those files."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        if path.stem not in STEMS_OF_EVERY_PACKAGE:
            found[path.stem].append(path.as_posix())
    return _several(found)


def _several(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: places for name, places in sorted(found.items()) if len(places) > 1}


def main() -> None:
    paths = sources()
    for title, found in (
        ("class", duplicate_classes(paths)),
        ("file", duplicate_stems(paths)),
    ):
        for name, places in found.items():
            sys.stdout.write(f"{title} {name}: {', '.join(places)}\n")


if __name__ == "__main__":
    main()
