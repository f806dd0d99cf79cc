"""Parsers for the values of settings."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BeforeValidator

ROOT = Path(__file__).resolve().parent

MIN_KEY = 16
"""Minimum length of an API key: shorter ones can be guessed."""


def dtype_name(value: object) -> object:
    short = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "half": "float16"}
    name = str(value).strip().lower().removeprefix("torch.")
    return short.get(name, name)


def split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part for part in (each.strip() for each in value.split(",")) if part)


ORIGIN = re.compile(r"https?://(\*\.)?[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:.]+\](:\d{1,5})?")
"""What `frame-ancestors` accepts; nothing that could end the header it is written into."""


def origins(value: object) -> object:
    """`https://host[:port]`, `https://*.host`, or `*` for every site, separated by commas."""
    if not isinstance(value, str):
        return value
    origins = tuple(part.strip().rstrip("/").lower() for part in value.split(",") if part.strip())
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin} is not an origin such as https://example.org")
    return origins


def api_address(value: object) -> object:
    """The address of an HTTP API. A key is no part of it: addresses are logged."""
    if not isinstance(value, str):
        return value
    parts = urlsplit(value.strip())
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise ValueError("should be an address such as https://host/v1, without a key in it")
    return value.strip().rstrip("/")


SPLINE = "https://my.spline.design"


def spline_address(value: object) -> object:
    """The public address of a Spline scene: the page shows no frame of any other site."""
    if not isinstance(value, str):
        return value
    address = value.strip()
    if not re.fullmatch(rf"{re.escape(SPLINE)}/[\w.~-]+/?", address, re.ASCII):
        raise ValueError(f"should be the public address of a scene, such as {SPLINE}/name-1a2b3c/")
    return address


def keys_by_name(value: object) -> object:
    """Parses `name:key,name:key`. The error contains neither names nor keys."""
    if not isinstance(value, str):
        return value
    parts = [part.strip().partition(":") for part in value.split(",") if part.strip()]
    keys = {name: key for name, _, key in parts}
    if not all(name and len(key) >= MIN_KEY for name, key in keys.items()):
        raise ValueError(f"each must be a name, a colon and a key of at least {MIN_KEY} characters")
    return keys


def none_if_empty(value: object) -> object:
    return None if value == "" else value


Blank = BeforeValidator(none_if_empty)
"""For a field that counts as unset when its variable is empty."""


def web_address(value: object) -> object:
    """The address of a page that people open: https or http, without a password in it."""
    if not isinstance(value, str):
        return value
    address = value.strip()
    parts = urlsplit(address)
    is_plain = not (parts.username or parts.password) and address.isprintable()
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise ValueError("should be an address such as https://example.org/terms")
    return address


def contact_address(value: object) -> object:
    """An e-mail address, or the address of a page."""
    if not isinstance(value, str):
        return value
    address = value.strip().removeprefix("mailto:")
    if re.fullmatch(r"[^\s@<>\"'&?]+@[^\s@<>\"'&?]+\.[^\s@<>\"'&?]+", address):
        return address
    try:
        return web_address(address)
    except ValueError:
        raise ValueError("should be an e-mail address or the address of a page") from None


def import_path(value: object) -> object:
    """`package.module:Class`."""
    if isinstance(value, str) and not re.fullmatch(r"\w+(\.\w+)*:\w+", value.strip(), re.ASCII):
        raise ValueError("should be a module, a colon and a class, such as filters:HouseRules")
    return value.strip() if isinstance(value, str) else value
