"""python -m tools.space you/kinora [HARDWARE]: `make space` calls this."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import HfApi

from tools.space.problem import Problem
from tools.space.stage import make_stage
from tools.space.upload import sign_in, space_name, upload
from tools.space.wait import wait_until_it_runs

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 3600.0
"""The build takes some ten minutes, and README.md allows the app an hour to start."""


def main(words: Sequence[str] | None = None, api: HfApi | None = None, root: Path = ROOT) -> int:
    """Returns 0 when the Space runs; otherwise 1, with a message on standard error."""
    parser = argparse.ArgumentParser(prog="python -m tools.space", description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="you/kinora")
    parser.add_argument("hardware", nargs="?", default="", help="such as zero-a10g or t4-small")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="SECONDS")
    parser.add_argument("--only-stage", type=Path, metavar="FOLDER", help="upload nothing")
    options = parser.parse_args(words)
    try:
        if options.only_stage is not None:
            return only_stage(root, options.only_stage)
        api = api or HfApi()
        return publish(api, root, options.name, options.hardware.strip(), options.timeout)
    except Problem as problem:
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        say("Stopped. What was uploaded is on the Hub, and a build continues there.")
        return 130


def only_stage(root: Path, folder: Path) -> int:
    """Writes the files of an upload to a folder."""
    if folder.exists() and any(folder.iterdir()):
        raise Problem(f"{folder} is not empty.")
    folder.mkdir(parents=True, exist_ok=True)
    staged = make_stage(root, folder)
    for note in staged.notes:
        say(note)
    say(f"{len(staged.files())} files of {staged.short} are in {folder}.")
    return 0


def publish(api: HfApi, root: Path, text: str, hardware: str, timeout_s: float) -> int:
    name = space_name(text)
    with TemporaryDirectory(prefix="kinora-space-") as folder:
        staged = make_stage(root, Path(folder))
        for note in staged.notes:
            say(note)
        user = sign_in(api, name)
        say(f"Logged in as {user}.")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            message = f"Kinora {staged.short}"
            uploaded = upload(api, name, staged.files(), message, hardware, say)
    for warning in warned:  # such as the Hub's warnings about the README's header
        say(str(warning.message))
    if not uploaded.changed:
        say(f"{name} already has these files.")
    say(f"Waiting for the Space. Its log: hf spaces logs {name} --build")
    wait_until_it_runs(api, uploaded, timeout_s, say)
    say(f"It runs: {uploaded.url}")
    return 0


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
