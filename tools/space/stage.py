"""Writes the files of HEAD that a Space needs to a folder, exactly as git has them.

Except that symbolic links become copies and executable bits are lost, because the Hub's commit API
knows only names and contents, and that `requirements.txt` has the versions of `PINNED` instead of
ranges.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tools.space.problem import Problem

LEFT_OUT = (
    ".ci",
    ".dockerignore",
    ".gitattributes",
    ".gitignore",
    "CONTRIBUTING.md",
    "Dockerfile",
    "Makefile",
    "bench",
    "biome.json",
    "compose.yaml",
    "demo.sh",
    "docker",
    "package-lock.json",
    "package.json",
    "requirements-dev.txt",
    "tests",
    "tools",
    "training",
    "tsconfig.json",
)
"""Not needed to run. The Space has a `.gitattributes` of its own, which says what is stored as a
large file; with our `.gitignore`, the Hub would leave out files that git tracks all the same."""

PINNED = {
    # Every version that ZeroGPU takes would do there. This one, built for CUDA 12.8, also runs
    # with the driver 575 that was seen on the Hub's own GPUs: a build for CUDA 13 needs 580, and
    # would use the CPU. One version for every hardware, for a Space's hardware can be changed at
    # any time in its settings.
    "torch": "torch==2.10.0",
}
"""By package: what a Space installs where the repository allows a range. xformers 0.0.35 was built
against this torch, so it stays in the list."""

HUB_REFUSES = (".git", ".cache")
"""Folders that cannot be in a commit made over the Hub's API."""
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
REQUIREMENTS = "requirements.txt"


@dataclass(frozen=True)
class Entry:
    """One line of `git ls-tree`."""

    mode: str
    kind: str
    name: str

    @property
    def is_link(self) -> bool:
        return self.mode == "120000"

    @property
    def is_executable(self) -> bool:
        return self.mode == "100755"


@dataclass(frozen=True)
class Staged:
    folder: Path
    commit: str
    notes: tuple[str, ...]
    """What the person should know: files that are not in the commit, and so on."""

    @property
    def short(self) -> str:
        return self.commit[:7]

    def files(self) -> dict[str, Path]:
        """By their names in the repository."""
        found = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path for path in found}


def make_stage(root: Path, folder: Path) -> Staged:
    """Writes HEAD of the checkout `root` into the empty `folder`. Raises Problem."""
    _check_it_is_a_checkout(root)
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", decode=True).strip()
    entries = [entry for entry in _entries(root) if not _is_left_out(entry.name)]
    _check_names(entries)
    _extract(root, folder)
    _replace_links(folder, [entry.name for entry in entries if entry.is_link])
    _check_whole(folder, entries)
    pin_requirements(folder / REQUIREMENTS)
    check_header(folder)
    return Staged(folder, commit, tuple(_notes(root, entries)))


def pin_requirements(file: Path) -> None:
    """The same list with the versions of PINNED. Raises Problem where one would be missing."""
    if not file.is_file():
        raise Problem(f"HEAD has no {REQUIREMENTS}: a Space would not know what to install.")
    missing = dict(PINNED)
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
        key = name[0].lower().replace("_", "-") if name else ""
        if key in missing:
            marker = line.partition("#")[0].partition(";")[2].strip()
            line = missing.pop(key) + (f"; {marker}" if marker else "")
        lines.append(line)
    lines += missing.values()
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def check_header(folder: Path) -> dict[str, Any]:
    """The Space's configuration at the top of README.md. Raises Problem."""
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8-sig", errors="replace") if readme.is_file() else ""
    found = re.match(r"---[ \t]*\r?\n(.*?)^---[ \t]*$", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise Problem(
            "README.md at HEAD does not begin with the configuration of a Space (the lines between "
            "two ---). Commit it first."
        )
    try:
        header = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        raise Problem(f"The header of README.md is not valid YAML: {error}") from error
    if not isinstance(header, dict) or header.get("sdk") != "gradio":
        raise Problem("The header of README.md at HEAD must say `sdk: gradio`.")
    app_file = str(header.get("app_file", "app.py"))
    if not (folder / app_file).is_file():
        raise Problem(
            f"The header of README.md names {app_file} as app_file; HEAD has no such file."
        )
    return header


# -- git -----------------------------------------------------------------------------------------


def _check_it_is_a_checkout(root: Path) -> None:
    """This project's own: a ZIP unpacked inside some other repository has another's HEAD."""
    try:
        top = _git(root, "rev-parse", "--show-toplevel", decode=True).strip()
    except Problem as error:
        if "not a git repository" in str(error):
            raise Problem(_NO_CHECKOUT) from error
        raise
    if Path(top).resolve() != root.resolve():
        raise Problem(_NO_CHECKOUT)
    try:
        _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except Problem as error:
        raise Problem("There is no commit yet: `git commit` first. A Space gets HEAD.") from error


_NO_CHECKOUT = (
    "This folder is not a git checkout, and what is uploaded is the commit that is checked out. "
    "Get the project with `git clone`, or `git init`, `git add .` and `git commit` here."
)


def _entries(root: Path) -> list[Entry]:
    listed = _git(root, "ls-tree", "-r", "-z", "--full-tree", "HEAD")
    found = []
    for line in filter(None, listed.split(b"\0")):
        about, _, name = line.partition(b"\t")
        mode, kind, _ = about.decode().split(" ")
        found.append(Entry(mode, kind, os.fsdecode(name)))
    return found


def _is_left_out(name: str) -> bool:
    return PurePosixPath(name).parts[0] in LEFT_OUT


def _check_names(entries: list[Entry]) -> None:
    for entry in entries:
        parts = PurePosixPath(entry.name).parts
        if entry.kind == "commit":
            raise Problem(
                f"{entry.name} is a git submodule, and an archive of a commit has no files of "
                "submodules. Commit its files themselves."
            )
        if set(parts) & set(HUB_REFUSES):
            raise Problem(f"The Hub takes no files in a folder called .git or .cache: {entry.name}")
        try:
            entry.name.encode("utf-8")
        except UnicodeEncodeError:
            shown = os.fsencode(entry.name).decode("utf-8", errors="backslashreplace")
            raise Problem(f"The name of a file at HEAD is not UTF-8: {shown}") from None


def _extract(root: Path, folder: Path) -> None:
    # without the line endings that a machine may be set to: what is in git, byte for byte
    plain = ("-c", "core.autocrlf=false", "-c", "core.eol=lf")
    leave = [f":(exclude,top,literal){name}" for name in LEFT_OUT]
    packed = _git(root, *plain, "archive", "--format=tar", "HEAD", "--", ".", *leave)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            target = folder / member.name
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.issym():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(member.linkname)
            elif member.isfile():
                content = archive.extractfile(member)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read() if content else b"")


def _replace_links(folder: Path, names: list[str]) -> None:
    """Each symbolic link by a copy of what it points to, which must be in the stage as well."""
    inside = folder.resolve()
    copies: list[tuple[Path, Path]] = []
    for name in names:
        link = folder / name
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
            target = None
        if target is None or not target.is_relative_to(inside) or target == inside:
            raise Problem(
                f"{name} is a symbolic link to {_target(link)}, which a Space does not have. "
                "Remove it, or commit the file itself."
            )
        if inside.joinpath(name).is_relative_to(target):
            raise Problem(f"{name} is a symbolic link to a folder that it is in itself.")
        copies.append((link, target))
    for link, target in copies:
        link.unlink()
        if target.is_dir():
            shutil.copytree(target, link, symlinks=False)
        else:
            shutil.copyfile(target, link)


def _target(link: Path) -> str:
    return str(link.readlink()) if link.is_symlink() else "nothing"


def _check_whole(folder: Path, entries: list[Entry]) -> None:
    """Attributes such as `export-ignore` take files out of an archive: none may be missing."""
    for entry in entries:
        path = folder / entry.name
        if not path.exists():
            raise Problem(f"`git archive` leaves out {entry.name}: see .gitattributes.")
        with path.open("rb") if path.is_file() else io.BytesIO() as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                raise Problem(
                    f"{entry.name} is kept by Git LFS, and only its pointer is in the commit. "
                    "Commit the file itself, or install git-lfs."
                )


def _notes(root: Path, entries: list[Entry]) -> list[str]:
    notes = []
    changed = _git(root, "status", "--porcelain=v1", "-z", "--no-renames")
    names = [os.fsdecode(line[3:]) for line in changed.split(b"\0") if line]
    names = [name for name in names if not _is_left_out(name)]
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        notes.append(f"Not uploaded, for only what is committed is: {', '.join(names[:3])}{more}.")
    run = [entry.name for entry in entries if entry.is_executable]
    if run:
        notes.append(f"Not executable on the Hub, which keeps no such bit: {', '.join(run)}.")
    return notes


def _git(root: Path, *words: str, decode: bool = False) -> Any:
    # a hook or an alias may have set where the repository is
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *words],  # noqa: S607
            cwd=root,
            env=env | {"LC_ALL": "C"},
            capture_output=True,
        )
    except FileNotFoundError:
        raise Problem("git is not installed, and what is uploaded is a commit.") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise Problem(f"git {words[0]} failed: {said or f'exit status {done.returncode}'}")
    return os.fsdecode(done.stdout) if decode else done.stdout
