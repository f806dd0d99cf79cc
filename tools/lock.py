"""`make lock`: writes docker/*.lock, the packages of the images with their hashes.

    base.lock        everything but torch, for both images
    torch-cuda.lock  torch from the package index, with CUDA, Triton and xformers
    torch-cpu.lock   the same torch without CUDA, from PyTorch's own index

If PyTorch's index cannot be reached, torch-cpu.lock is kept when it has the same version of torch;
otherwise nothing is written. Needs uv (`python -m tools.lock PATH_TO_UV`).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
GPU_PACKAGE = re.compile(r"(torch|triton|xformers|nvidia-.+|cuda-.+)==")


def find_in_dockerfile(pattern: str) -> str:
    """The first group of `pattern`, so that a version or address stands in one place only."""
    found = re.search(pattern, (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    if not found:
        raise SystemExit(f"Nothing in the Dockerfile matches {pattern}.")
    return found[1]


def compile_lock(uv: str, requirements: str, *options: str) -> list[str]:
    """One text for each pinned package, with its hashes. Raises RuntimeError with uv's message."""
    flags = ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--quiet"]
    python = find_in_dockerfile(r"FROM python:([\d.]+)")
    command = [uv, "pip", "compile", "--universal", "--python-version", python]
    done = subprocess.run(  # noqa: S603
        [*command, *flags, *options, "-"],
        cwd=ROOT,
        input=requirements,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return re.split(r"\n(?=\S)", done.stdout.strip())


def write_lock(name: str, packages: list[str]) -> None:
    text = "# Made by `make lock`.\n" + "".join(f"{each}\n" for each in packages)
    (DOCKER / name).write_text(text, encoding="utf-8")
    print(f"docker/{name}: {len(packages)} packages")


def main(uv: str) -> None:
    try:
        packages = compile_lock(uv, "-r requirements-scale.txt\n")
    except RuntimeError as error:
        raise SystemExit(f"Nothing was written: {error}") from None
    torch = next(each for each in packages if each.startswith("torch=="))
    version = torch.split()[0].removeprefix("torch==")
    pin = f"torch=={version}+cpu"
    index = find_in_dockerfile(r"(https\S+/cpu)\b")
    try:
        cpu_torch = compile_lock(uv, f"{pin}\n", "--no-deps", "--default-index", index)
        write_lock("torch-cpu.lock", cpu_torch)
    except RuntimeError:
        if pin not in (DOCKER / "torch-cpu.lock").read_text(encoding="utf-8"):
            raise SystemExit(
                f"Nothing was written: torch is now {version}, and PyTorch's index, which has "
                "the hashes of its CPU build, cannot be reached. Try again with access to it."
            ) from None
        print("docker/torch-cpu.lock is kept: PyTorch's index cannot be reached.")
    write_lock("base.lock", [each for each in packages if not GPU_PACKAGE.match(each)])
    write_lock("torch-cuda.lock", [each for each in packages if GPU_PACKAGE.match(each)])


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["uv"]))
