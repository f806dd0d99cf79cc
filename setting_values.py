"""How the text of a setting becomes its value. Knows nothing of which settings there are."""

from __future__ import annotations

import re

MIN_KEY = 16
"""Letters of an API key: shorter ones can be guessed."""


def dtype_name(value: object) -> object:
    short = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "half": "float16"}
    name = str(value).strip().lower().removeprefix("torch.")
    return short.get(name, name)


def split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part for part in (each.strip() for each in value.split(",")) if part)


ORIGIN = re.compile(r"https?://(\*\.)?[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:.]+\](:\d{1,5})?")
"""As `frame-ancestors` takes it; nothing that could end the header it is written into."""


def origins(value: object) -> object:
    """Each `https://host[:port]` or `https://*.host`, or one `*` for every site."""
    if not isinstance(value, str):
        return value
    origins = tuple(part.strip().rstrip("/").lower() for part in value.split(",") if part.strip())
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin} is no origin, such as https://example.org")
    return origins


def keys_by_name(value: object) -> object:
    """`name:key,name:key`. Neither a name nor a key is ever said in the error."""
    if not isinstance(value, str):
        return value
    parts = [part.strip().partition(":") for part in value.split(",") if part.strip()]
    keys = {name: key for name, _, key in parts}
    if not all(name and len(key) >= MIN_KEY for name, key in keys.items()):
        raise ValueError(f"each must be a name, a colon, and a key of at least {MIN_KEY} letters")
    return keys


def none_if_empty(value: object) -> object:
    return None if value == "" else value
