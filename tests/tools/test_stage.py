"""What is uploaded to a Space is the commit: every file of it that runs, byte for byte."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools.conftest import SMALL, commit, git, write
from tools.space.problem import Problem
from tools.space.stage import LEFT_OUT, PINNED, REQUIREMENTS, make_stage, pin_requirements

Make = Callable[..., Path]


def tracked(folder: Path) -> dict[str, bytes]:
    """What git has at HEAD, by git's own word."""
    names = git(folder, "ls-tree", "-r", "-z", "--name-only", "HEAD").split(b"\0")
    return {
        os.fsdecode(name): git(folder, "cat-file", "blob", f"HEAD:{os.fsdecode(name)}")
        for name in names
        if name
    }


def staged(folder: Path, into: Path) -> dict[str, bytes]:
    into.mkdir()
    found = make_stage(folder, into).files()
    return {name: path.read_bytes() for name, path in found.items()}


def refusal(folder: Path, into: Path) -> str:
    into.mkdir()
    with pytest.raises(Problem) as caught:
        make_stage(folder, into)
    return str(caught.value)


LETTERS = st.sampled_from("abc XYZ09-_.,;!'()[]{}*?&%$#@+=~äöß漢字🎞\u0301")
NAMES = st.text(LETTERS, min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..", ".git", ".cache") and name.strip() == name
)
CONTENTS = st.one_of(
    st.binary(max_size=40), st.sampled_from([b"a\r\nb\r\n", b"a\nb\n", b"", b"\0\xff", b"$Id$\n"])
)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join), CONTENTS, min_size=1, max_size=6
)


@settings(max_examples=12, deadline=None)
@given(tree=TREES, crlf=st.sampled_from(["true", "input", "false"]))
def test_every_file_of_the_commit_is_staged_byte_for_byte(
    tree: dict[str, bytes], crlf: str
) -> None:
    """Whatever it is called, whatever is in it, and whatever line endings git is set to."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "checkout"
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
        files: dict[str, str | bytes] = {**SMALL}
        for name, content in tree.items():
            inside = {f"files/{name}": content}
            if not any(
                path.startswith(f"files/{name}/") or f"files/{name}".startswith(f"{path}/")
                for path in files
            ):
                files |= inside
        write(folder, files)
        git(folder, "config", "core.autocrlf", "false")
        commit(folder)
        git(folder, "config", "core.autocrlf", crlf)
        expected = tracked(folder)
        assert set(expected) == set(files)
        found = staged(folder, Path(place) / "stage")
        assert found.pop(REQUIREMENTS).decode() == f"{PINNED['torch']}\n"
        expected.pop(REQUIREMENTS)
        assert found == expected


def test_what_a_space_does_not_need_is_left_out_and_nothing_else(
    checkout: Make, tmp_path: Path
) -> None:
    inside = {f"{name}/x.py": "1" for name in ("tests", "bench", "docker", "training", ".ci")}
    deeper = {f"pipelines/{name}": "1" for name in ("tests/a.py", "Dockerfile", "docker/b")}
    folder = checkout(inside | deeper | {"Dockerfile": "FROM x", "requirements-dev.txt": "x"})
    assert set(staged(folder, tmp_path / "stage")) == set(SMALL) | set(deeper)


def test_all_of_kinora_that_runs_is_staged_as_git_has_it(kinora: Path, tmp_path: Path) -> None:
    found, expected = staged(kinora, tmp_path / "stage"), tracked(kinora)
    kept = {n: data for n, data in expected.items() if n.split("/")[0] not in LEFT_OUT}
    assert {"app.py", "README.md", "packages.txt", "LICENSE", "NOTICE"} <= set(found)
    assert set(found) == set(kept)
    assert [name for name in kept if kept[name] != found[name]] == [REQUIREMENTS]
    ours, theirs = (x[REQUIREMENTS].decode().splitlines() for x in (found, expected))
    changed = [(new, old) for new, old in zip(ours, theirs, strict=True) if new != old]
    assert len(changed) == 1
    assert changed[0][0] == "torch==2.10.0"
    assert changed[0][1].startswith("torch>=")


def test_only_what_is_committed_is_staged_and_a_changed_tree_says_so(
    checkout: Make, tmp_path: Path
) -> None:
    folder = checkout({"kept.txt": "committed"})
    assert make_stage(folder, tmp_path / "a").notes == ()
    write(folder, {"kept.txt": "changed", "new file.txt": "x", "tests/x.py": "not asked about"})
    git(folder, "mv", "app.py", "other.py")
    into = tmp_path / "b"
    into.mkdir()
    stage = make_stage(folder, into)
    assert (into / "kept.txt").read_text() == "committed"
    assert (into / "app.py").exists()
    (note,) = stage.notes
    assert note.startswith("Not uploaded, for only what is committed is: ")
    assert "app.py" in note
    assert "and 1 more" in note


def test_a_link_becomes_what_it_points_to(checkout: Make, tmp_path: Path) -> None:
    folder = checkout({"real/one.txt": "1", "real/deep/two.txt": "2"})
    (folder / "link.txt").symlink_to("real/one.txt")
    (folder / "twice.txt").symlink_to("link.txt")
    (folder / "all").symlink_to("real", target_is_directory=True)
    commit(folder)
    found = staged(folder, tmp_path / "stage")
    assert found["link.txt"] == found["twice.txt"] == found["all/one.txt"] == b"1"
    assert found["all/deep/two.txt"] == b"2"
    assert not [path for path in (tmp_path / "stage").rglob("*") if path.is_symlink()]


@pytest.mark.parametrize(
    "target", ["gone.txt", "/etc/passwd", "../outside", "tests/x.py", "self", "."]
)
def test_a_link_to_what_a_space_does_not_have_is_refused_by_name(
    target: str, checkout: Make, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_text("not of the repository")
    folder = checkout({"tests/x.py": "left out"})
    (folder / "self").symlink_to(target)
    commit(folder)
    assert refusal(folder, tmp_path / "stage").startswith("self is a symbolic link to ")


def test_a_submodule_is_refused_by_name(checkout: Make, tmp_path: Path) -> None:
    other, folder = checkout(name="other"), checkout()
    git(folder, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    commit(folder)
    assert "sub is a git submodule" in refusal(folder, tmp_path / "stage")


def test_executable_files_are_named_for_the_hub_does_not_keep_the_bit(
    checkout: Make, tmp_path: Path
) -> None:
    folder = checkout({"run me.sh": "#!/bin/sh\n"})
    (folder / "run me.sh").chmod(0o755)
    commit(folder)
    into = tmp_path / "stage"
    into.mkdir()
    assert any("run me.sh" in note for note in make_stage(folder, into).notes)
    assert not (into / "run me.sh").stat().st_mode & stat.S_IXUSR


def test_a_file_that_the_archive_leaves_out_is_noticed(checkout: Make, tmp_path: Path) -> None:
    folder = checkout({".gitattributes": "secret.txt export-ignore\n", "secret.txt": "x"})
    assert "secret.txt" in refusal(folder, tmp_path / "stage")


def test_a_pointer_of_git_lfs_is_not_taken_for_the_file(checkout: Make, tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    folder = checkout({"weights.bin": pointer})
    assert "weights.bin is kept by Git LFS" in refusal(folder, tmp_path / "stage")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such names")
def test_a_name_that_no_json_can_carry_is_refused(checkout: Make, tmp_path: Path) -> None:
    folder = checkout()
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9.txt")).write_text("latin")
    commit(folder)
    assert "not UTF-8: caf\\xe9.txt" in refusal(folder, tmp_path / "stage")


@pytest.mark.parametrize("name", [".cache/x", "deep/.cache/y"])
def test_a_folder_that_the_hub_refuses_is_named(name: str, checkout: Make, tmp_path: Path) -> None:
    assert name in refusal(checkout({name: "x"}), tmp_path / "stage")


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({"README.md": "# No header\n"}, "does not begin with the configuration of a Space"),
        ({"README.md": "---\nsdk: gradio\n"}, "does not begin with the configuration"),
        ({"README.md": "---\nsdk: [\n---\n"}, "not valid YAML"),
        ({"README.md": "---\nsdk: docker\n---\n"}, "sdk: gradio"),
        ({"README.md": "---\nsdk: gradio\napp_file: main.py\n---\n"}, "names main.py as app_file"),
    ],
)
def test_a_commit_without_the_header_of_a_space_is_refused(
    files: dict[str, str], part: str, checkout: Make, tmp_path: Path
) -> None:
    assert part in refusal(checkout(files), tmp_path / "stage")


def test_a_header_with_windows_line_endings_is_one(checkout: Make, tmp_path: Path) -> None:
    readme = "\ufeff---\r\nsdk: gradio\r\napp_file: app.py\r\n---\r\n# Hello\r\n"
    assert "README.md" in staged(checkout({"README.md": readme}), tmp_path / "stage")


def test_what_is_no_checkout_of_this_project_is_refused(checkout: Make, tmp_path: Path) -> None:
    bare = tmp_path / "unpacked"
    write(bare, {**SMALL})
    assert "not a git checkout" in refusal(bare, tmp_path / "a")
    inside = checkout() / "unpacked"  # a ZIP, unpacked within another repository
    write(inside, {**SMALL})
    assert "not a git checkout" in refusal(inside, tmp_path / "b")
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    assert "no commit yet" in refusal(empty, tmp_path / "c")


def test_where_git_is_missing_that_is_said(
    checkout: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkout()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git is not installed" in refusal(folder, tmp_path / "stage")


def test_the_repository_that_a_hook_is_about_is_not_mistaken_for_this_one(
    checkout: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, folder = checkout({"other.txt": "x"}, name="other"), checkout()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert "other.txt" not in staged(folder, tmp_path / "stage")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("torch>=2.9.1,<2.14\n", "torch==2.10.0\n"),
        ("a\nTorch\nb", "a\ntorch==2.10.0\nb\n"),
        ('torch>=2 ; platform_system == "Linux"  # why\n', None),
        ("torchvision>=0.2\n# torch\n", "torchvision>=0.2\n# torch\ntorch==2.10.0\n"),
        ("torch-thing\ntorch_other>1\n", "torch-thing\ntorch_other>1\ntorch==2.10.0\n"),
    ],
)
def test_the_pinned_version_stands_for_the_range(
    before: str, after: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(before)
    pin_requirements(file)
    assert file.read_text() == (after or 'torch==2.10.0; platform_system == "Linux"\n')


def test_a_stage_can_be_looked_at_without_an_upload(kinora: Path, tmp_path: Path) -> None:
    into = tmp_path / "stage"
    command = [sys.executable, "-m", "tools.space", "--only-stage", str(into)]
    done = subprocess.run(command, cwd=kinora, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (into / "app.py").exists()
    assert not (into / "tests").exists()
