"""What `--out` may be: regular files are replaced whole, everything else is written to or refused
before a clip is made."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.output import FORMATS, Output, choose_output
from errors import KinoraError
from media.files import atomic_write, part_name
from settings import ROOT
from tests.forks import Forks
from tests.small_disks import mounted

CLIP = b"a clip" * 10_000
QUICK = ("a dog", "--frames", "5", "--steps", "1")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "clip.mp4"
    path.write_bytes(CLIP)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Nothing that was not asked for may be left in it."""
    folder = tmp_path / "out"
    folder.mkdir()
    yield folder
    assert [path.name for path in folder.rglob("*.part")] == []


Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(tiny_env: dict[str, str], forks: Forks) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return forks.run(["generate", *QUICK, *arguments], tiny_env)

    return run


# -- regular files -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode(clip: Path, folder: Path, mode: int) -> None:
    out = folder / "a.mp4"
    out.write_bytes(b"before")
    out.chmod(mode)
    before = out.stat().st_ino
    assert Output(out).write(clip) == str(out)
    assert out.read_bytes() == CLIP
    assert stat.S_IMODE(out.stat().st_mode) == mode
    assert out.stat().st_ino != before, "a reader of the old clip still has it"


def test_a_new_file_has_the_mode_that_the_umask_gives(clip: Path, folder: Path) -> None:
    Output(folder / "a.webm").write(clip)
    (folder / "other").touch()
    assert (folder / "a.webm").stat().st_mode == (folder / "other").stat().st_mode


@given(
    letters=st.integers(1, 251), letter=st.sampled_from("aé犬🐕"), ending=st.sampled_from(FORMATS)
)
def test_every_name_that_the_disk_takes_is_written(
    tmp_path_factory: pytest.TempPathFactory, clip: Path, letters: int, letter: str, ending: str
) -> None:
    folder = tmp_path_factory.mktemp("names")
    room = 255 - len(f".{ending}")
    name = (letter * letters).encode()[:room].decode(errors="ignore") or "a"
    out = folder / f"{name}.{ending}"
    assert choose_output(None, out)[0] == ending
    Output(out).write(clip)
    assert [path.name for path in folder.iterdir()] == [out.name]
    assert out.read_bytes() == CLIP


@given(
    names=st.lists(st.text("ab", min_size=140, max_size=255), min_size=2, max_size=5, unique=True)
)
def test_temporary_names_are_short_enough_and_never_the_same(names: list[str]) -> None:
    parts = [part_name(Path(name)).name for name in names]
    assert len(set(parts)) == len(names)
    assert all(len(part) < 256 and part.endswith(".part") for part in parts)


def test_a_file_of_a_long_name_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    with atomic_write(path) as part:
        part.write_bytes(b"x")
    assert path.read_bytes() == b"x"


# -- what is no regular file ---------------------------------------------------------------------


def test_a_link_is_kept_and_what_it_leads_to_is_written(clip: Path, folder: Path) -> None:
    target, out = folder / "target", folder / "link.mp4"
    target.write_bytes(b"before")
    inode = target.stat().st_ino
    out.symlink_to(target)
    Output(out).write(clip)
    assert out.is_symlink() and target.read_bytes() == CLIP
    assert target.stat().st_ino == inode


def test_a_link_to_a_file_that_is_not_there_makes_it(clip: Path, folder: Path) -> None:
    out = folder / "link.mp4"
    out.symlink_to("target.mp4")
    Output(out).write(clip)
    assert out.is_symlink() and (folder / "target.mp4").read_bytes() == CLIP


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_device_stays_one(clip: Path, folder: Path, through_a_link: bool) -> None:
    device = folder / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.write_bytes(b"")
    except PermissionError:
        pytest.skip("making a device is not permitted here")
    out = folder / "link" if through_a_link else device
    if through_a_link:
        out.symlink_to(device)
    assert choose_output(None, out)[0] == "mp4"
    Output(out).write(clip)
    assert stat.S_ISCHR(device.stat().st_mode) and out.is_symlink() == through_a_link


def test_dev_null_is_still_there(run: Run) -> None:
    before = Path("/dev/null").stat()
    done = run("--out", "/dev/null")
    assert (done.returncode, done.stdout) == (0, b"/dev/null\n"), done.stderr
    after = Path("/dev/null").stat()
    assert stat.S_ISCHR(after.st_mode) and os.path.samestat(before, after)


def test_a_pipe_gets_the_clip(clip: Path, folder: Path) -> None:
    out, read = folder / "pipe", []
    os.mkfifo(out)
    reader = threading.Thread(target=lambda: read.append(out.read_bytes()))
    output = Output(out)
    reader.start()
    output.write(clip)
    reader.join(10)
    assert read == [CLIP] and stat.S_ISFIFO(out.stat().st_mode)


def test_a_file_that_is_a_mount_of_its_own_is_written_to(clip: Path, folder: Path) -> None:
    """As Docker mounts one file: it cannot be replaced."""
    out, real = folder / "a.mp4", folder / "real"
    out.touch()
    real.write_bytes(b"before")
    with mounted(out, "--bind", str(real)):
        Output(out).write(clip)
    assert real.read_bytes() == CLIP


# -- standard output -----------------------------------------------------------------------------


def write_in_a_process(
    clip: Path, name: str, stdout: int | IO[bytes] = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """A process of its own, whose standard output is ours to choose."""
    code = (
        "import sys; from pathlib import Path; from cli.output import Output\n"
        "from errors import KinoraError\n"
        "try: Output(Path(sys.argv[1])).write(Path(sys.argv[2]))\n"
        "except KinoraError as error: sys.exit(error.message)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, name, str(clip)],
        cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_standard_output_gets_the_clip_and_nothing_else(run: Run) -> None:
    done = run("--out", "-", "--format", "gif")
    assert done.returncode == 0, done.stderr
    assert done.stdout[:6] == b"GIF89a" and done.stdout[-1:] == b";"


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_has_more_than_one_name(clip: Path, name: str) -> None:
    assert write_in_a_process(clip, name).stdout == CLIP


def test_standard_output_into_a_file_leaves_the_device_alone(clip: Path, tmp_path: Path) -> None:
    with (tmp_path / "mine.mp4").open("wb") as file:
        write_in_a_process(clip, "/dev/stdout", file)
    assert (tmp_path / "mine.mp4").read_bytes() == CLIP
    assert Path("/dev/stdout").is_symlink()


def test_a_reader_that_is_gone_is_a_sentence(clip: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = write_in_a_process(clip, "-", write)
    os.close(write)
    assert done.returncode == 1
    said = f"The clip was made, but standard output cannot be written. It is here: {clip}\n"
    assert done.stderr.decode() == said


def test_json_and_the_clip_do_not_share_standard_output(run: Run) -> None:
    done = run("--out", "-", "--json")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--out and --json would both write to standard output." in done.stderr


def test_json_names_the_file_that_was_written(run: Run, tmp_path: Path) -> None:
    out = tmp_path / ("n" * 251 + ".mp4")
    out.write_bytes(b"before")
    out.chmod(0o600)
    done = run("--out", str(out), "--json")
    assert json.loads(done.stdout)["path"] == str(out)
    assert (out.read_bytes()[4:8], stat.S_IMODE(out.stat().st_mode)) == (b"ftyp", 0o600)


# -- refused before anything is made -------------------------------------------------------------


def refusal(out: Path, format: str | None = None) -> str:
    with pytest.raises(KinoraError) as error:
        choose_output(format, out)
    return error.value.message


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda f: f / "no" / "a.mp4", "its folder is not there"),
        (lambda f: f / "file" / "a.mp4", "its folder is not there"),
        (lambda f: f / ("n" * 252 + ".mp4"), "the name is too long"),
        (lambda f: f / "folder.mp4", "is a folder"),
        (lambda f: f / "loop.mp4", "a link that leads to itself"),
        (lambda f: f / "dangling.mp4", "its folder is not there"),
        (lambda f: f / "to-folder.mp4", "is a folder"),
        (lambda f: f / "socket.mp4", "is no file"),
        (lambda f: f / "a.mov", ".mp4, .webm, .gif"),
        (lambda f: f / "a", ".mp4, .webm, .gif"),
        (lambda f: Path("/proc/a.mp4"), "its folder is not there"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_reason(
    folder: Path, make: Callable[[Path], Path], says: str
) -> None:
    import socket

    (folder / "file").touch()
    (folder / "folder.mp4").mkdir()
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "dangling.mp4").symlink_to("nowhere/at/all.mp4")
    (folder / "to-folder.mp4").symlink_to("folder.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(folder, os.O_RDONLY)  # a socket's whole path may have 108 bytes
        listener.bind(f"/proc/self/fd/{here}/socket.mp4")
        os.close(here)
        before = sorted(path.name for path in folder.iterdir())
        assert says in refusal(make(folder))
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_read_only_disk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "ro", "none"):
        assert "the file system is read-only" in refusal(tmp_path / "disk" / "a.mp4")


def test_a_full_disk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=64k,nr_inodes=1", "none"):
        assert "the disk is full" in refusal(tmp_path / "disk" / "a.mp4")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change to another user")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_written_is_refused(folder: Path, what: str) -> None:
    (folder / "a.mp4").touch()
    (folder / "a.mp4").chmod(0o444 if what == "file" else 0o666)
    folder.chmod(0o777 if what == "file" else 0o555)
    for above in (folder.parent, folder.parent.parent, folder.parent.parent.parent):
        above.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path; from cli.output import choose_output\n"
        "from errors import KinoraError; os.setuid(65534)\n"
        "try: choose_output(None, Path(sys.argv[1]))\n"
        "except KinoraError as error: print(error.message)"
    )
    name = "a.mp4" if what == "file" else "new.mp4"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / name)], cwd=ROOT, capture_output=True, text=True
    )
    assert "(permission is denied)." in done.stdout, done.stderr


def test_a_refusal_comes_before_anything_is_made(run: Run, tiny_env: dict[str, str]) -> None:
    done = run("--out", "/dev/null/a.mp4")
    assert done.returncode == 2 and b"--out" in done.stderr
    assert not (Path(tiny_env["KINORA_DATA_DIR"]) / "jobs").exists()
