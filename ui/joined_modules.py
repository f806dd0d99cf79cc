"""Joins ES modules into one script, in the order of their imports.

A browser takes about as long for forty small modules as for the rest of our script (docs/LOG.md).
The modules stay what they are: whatever is not written in one of the forms below raises ValueError.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping

SOURCE = r'\s*from\s*"(?P<source>\.[^"]*)";?'
IMPORT = re.compile(
    r"^import\s*(?:\{(?P<names>[^}]*)\}|(?P<default>[\w$]+))" + SOURCE, re.MULTILINE
)
EXPORT_FROM = re.compile(r"^export\s*\{(?P<names>[^}]*)\}" + SOURCE, re.MULTILINE)
EXPORT_LIST = re.compile(r"\bexport\s*\{(?P<names>[^}]*)\};?")
EXPORT_DEFAULT = re.compile(r"\bexport\s+default\b")
EXPORT = re.compile(
    r"^export\s+(?P<kind>const|class|(?:async\s+)?function)\s+(?P<name>[\w$]+)", re.MULTILINE
)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
LEFT = re.compile(r"^\s*(?:import|export)\b|\bimport\s*[(.]|^await\b", re.MULTILINE)
DEFAULT = "$default"


def join_modules(modules: Mapping[str, str], main: str) -> str:
    """`modules` by their paths. The result is a module itself, with what `main` exports.

    Raises:
        ValueError: modules import each other, or one has a form that is not known here.
    """
    parts: list[str] = []
    holders: dict[str, str] = {}  # by path: the constant with what the module exports
    below: list[str] = []

    def add(path: str) -> str:
        if path in below:
            raise ValueError(f"Modules import each other: {' -> '.join([*below, path])}")
        if path not in holders:
            below.append(path)
            body, exports = _module(path, modules[path], add)
            below.pop()
            holders[path] = f"$module{len(holders)}"
            listed = ", ".join(f"{name}: {local}" for name, local in exports.items())
            head, tail = f"const {holders[path]} = (() => {{", f"return {{ {listed} }};\n}})();"
            parts.append(f"// {path}\n{head}\n{body}\n{tail}")
            if path == main:
                parts.append(f"export const {{ {', '.join(exports)} }} = {holders[path]};")
        return holders[path]

    add(main)
    return "\n".join(parts) + "\n"


def _module(path: str, text: str, add: Callable[[str], str]) -> tuple[str, dict[str, str]]:
    """The body of a function, and the names that it exports with what they are called in it."""
    exports: dict[str, str] = {}

    def holder(found: re.Match[str]) -> str:
        return add(posixpath.normpath(posixpath.join(posixpath.dirname(path), found["source"])))

    def imported(found: re.Match[str]) -> str:
        wanted = f"default: {found['default']}" if found["default"] else _pairs(found)
        return f"const {{ {wanted} }} = {holder(found)};" + "\n" * found[0].count("\n")

    def exported_from(found: re.Match[str]) -> str:
        source = holder(found)
        exports.update({to: f"{source}.{name}" for name, to in _names(found)})
        return "\n" * found[0].count("\n")

    def listed(found: re.Match[str]) -> str:
        exports.update({to: name for name, to in _names(found)})
        return ""

    def exported(found: re.Match[str]) -> str:
        exports[found["name"]] = found["name"]
        return f"{found['kind']} {found['name']}"

    def default(_: re.Match[str]) -> str:
        exports["default"] = DEFAULT
        return f"const {DEFAULT} ="

    text = IMPORT.sub(imported, text)
    text = EXPORT_FROM.sub(exported_from, text)
    text = EXPORT_LIST.sub(listed, text)
    text = EXPORT_DEFAULT.sub(default, text)
    text = EXPORT.sub(exported, text)
    unknown = LEFT.search(COMMENT.sub("", text))
    if unknown:
        raise ValueError(f"{path}: {unknown[0].strip()} in a form that is not joined")
    return text.rstrip(), exports


def _names(found: re.Match[str]) -> list[tuple[str, str]]:
    """`a, b as c` -> (a, a), (b, c)."""
    each = [name.split() for name in found["names"].split(",") if name.strip()]
    return [(words[0], words[-1]) for words in each]


def _pairs(found: re.Match[str]) -> str:
    return ", ".join(name if name == to else f"{name}: {to}" for name, to in _names(found))
