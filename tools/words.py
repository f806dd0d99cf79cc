"""Counts the words of the project's old private dialect: `python -m tools.words [REV] [--list]`.

Prints occurrences per 1,000 lines for each package: in code (identifiers, comments, docstrings), in
log messages, and in text for users (other strings, JavaScript, cards, documentation). Tests are not
counted: their names are sentences. tests/test_words.py holds the limits.
"""

from __future__ import annotations

import argparse
import ast
import io
import math
import re
import subprocess
import tarfile
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["code", "logs", "text"]
KINDS: tuple[Kind, ...] = ("code", "logs", "text")

ROOT = Path(__file__).resolve().parent.parent
FILES = ("*.py", "*.md", "*.js", "*.css", "*.html", "*.yaml", "*.yml", "*.sh", "Dockerfile",
         "Makefile", ".ci/run")  # fmt: skip
LINE = 100
"""Columns: a paragraph of Markdown is one line of the file and many on the screen."""

DIALECT = re.compile(
    r"\b(?:tells?|told|telling|asks?|asked|asking|news|newsdesk|hears?|heard|hearers?|whoever|"
    r"wish|wishes|wished|lends?|lent|lending|stumbl\w*|anew|bury|buried|buries|desk|parcels?|"
    r"turnstiles?|somebody|(?:goes|going|went) on|patien(?:t|ce|tly)|in mind|"
    r"develop(?:s|ed|ing)?|strangers?)\b",
    re.IGNORECASE,
)
IN_NAMES = re.compile(rf"{DIALECT.pattern}|\bgivens?\b", re.IGNORECASE)
"""In prose, `given` is an ordinary participle; as a name it said "upload" or "input"."""

LEFT_OUT = {
    "docs/LOG.md": "a diary: entries stay as they were written",
    "LICENSE": "not ours",
    "tests/": "sentences about behaviour",
    "tools/words.py": "has to name the words",
    "ui/static/vendor/": "not ours",
}

ON_DISK_OR_WIRE = {
    "asked": "column of `jobs`, and field of Adjustment in every response",
    "lent": "folder of LoRAs that are sent to workers",
    "develop": "field of an error on the page's own routes, and event of the stage",
    "stranger": "kind of picture in ClipRequest, which is hashed into the names of clips on disk",
}
"""Allowed as an attribute, a keyword, a field, a string that is nothing else, or in the code of a
page of documentation; never as the name of a variable or in a sentence."""
QUOTED = re.compile(rf"""[.`"'](?:{"|".join(ON_DISK_OR_WIRE)})\b""")
"""These names in Markdown and JavaScript."""

REDIS_KEYS = {
    "kinora:asked:": "stop requests, read by workers of other versions",
    "kinora:news:": "messages of workers of other versions",
}
"""Allowed wherever they stand: a Redis key is rarely a string that is nothing else."""

OTHER_USES = (
    r"news(?=\.)|newsletter",  # a domain in a test of origins
    r"going on(?= ZeroGPU)",
    r"[Dd]eveloping (?:Kinora|it)",
    r"Desk(?=\.progress)",  # quoted from an old commit in docs/architecture.md
    r"--strangers(?:-share)?\b",  # options of finished and resumable trainings
    r"\bstorybook-strangers\b",  # a run of them
    r"\bstranger:",  # a ClipRequest's picture, see ON_DISK_OR_WIRE
)
"""Ordinary English with the same letters, and names that are part of longer ones."""


@dataclass
class Count:
    """What was found in one kind of text of one package."""

    lines: int = 0
    words: Counter[str] = field(default_factory=Counter)

    @property
    def per_1000(self) -> float:
        return 1000 * self.words.total() / self.lines if self.lines else 0.0


@dataclass(frozen=True)
class Found:
    kind: Kind
    place: str
    word: str


def package_of(path: str) -> str:
    first, _, rest = path.partition("/")
    if path.endswith(".md") and first not in ("presets", "training"):
        return "docs"
    if rest:
        return {"docker": "deployment", ".ci": "deployment"}.get(first, first)
    return "top" if path.endswith(".py") else "deployment"


def sources(rev: str | None) -> Iterator[tuple[str, str]]:
    """(path, text) of every file that is counted, of the working tree or of a commit."""
    if rev is None:
        listed = _git("ls-files", "--cached", "--others", "--exclude-standard", "-z", *FILES)
        names = sorted(set(listed.decode().split("\0")) - {""})
        files = ((n, (ROOT / n).read_text(encoding="utf-8")) for n in names if (ROOT / n).is_file())
    else:
        with tarfile.open(fileobj=io.BytesIO(_git("archive", rev))) as archive:
            matching = [m for m in archive if m.isfile() and _is_source(m.name)]
            files = [(m.name, _member(archive, m)) for m in matching]
    for name, text in files:
        if not name.startswith(tuple(LEFT_OUT)):
            yield name, text


def _is_source(name: str) -> bool:
    return any(Path(name).match(pattern) for pattern in FILES)


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    return file.read().decode() if file else ""


def _git(*arguments: str) -> bytes:
    return subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout


# -- reading -------------------------------------------------------------------------------------


def lines_of(text: str) -> int:
    """Lines of the screen, without empty ones."""
    return sum(math.ceil(len(line) / LINE) for line in text.splitlines() if line.strip())


def passages(path: str, text: str) -> Iterator[tuple[Kind, int, str, bool]]:
    """(kind, line, text, whether it is a name) of everything in the file that is counted."""
    if not path.endswith(".py"):
        for number, line in enumerate(text.splitlines(), 1):
            yield "text", number, QUOTED.sub("", line), False
        return
    yield from _names_and_comments(text)
    tree = ast.parse(text)
    docstrings = _docstrings(tree)
    messages = {
        id(node) for call in ast.walk(tree) if _is_log_call(call) for node in ast.walk(call)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in docstrings:
                yield "code", node.lineno, node.value, False
            elif node.value not in ON_DISK_OR_WIRE:
                yield ("logs" if id(node) in messages else "text"), node.lineno, node.value, False


def _names_and_comments(text: str) -> Iterator[tuple[Kind, int, str, bool]]:
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    depth = 0
    for before, token, after in zip([tokens[-1], *tokens], tokens, tokens[1:], strict=False):
        depth += (token.string in "([{") - (token.string in ")]}") if token.string else 0
        if token.type == tokenize.COMMENT:
            yield "code", token.start[0], token.string, False
        elif token.type == tokenize.NAME:
            is_member = before.string == "." or (depth and after.string == "=")
            is_field = after.string == ":" and before.type in (tokenize.INDENT, tokenize.NEWLINE)
            if not (token.string in ON_DISK_OR_WIRE and (is_member or is_field)):
                yield "code", token.start[0], split_name(token.string), True


def split_name(name: str) -> str:
    """`lentFolder` and `_lent_folder` as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ")


def _docstrings(tree: ast.AST) -> set[int]:
    """Strings that stand alone as a statement: docstrings, and those below a constant."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def _is_log_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("log", "logger", "logging")
    )


def found_in(path: str, text: str) -> Iterator[Found]:
    for kind, number, passage, is_name in passages(path, text):
        for use in (*OTHER_USES, *REDIS_KEYS):
            passage = re.sub(use, "", passage)
        if not is_name and not path.endswith(".md"):
            passage = split_name(passage)
        for word in (IN_NAMES if is_name else DIALECT).findall(passage):
            yield Found(kind, f"{path}:{number}", word.lower())


# -- counting ------------------------------------------------------------------------------------


def count(files: Iterable[tuple[str, str]]) -> dict[str, dict[Kind, Count]]:
    """By package and kind. Lines are those of the package's files: the share of log messages in
    them is small, so a few words there count for little, and are limited by number."""
    counts: dict[str, dict[Kind, Count]] = {}
    for path, text in files:
        package = counts.setdefault(package_of(path), {kind: Count() for kind in KINDS})
        for kind in KINDS if path.endswith(".py") else ("text",):
            package[kind].lines += lines_of(text)
        for found in found_in(path, text):
            package[found.kind].words[found.word] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rev", nargs="?", help="a commit; the working tree if left out")
    parser.add_argument("--list", action="store_true", help="also print every place")
    options = parser.parse_args()
    files = list(sources(options.rev))
    if options.list:
        for path, text in files:
            for found in found_in(path, text):
                print(f"{found.place}: {found.kind}: {found.word}")
    total: dict[Kind, Count] = {kind: Count() for kind in KINDS}
    print(f"{'per 1,000 lines':<16}{''.join(f'{kind:>10}' for kind in KINDS)}   (occurrences)")
    for package, kinds in sorted(count(files).items()):
        _print_row(package, kinds)
        for kind, each in kinds.items():
            total[kind].lines += each.lines
            total[kind].words += each.words
    _print_row("all", total)
    for kind in KINDS:
        most = ", ".join(f"{word} {n}" for word, n in total[kind].words.most_common(12))
        print(f"{kind}: {most}")


def _print_row(name: str, kinds: dict[Kind, Count]) -> None:
    shares = "".join(f"{kinds[kind].per_1000:>10.1f}" for kind in KINDS)
    print(f"{name:<16}{shares}   ({' / '.join(str(kinds[k].words.total()) for k in KINDS)})")


if __name__ == "__main__":
    main()
