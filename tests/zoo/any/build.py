"""A tiny pipeline of any class, put together from the annotations of its own constructor.

Parts of the same making are made once and shared by all the folders of a session.
"""

from __future__ import annotations

import inspect
import json
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.zoo.any import models

PROCESSORS = {"Qwen2VLProcessor", "Qwen2_5_VLProcessor"}
"""What repositories name there; the real ones want torchvision and hand words on to a tokenizer."""


@dataclass(frozen=True)
class Folder:
    """A repository in miniature: a class, and how it differs from the plainest of that class."""

    name: str
    of: str
    parts: dict[str, Any] = field(default_factory=dict)
    """Component -> settings that differ, or (class name, settings), or None where it has none."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings in model_index.json."""
    names_processor: bool = True
    """Its model_index.json names the processor of the annotation, where that is one."""


class Builder:
    """Makes folders, and each shared part once."""

    def __init__(self, root: Path) -> None:
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        self.root = root
        self._made: dict[str, Any] = {}

    def build(self, folder: Folder) -> Path:
        """The folder, made if it is not there yet."""
        import diffusers
        import torch

        target = self.root / folder.name
        if (target / "model_index.json").is_file():
            return target
        torch.manual_seed(0)
        of = getattr(diffusers, folder.of)
        pipe = assembled(of, self._components(of, folder), folder.config)
        pipe.save_pretrained(target)
        if folder.names_processor:
            _name_processors(of, target)
        return target

    def _components(self, of: type[Any], folder: Folder) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, kinds, is_optional in components_of(of):
            settings = folder.parts.get(name, None if is_optional else {})
            if settings is None:
                made[name] = None
                continue
            kind = next((each for each in kinds if models.is_known(each)), kinds[0])
            if isinstance(settings, tuple):
                kind, settings = settings
            made[name] = self._part(kind, settings)
        return made

    def _part(self, kind: str, settings: dict[str, Any]) -> Any:
        key = f"{kind} {json.dumps(settings, sort_keys=True, default=str)}"
        if key not in self._made:
            self._made[key] = models.make(kind, **settings)
        return self._made[key]


def build_at(target: Path, of: str, parts: dict[str, Any], **settings: Any) -> None:
    """One folder anywhere, such as a specimen of the zoo. `settings` are fields of `Folder`."""
    Builder(target.parent).build(Folder(target.name, of, parts, **settings))


def components_of(of: type[Any]) -> list[tuple[str, list[str], bool]]:
    """(name, classes it may be, whether the pipeline goes without) for each component."""
    found: list[tuple[str, list[str], bool]] = []
    for parameter in list(inspect.signature(of.__init__, eval_str=True).parameters.values())[1:]:
        kinds = [_name(each) for each in _choices(parameter.annotation)]
        kinds = [each for each in kinds if each not in PLAIN] or ["SchedulerMixin"]
        if parameter.annotation is parameter.empty or _is_component(parameter.annotation):
            found.append((parameter.name, kinds, parameter.default is not parameter.empty))
    return found


PLAIN = {"NoneType", "str", "bool", "int", "float", "list", "tuple", "dict", "_empty"}


def assembled(of: Any, components: dict[str, Any], config: dict[str, Any]) -> Any:
    """The pipeline; without its constructor, where that wants a package that is not here."""
    try:
        return of(**components, **config)
    except ImportError:
        pipe = object.__new__(of)
        pipe.register_modules(**components)
        pipe.register_to_config(**config)
        return pipe


def _choices(annotation: Any) -> list[Any]:
    arguments = typing.get_args(annotation)
    return [each for one in arguments for each in _choices(one)] if arguments else [annotation]


def _name(kind: Any) -> str:
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    return name.removesuffix("Pil")


def _is_component(annotation: Any) -> bool:
    return any(_name(each) not in PLAIN for each in _choices(annotation))


def _name_processors(of: type[Any], folder: Path) -> None:
    path = folder / "model_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    for name, kinds, _ in components_of(of):
        if kinds[0] in PROCESSORS and index.get(name):
            index[name] = ["transformers", kinds[0]]
            path.write_text(json.dumps(index, indent=2), encoding="utf-8")
