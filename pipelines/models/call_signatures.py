"""Reads the signatures of diffusers pipelines from their source, without importing them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pipelines.models.class_examples import CallExample, read_example
from pipelines.models.class_sources import ClassSource, find_class, find_method

FRAMES = ("num_frames", "video_length", "frames")
"""What pipelines call the number of frames."""

RESULTS = ("frames", "video", "videos")
"""What the results of pipelines call a clip."""

SOUNDS = ("audio", "audios", "sound")

GUIDANCE = ("guidance_scale", "true_cfg_scale", "max_guidance_scale")
"""What pipelines call the strength of classifier-free guidance, or of what replaces it."""


class Required:
    """Stands for the default of a parameter that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED = Required()


@dataclass(frozen=True)
class CallSignature:
    """`__call__` of one pipeline class."""

    class_name: str
    parameters: dict[str, Any]
    """Name -> default; None for a default that is no literal, REQUIRED for none."""
    result: str | None
    """The attribute of its result that holds the clip; None for a class that makes none."""
    side: int | None
    """The multiple that the class checks width and height for."""
    annotations: dict[str, str] = field(default_factory=dict)
    """Name -> type, as written."""
    components: tuple[str, ...] = ()
    """Parameters of its constructor."""
    source: str = ""
    example: CallExample = field(default_factory=CallExample)
    returns_sound: bool = False

    @property
    def returns_frames(self) -> bool:
        return self.result is not None

    def takes(self, name: str) -> bool:
        return name in self.parameters

    def requires(self, name: str) -> bool:
        return self.parameters.get(name) is REQUIRED

    def number(self, name: str | None) -> float | None:
        """The default of a parameter, where it is a number."""
        value = self.parameters.get(name) if name else None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if is_number else None

    @property
    def frames_name(self) -> str | None:
        return next((name for name in FRAMES if self.takes(name)), None)

    @property
    def guidance_name(self) -> str | None:
        """The argument for the request's guidance: of two, the one that is on by default."""
        names = [name for name in GUIDANCE if self.takes(name)]
        return next((n for n in names if (self.number(n) or 0) > 1), names[0] if names else None)

    @property
    def takes_guidance(self) -> bool:
        return self.guidance_name is not None or "guider" in self.components

    @property
    def takes_negative_prompt(self) -> bool:
        """Where there is a true guidance, only that has a use for one."""
        name = self.guidance_name
        is_off = self.takes("true_cfg_scale") and name != "true_cfg_scale"
        return self.takes("negative_prompt") and not is_off

    @property
    def replaces_missing_negative(self) -> bool:
        """Whether None for the negative prompt stands for the class's own, or for an empty one."""
        pattern = r"\bnegative_prompt (?:or\b|is None\b|if negative_prompt is not None\b)"
        return re.search(pattern, self.source) is not None


@lru_cache(maxsize=64)
def call_signature(class_name: str) -> CallSignature | None:
    """The signature of a pipeline class; None where diffusers has no such class."""
    source = find_class(class_name)
    if source is None:
        return None
    call = source.method("__call__")
    if call is None:  # inherited
        for base in source.bases:
            inherited = call_signature(base)
            if inherited is not None:
                return inherited
        return None
    # `check_inputs` refuses sizes by `height % 16 != 0 or width % 16 != 0`
    multiple = re.search(r"height % (\d+)", source.text)
    keywords = _result_keywords(call)
    return CallSignature(
        class_name=class_name,
        parameters=_parameters(call.args),
        result=_clip_of(call, keywords),
        side=int(multiple[1]) if multiple else None,
        annotations=_annotations(call.args),
        components=_component_names(source),
        source=source.text,
        example=read_example(source),
        returns_sound=any(name in SOUNDS for name in keywords),
    )


def _component_names(source: ClassSource) -> tuple[str, ...]:
    constructor = find_method(source.name, "__init__")
    return tuple(_parameters(constructor.args)) if constructor else ()


def _parameters(arguments: ast.arguments) -> dict[str, Any]:
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    bare = len(names) - len(arguments.defaults)
    defaults: list[Any] = [REQUIRED] * bare + [_literal(each) for each in arguments.defaults]
    parameters = dict(zip(names, defaults, strict=True))
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters[each.arg] = REQUIRED if default is None else _literal(default)
    parameters.pop("self", None)
    return parameters


def _annotations(arguments: ast.arguments) -> dict[str, str]:
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    return {each.arg: ast.unparse(each.annotation) for each in every if each.annotation is not None}


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _outputs(call: ast.FunctionDef) -> list[ast.Call]:
    """The results that it builds, such as `WanPipelineOutput(frames=video)`."""
    calls = (each for each in ast.walk(call) if isinstance(each, ast.Call))
    return [
        each
        for each in calls
        if isinstance(each.func, ast.Name) and each.func.id.endswith("Output") and each.keywords
    ]


def _result_keywords(call: ast.FunctionDef) -> list[str]:
    return [word.arg for each in _outputs(call) for word in each.keywords if word.arg]


def _clip_of(call: ast.FunctionDef, keywords: list[str]) -> str | None:
    """Pipelines return clips as `.frames`; where the result is called a video's, as `.images`."""
    for name in RESULTS:
        if name in keywords:
            return name
    is_video = any("Video" in ast.unparse(each.func) for each in _outputs(call))
    return "images" if is_video and "images" in keywords else None
