"""Waits until a Space has built the upload and runs it. Raises Problem if it does not.

Just after a commit, the Hub still reports the state of the previous version. So a state counts when
the Hub names our commit, or when it has been reported for SETTLE_S.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from huggingface_hub import HfApi

from tools.space.problem import Problem
from tools.space.upload import Uploaded, as_problems

POLL_S = 3.0
SETTLE_S = 30.0
BUSY = ("BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING")
WORDS = {
    "BUILDING": "The Space installs its packages ...",
    "RUNNING_BUILDING": "The Space installs its packages; the previous version still runs ...",
    "APP_STARTING": "The app starts ...",
    "RUNNING_APP_STARTING": "The app starts; the previous version still runs ...",
}


def wait_until_it_runs(
    api: HfApi,
    uploaded: Uploaded,
    timeout_s: float,
    say: Callable[[str], None] = lambda sentence: None,
) -> None:
    """Returns when it runs. Raises Problem if it does not, or not in time."""
    began = time.monotonic()
    stage, since, said = "", began, ""
    is_ours = not uploaded.changed
    while True:
        with as_problems(uploaded.name):
            runtime = api.get_space_runtime(uploaded.name)
        now = time.monotonic()
        if runtime.stage != stage:
            stage, since = str(getattr(runtime.stage, "value", runtime.stage)), now
        is_ours = is_ours or stage in BUSY or runtime.raw.get("sha") == uploaded.commit
        if stage not in BUSY and (is_ours or now - since >= SETTLE_S):
            _judge(uploaded.name, stage, runtime.raw)
            return
        sentence = WORDS.get(stage, "")
        if sentence and sentence != said:
            said = sentence
            say(sentence)
        if now - began >= timeout_s:
            raise Problem(
                f"{uploaded.name} does not run after {timeout_s:.0f} s; the last state was "
                f"{stage}. To keep waiting: hf spaces wait {uploaded.name}. Its log: "
                f"hf spaces logs {uploaded.name} --build"
            )
        time.sleep(POLL_S)


def _judge(name: str, stage: str, raw: dict[str, Any]) -> None:
    why = f" ({raw['errorMessage']})" if raw.get("errorMessage") else ""
    match stage:
        case "RUNNING" | "SLEEPING":
            return
        case "BUILD_ERROR":
            raise Problem(f"The build of {name} failed{why}. See: hf spaces logs {name} --build")
        case "RUNTIME_ERROR":
            raise Problem(f"{name} was built, and the app ended{why}. See: hf spaces logs {name}")
        case "CONFIG_ERROR" | "NO_APP_FILE":
            raise Problem(f"The Hub cannot use the header of README.md{why}: {stage}.")
        case "PAUSED" | "STOPPED":
            raise Problem(
                f"{name} has the new version, and is {stage.lower()}. Start it: "
                f"hf spaces restart {name}"
            )
        case _:
            raise Problem(f"{name} does not run: {stage}{why}. See: hf spaces logs {name}")
