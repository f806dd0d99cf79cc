"""Types for numbers, texts and names, parsed in the same way by every interface.

A value is kept as it was typed, or refused; none is rounded, cut or cleaned.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints, ValidationInfo

MAX_SEED = 2**32 - 1
RANDOM_SEED = -1
MAX_PROMPT = 2000
MAX_LORA_NAME = 1000

WHOLE = re.compile(r"[+-]?[0-9]{1,100}(\.0*)?")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def integer_as_typed(value: Any) -> Any:
    """12, 12.0 and "12" are whole numbers; true, 3.7, "1e5", "1_000" and "１２" are not."""
    if isinstance(value, str):
        value = value.strip()
    if isinstance(value, bool) or (isinstance(value, str) and not WHOLE.fullmatch(value)):
        raise ValueError("should be a whole number")
    return value


def number_as_typed(value: Any) -> Any:
    """The same with fractions and exponents."""
    if isinstance(value, str):
        value = value.strip()
    if isinstance(value, bool) or (isinstance(value, str) and not NUMBER.fullmatch(value)):
        raise ValueError("should be a number")
    return value


STORED = {"stored": True}
"""The validation context of what was accepted by an earlier version."""


def _without_controls(text: str, info: ValidationInfo) -> str:
    """Tabs and line breaks are text; NUL, escapes and the like are accidents that some databases
    and encoders refuse much later. Everything else is kept, zero-width joiners included."""
    if info.context == STORED:
        return text
    found = next((c for c in text if unicodedata.category(c) == "Cc" and c not in "\t\n\r"), None)
    if found is not None:
        raise ValueError(f"should have no control characters; it has U+{ord(found):04X}")
    return text


def _file_name(name: str) -> str:
    """Of any script, in subfolders; never a way out of a folder, a hidden file or an address."""
    parts = name.split("/")
    is_one_line = not any(unicodedata.category(letter) == "Cc" for letter in name)
    if not is_one_line or any(not part.strip() or part.startswith(".") for part in parts):
        raise ValueError("should be the name of a file, or an id such as owner/name")
    return name


Text = Annotated[str, AfterValidator(_without_controls)]
Word = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_without_controls)]
"""An id: spaces around it mean nothing."""
FileName = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_LORA_NAME), AfterValidator(_file_name)
]
