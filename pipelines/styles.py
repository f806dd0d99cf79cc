"""Styles: templates for a prompt and a negative prompt (`presets/styles.yaml`, and each caller's
own).

Applying one keeps the prompt's words as they are and adds what is not there yet, so that a style
that is applied twice changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from errors import ErrorCode, KinoraError
from settings import ROOT

PRESETS = ROOT / "presets" / "styles.yaml"
PLACE = "{prompt}"
MAX_STYLES = 50
"""In one file, and of one caller."""
MAX_FILE = 100_000
MAX_NESTING = 10
SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("should be one line of text")
    return text


def _line(most: int, least: int = 0) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=least, max_length=most)


Words = Annotated[str, _line(600), AfterValidator(_one_line)]
Name = Annotated[str, _line(60, least=1), AfterValidator(_one_line)]
Example = Annotated[str, _line(200), AfterValidator(_one_line)]
StyleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Family = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,40}$")]


class Template(BaseModel):
    """`prompt` has `{prompt}` where the caller's words come."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    prompt: Words
    negative_prompt: Words = ""

    @field_validator("prompt")
    @classmethod
    def _has_a_place(cls, prompt: str) -> str:
        if prompt.count(PLACE) != 1:
            raise ValueError(f"should have {PLACE} once")
        return prompt


class Style(Template):
    id: StyleId
    name: Name
    example: Example = ""
    """A prompt that shows it."""
    families: Mapping[Family, Template] = {}
    """Templates of model families that need other words."""

    @field_validator("families")
    @classmethod
    def _few(cls, families: Mapping[str, Template]) -> Mapping[str, Template]:
        if len(families) > 20:
            raise ValueError("should have at most 20 families")
        return families

    def template(self, family: str | None) -> Template:
        return self.families.get(family or "", self)


STYLES = TypeAdapter(list[Style])


@lru_cache(maxsize=4)
def load_styles(path: Path = PRESETS) -> Mapping[str, Style]:
    """By id, in the order of the file. Raises KinoraError(INVALID_INPUT)."""
    return {style.id: style for style in read_styles(path.read_bytes())}


def read_styles(data: bytes) -> list[Style]:
    """The styles of a YAML file: a list. Raises KinoraError(INVALID_INPUT), which names what is
    wrong."""
    if len(data) > MAX_FILE:
        raise _unusable(f"it is larger than {MAX_FILE // 1000} kB")
    try:
        found: Any = yaml.load(data.decode("utf-8-sig"), _PlainLoader)  # noqa: S506  # a SafeLoader
    except UnicodeDecodeError:
        raise _unusable("it is no text in UTF-8") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise _unusable(f"it is no YAML{f', see line {mark.line + 1}' if mark else ''}") from None
    if not isinstance(found, list) or not found:
        raise _unusable("it should be a list of styles")
    if len(found) > MAX_STYLES:
        raise _unusable(f"it has {len(found)} styles; at most {MAX_STYLES} are accepted")
    try:
        styles = STYLES.validate_python(found)
    except ValidationError as error:
        raise _unusable(_first_fault(found, error)) from None
    ids = [style.id for style in styles]
    twice = next((each for each in ids if ids.count(each) > 1), None)
    if twice:
        raise _unusable(f"“{twice}” is in it twice")
    return styles


def write_styles(styles: Iterable[Style]) -> str:
    """As YAML that `read_styles` reads."""
    listed = [style.model_dump(mode="json", exclude_defaults=True) for style in styles]
    for each in listed:  # the id first, as people write it
        each |= {name: each.pop(name) for name in ("prompt", "negative_prompt", "families")
                 if name in each}  # fmt: skip
    return yaml.safe_dump(listed, sort_keys=False, allow_unicode=True, width=100)


class _PlainLoader(yaml.SafeLoader):
    """Without aliases, a few of which make a file of a kilobyte into one of a gigabyte, and without
    deep nesting, which takes time by its square."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent) or self.depth > MAX_NESTING:
            raise yaml.YAMLError("neither aliases nor deep nesting")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _first_fault(found: list[Any], error: ValidationError) -> str:
    first = error.errors()[0]
    number, *path = first["loc"]
    each = found[number] if isinstance(number, int) else None
    name = each.get("id") if isinstance(each, dict) else None
    which = f"style {number + 1}" if isinstance(number, int) else "a style"
    where = f"{which} (“{name}”)" if isinstance(name, str) else which
    field = ".".join(str(part) for part in path)
    reason = first["msg"].removeprefix("Value error, ")
    return f"in {where}, {field + ': ' if field else ''}{reason[0].lower()}{reason[1:]}"


def _unusable(reason: str) -> KinoraError:
    return KinoraError(ErrorCode.INVALID_INPUT, f"The styles cannot be read: {reason}.")


def find_style(name: str, styles: Mapping[str, Style]) -> Style:
    """By its id, or by its name in any case. Raises KinoraError(INVALID_INPUT), which names the
    nearest."""
    wanted = name.strip().casefold()
    by_name = {style.name.casefold(): style for style in styles.values()}
    if found := styles.get(wanted) or by_name.get(wanted):
        return found
    near = get_close_matches(wanted, [*styles, *by_name], 1, cutoff=0.5)
    suggestion = styles.get(near[0]) or by_name[near[0]] if near else None
    if suggestion:
        message = f"There is no style “{name}”. Did you mean “{suggestion.id}”?"
        action = {"label": f"Use {suggestion.name}", "set": {"style": suggestion.id}}
    else:
        message, action = f"There is no style “{name}”. There are: {', '.join(styles)}.", None
    raise KinoraError(ErrorCode.INVALID_INPUT, message, details={"field": "style"}, action=action)


# -- applying --------------------------------------------------------------------------------------


def apply_template(template: str, prompt: str) -> str:
    """The template with the prompt at its place. The prompt's words stay as they are; phrases of
    the template that it has already are left out."""
    before, _, after = template.partition(PLACE)
    lead = "" if not before.strip(" ,") or has_phrase(prompt, before) else before
    added = [phrase for phrase in _phrases(after) if not has_phrase(lead + prompt, phrase)]
    if not lead and not added:
        return prompt
    if not prompt.strip():
        return ", ".join([*_phrases(lead), *added])
    if not added:
        return lead + prompt
    core = prompt.rstrip().rstrip(",;").rstrip()
    if core.endswith(SENTENCE_ENDS):
        end = "." if after.rstrip().endswith(".") else ""
        rest = ", ".join(added)
        return f"{lead}{core} {rest[:1].upper()}{rest[1:]}{end}"
    return lead + ", ".join([core, *added])


def join_negative(prompt: str, style: str) -> str:
    """Both as one list; what the first has already is left out of the second."""
    added = [phrase for phrase in _phrases(style) if not has_phrase(prompt, phrase)]
    if not added:
        return prompt
    first = prompt.rstrip().rstrip(",;.").rstrip()
    return ", ".join([first, *added] if first else added)


def has_phrase(text: str, phrase: str) -> bool:
    """As whole words, in any case."""
    words = phrase.strip(" ,.").casefold()
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text.casefold()) is not None


def _phrases(text: str) -> Sequence[str]:
    """Without repeats."""
    found = (part.strip(" .") for part in text.split(","))
    return list({part.casefold(): part for part in found if part}.values())
