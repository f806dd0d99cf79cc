"""`make lock`: writes anew what the images install, each file of it by its hash.

    base.lock        all but torch, for both images
    torch-cuda.lock  torch as the package index has it, with CUDA, Triton and xformers
    torch-cpu.lock   the same torch without CUDA, from PyTorch's own index

Where that index cannot be reached, torch-cpu.lock stays if it is of the same torch, else nothing is
written. Run with `uv` at hand (`python docker/lock.py path/to/uv`). Knows requirements, no image.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCKER = Path(__file__).resolve().parent
ROOT = DOCKER.parent
ON_A_GPU = re.compile(r"(torch|triton|xformers|nvidia-.+|cuda-.+)==")


def image(pattern: str) -> str:
    """A word of the Dockerfile, so that it stands in one place only."""
    found = re.search(pattern, (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    if not found:
        raise SystemExit(f"The Dockerfile has nothing like {pattern}.")
    return found[1]


def compiled(uv: str, requirements: str, *options: str) -> list[str]:
    """The pinned packages, one text each, with their hashes."""
    how = ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--quiet"]
    python = image(r"FROM python:([\d.]+)")
    command = [uv, "pip", "compile", "--universal", "--python-version", python, *how, *options, "-"]
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, input=requirements, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return re.split(r"\n(?=\S)", done.stdout.strip())


def write(name: str, packages: list[str]) -> None:
    text = "# Made by `make lock`.\n" + "".join(f"{each}\n" for each in packages)
    (DOCKER / name).write_text(text, encoding="utf-8")
    print(f"docker/{name}: {len(packages)} packages")


def main(uv: str) -> None:
    try:
        packages = compiled(uv, "-r requirements-scale.txt\n")
    except RuntimeError as error:
        raise SystemExit(f"Nothing was written: {error}") from None
    torch = next(each for each in packages if each.startswith("torch=="))
    version = torch.split()[0].removeprefix("torch==")
    pin = f"torch=={version}+cpu"
    try:
        found = compiled(uv, f"{pin}\n", "--no-deps", "--default-index", image(r"(https\S+/cpu)\b"))
        write("torch-cpu.lock", found)
    except RuntimeError:
        if pin not in (DOCKER / "torch-cpu.lock").read_text(encoding="utf-8"):
            raise SystemExit(
                f"Nothing was written: torch is {version} now, and PyTorch's index, which knows "
                "the hashes of its CPU build, cannot be reached. Try again where it can."
            ) from None
        print("docker/torch-cpu.lock stays: PyTorch's index cannot be reached.")
    write("base.lock", [each for each in packages if not ON_A_GPU.match(each)])
    write("torch-cuda.lock", [each for each in packages if ON_A_GPU.match(each)])


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["uv"]))
