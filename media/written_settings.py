"""The settings that a program has written into a clip's tags: Kinora's own, and those of ComfyUI,
Wan2GP and SD.Next as far as their names have a meaning here.

Everything here is untrusted: nothing is executed, fetched or opened, and no value is checked yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from media.comfyui_graph import read_graph

Program = Literal["kinora", "comfyui", "wan2gp", "sdnext"]
PROGRAMS: dict[Program, str] = {
    "kinora": "Kinora",
    "comfyui": "ComfyUI",
    "wan2gp": "Wan2GP",
    "sdnext": "SD.Next",
}
COMMENTS = ("comment", "description", "parameters")
MAX_WORDS = 100_000
"""Letters of a text with parameters; a longer one is no prompt."""


@dataclass(frozen=True)
class WrittenSettings:
    """`values` are by the names of a request, as they were written."""

    program: Program
    values: dict[str, Any]
    model: str = ""
    """As the program calls it."""
    task: str = ""
    revision: str | None = None
    more: dict[str, Any] = field(default_factory=dict)
    """What only this program writes."""


def find_settings(tags: Mapping[str, str]) -> WrittenSettings | None:
    """The settings in a file's tags; None if there are none that can be read."""
    texts = [tags[name] for name in COMMENTS if tags.get(name)]
    objects = [found for text in texts if (found := _json_object(text))]
    readers: list[Callable[[dict[str, Any]], WrittenSettings | None]] = [_kinora, _comfyui, _wan2gp]
    objects.append({name: tags[name] for name in ("prompt", "workflow") if name in tags})
    for read in readers:
        for found in objects:
            if (settings := read(found)) is not None:
                return settings
    for text in texts:
        if (settings := _parameters(text)) is not None:
            return settings
    return None


# ---- Kinora


def _kinora(found: dict[str, Any]) -> WrittenSettings | None:
    settings = found.get("settings")
    if found.get("made_by") != "Kinora" or not isinstance(settings, dict):
        return None
    revision = found.get("model_revision")
    return WrittenSettings(
        "kinora",
        dict(settings),
        model=_text(settings.get("model")),
        task=_text(settings.get("task")),
        revision=revision if isinstance(revision, str) else None,
        more={name: found.get(name) for name in ("schema", "steps_done", "edit")},
    )


# ---- ComfyUI


def _comfyui(found: dict[str, Any]) -> WrittenSettings | None:
    """`prompt` is the graph that was executed, as an object or as its JSON."""
    graph = found.get("prompt")
    if isinstance(graph, str):
        graph = _json_object(graph)
    if not isinstance(graph, dict):
        return None
    values = read_graph(graph)
    return WrittenSettings("comfyui", values) if values is not None else None


# ---- Wan2GP

WAN2GP_MARKS = frozenset({"model_type", "model_filename", "video_length", "base_model_type"})
WAN2GP_NAMES = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "num_inference_steps": "num_inference_steps",
    "guidance_scale": "guidance_scale",
    "video_length": "num_frames",
}


def _wan2gp(found: dict[str, Any]) -> WrittenSettings | None:
    kind = _text(found.get("type"))
    if not (WAN2GP_MARKS & set(found) or kind.lower().startswith(("wangp", "wan2gp"))):
        return None
    if not isinstance(found.get("prompt"), str):
        return None
    values = {ours: found[theirs] for theirs, ours in WAN2GP_NAMES.items() if theirs in found}
    values |= _size(_text(found.get("resolution")))
    return WrittenSettings("wan2gp", values, model=_text(found.get("model_type")))


# ---- SD.Next, and other programs with the same text of parameters

PARAMETER = re.compile(r"(?:^|, )([A-Z][\w /-]{0,40}): (\"(?:[^\"\\]|\\.){0,2000}\"|[^,\n]{0,300})")
PARAMETER_NAMES = {
    "Seed": "seed",
    "Steps": "num_inference_steps",
    "CFG scale": "guidance_scale",
    "CFG Scale": "guidance_scale",
    "Guidance scale": "guidance_scale",
    "Frames": "num_frames",
}
NEGATIVE = "Negative prompt:"


def _parameters(text: str) -> WrittenSettings | None:
    """The prompt, then `Negative prompt: ...`, then a line `Steps: 20, Seed: 3, Size: 832x480`."""
    if len(text) > MAX_WORDS:
        return None
    lines = text.replace("\r\n", "\n").strip().split("\n")
    at = next((n for n in reversed(range(len(lines))) if _is_parameter_line(lines[n])), None)
    if at is None:
        return None
    found = dict(PARAMETER.findall(lines[at].strip()))
    words = "\n".join(lines[:at])
    prompt, has_negative, negative = words.partition(NEGATIVE)
    values: dict[str, Any] = {"prompt": prompt.removeprefix("Prompt:").strip()}
    if has_negative:
        values["negative_prompt"] = negative.strip()
    values |= {ours: found[name] for name, ours in PARAMETER_NAMES.items() if name in found}
    values |= _size(found.get("Size", ""))
    return WrittenSettings("sdnext", values, model=found.get("Model", "").strip('"'))


def _is_parameter_line(line: str) -> bool:
    names = {name for name, _ in PARAMETER.findall(line[:20_000].strip())}
    return "Steps" in names and len(names) > 1


# ---- helpers


def _size(text: str) -> dict[str, Any]:
    found = re.fullmatch(r"\s*(\d{1,5})\s*[x×]\s*(\d{1,5})\s*", text)
    return {"width": int(found[1]), "height": int(found[2])} if found else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _json_object(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
