"""The tasks of a pipeline class, or why it has none: found before anything is downloaded."""

from __future__ import annotations

import re
from collections.abc import Iterable

from errors import KinoraError
from pipelines.models.call_checks import Failure, Lack, failure_of_call
from pipelines.models.call_roles import clip_argument, picture_argument
from pipelines.models.call_signatures import CallSignature
from pipelines.models.call_values import Given, Value
from pipelines.models.class_facts import Facts
from pipelines.models.class_table import SIBLINGS
from pipelines.models.failures import Reason, failure
from pipelines.request import Task

NUMBERS = ("height", "width", "num_inference_steps", "frame_rate", "fps", "strength")
TEXTS = ("prompt", "negative_prompt")
"""Arguments that every request or card has."""

ENLARGING = re.compile(r"upsampl|upscal|super-resolution", re.IGNORECASE)
HDR = re.compile(r"postprocess_\w*hdr", re.IGNORECASE)

WORDS = {
    "id_cond": "the identity of a face",
    "id_vit_hidden": "the identity of a face",
    "c2w": "a camera path",
    "action": "a camera path",
    "conditioning_frames": "a control clip",
    "control_video": "a control clip",
    "overlap_history": "an overlap with earlier frames",
}
"""Arguments whose names say too little."""


def tasks_of(facts: Facts, name: str) -> dict[Task, str]:
    """Task -> class: what the class can do with what a request has, and what its siblings add.

    Raises KinoraError for a class that makes no clips, or for what it needs."""
    _refuse_other_results(facts, name)
    attempts = {task: failure_of_call(facts, given) for task, given in _attempts(facts.call)}
    found = {task: facts.class_name for task, failed in attempts.items() if failed is None}
    for sibling in SIBLINGS.get(facts.class_name, ()):
        if sibling.holds(facts):
            found[sibling.task] = sibling.class_name
    if not found:
        failures = [*attempts.values()] or [failure_of_call(facts, {})]
        raise _refusal(facts, name, [each for each in failures if each is not None])
    return {task: found[task] for task in Task if task in found}


def _refuse_other_results(facts: Facts, name: str) -> None:
    call, what = facts.call, facts.class_name
    makes_from_clips = call.takes("video") and not call.takes("prompt")
    if makes_from_clips and ENLARGING.search(call.source):
        raise failure(Reason.ENLARGES, name, what)
    if not call.returns_frames:
        raise failure(Reason.NOT_VIDEO, name, what)
    if HDR.search(call.source):
        raise failure(Reason.HDR, name, what)
    if not facts.has("scheduler"):
        is_lost = "scheduler" in call.components
        raise (
            failure(Reason.MISSING_COMPONENT, name, "scheduler")
            if is_lost
            else failure(Reason.NO_SCHEDULER, name, what)
        )


def _attempts(call: CallSignature) -> list[tuple[Task, dict[str, Value]]]:
    """Each task that the arguments are there for, with those that a request gives."""
    numbers = (*NUMBERS, call.frames_name, call.guidance_name)
    always: dict[str, Value] = {
        name: Given("number") for name in numbers if name in call.parameters
    }
    always |= {name: Given("text") for name in TEXTS if call.takes(name)}
    attempts: list[tuple[Task, dict[str, Value]]] = []
    # without a number of frames only a given clip can set the length
    if call.frames_name or not clip_argument(call):
        if call.takes("prompt"):
            attempts.append((Task.TEXT_TO_VIDEO, always))
        if picture := picture_argument(call):
            attempts.append((Task.IMAGE_TO_VIDEO, always | {picture: Given("picture")}))
    if clip := clip_argument(call):
        attempts.append((Task.VIDEO_TO_VIDEO, always | {clip: Given("clip")}))
    return attempts


def _refusal(facts: Facts, name: str, failures: list[Failure]) -> KinoraError:
    """Of the attempts that had the most inputs, or of a package that all of them need."""
    if not failures:
        return failure(Reason.NOT_VIDEO, name, facts.class_name)
    last = failures[-1]
    match last.lack:
        case Lack.PACKAGE:
            return failure(Reason.NEEDS_PACKAGE, name, last.names[0])
        case Lack.UPSTREAM:
            library = "transformers" if "transformers" in last.names else "diffusers"
            return failure(Reason.UNSUPPORTED, name, library)
        case Lack.INPUT:
            return failure(Reason.NEEDS_INPUT, name, _in_words(last.names))


def _in_words(names: Iterable[str]) -> str:
    if any("latents" in name for name in names):
        return "the latents of an earlier pass"
    words = dict.fromkeys(WORDS.get(name, name.replace("_", " ")) for name in names)
    return " and ".join(words) or "inputs of another kind"
