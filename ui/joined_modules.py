"""Joins ES modules into one script, in the order of their imports.

A browser takes about as long for forty small modules as for the rest of our script (docs/LOG.md).
The modules stay what they are: whatever is not written in one of the forms below raises ValueError.
What few visitors open is a script of its own (`join_later_modules`), which is loaded when it is
imported by `import("./its/module.js")`, and shares the modules of the first one.
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
IMPORT_LATER = re.compile(r'\bimport\("(?P<source>\.[^"]*)"\)')
STYLE = re.compile(r'new URL\("\./[\w.]+\.css", import\.meta\.url\)')
"""The address of a style that is served beside the script."""
LEFT = re.compile(r"^\s*(?:import|export)\b|\bimport\s*[(.]|^await\b", re.MULTILINE)
DEFAULT = "$default"


SHARED = "$shared"
"""What the first script exports for those that come later: its modules, by path."""


def join_modules(modules: Mapping[str, str], main: str, later: Mapping[str, str] = {}) -> str:
    """`modules` by their paths. The result is a module itself, with what `main` exports. `later`
    has the modules that may be imported later, with the file names of their scripts.

    Raises:
        ValueError: modules import each other, or one has a form that is not known here.
    """
    joined = _Joined(modules, later)
    joined.add(main)
    shared = ", ".join(f'"{path}": {holder}' for path, holder in joined.holders.items())
    main_exports = ", ".join(joined.exports[main])
    parts = [*joined.parts, f"export const {{ {main_exports} }} = {joined.holders[main]};"]
    if later:
        parts.insert(-1, f"export const {SHARED} = {{ {shared} }};")
    return "\n".join(parts) + "\n"


def join_later_modules(
    modules: Mapping[str, str], main: str, entry: str, later: Mapping[str, str]
) -> str:
    """A script with `entry` and those of its imports that the script of `main`, which is served
    beside it, does not have."""
    first = _Joined(modules, later)
    first.add(main)
    joined = _Joined(modules, {})
    joined.holders = {path: f'{SHARED}["{path}"]' for path in first.holders}
    joined.exports = first.exports
    joined.add(entry)
    names = ", ".join(joined.exports[entry])
    head = f'import {{ {SHARED} }} from "./{posixpath.basename(main)}";'
    last = f"export const {{ {names} }} = {joined.holders[entry]};"
    return "\n".join([head, *joined.parts, last]) + "\n"


class _Joined:
    def __init__(self, modules: Mapping[str, str], later: Mapping[str, str]) -> None:
        self.modules, self.later = modules, later
        self.parts: list[str] = []
        self.holders: dict[str, str] = {}
        """By path: the constant with what the module exports."""
        self.exports: dict[str, list[str]] = {}
        self._below: list[str] = []

    def add(self, path: str) -> str:
        """Adds a module after those that it imports, if it is not there; returns its constant."""
        if path in self._below:
            raise ValueError(f"Modules import each other: {' -> '.join([*self._below, path])}")
        if path not in self.holders:
            self._below.append(path)
            body, exports = _module(path, self.modules[path], self.add, self.later)
            self._below.pop()
            holder = f"$module{len(self.holders)}"
            self.holders[path], self.exports[path] = holder, list(exports)
            listed = ", ".join(f"{name}: {local}" for name, local in exports.items())
            head, tail = f"const {holder} = (() => {{", f"return {{ {listed} }};\n}})();"
            self.parts.append(f"// {path}\n{head}\n{body}\n{tail}")
        return self.holders[path]


def _module(
    path: str, text: str, add: Callable[[str], str], later: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """The body of a function, and the names that it exports with what they are called in it."""
    exports: dict[str, str] = {}

    def path_of(found: re.Match[str]) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(path), found["source"]))

    def holder(found: re.Match[str]) -> str:
        return add(path_of(found))

    def imported_later(found: re.Match[str]) -> str:
        wanted = later.get(path_of(found))
        return f'import("./{wanted}")' if wanted else found[0]

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
    text = IMPORT_LATER.sub(imported_later, text)
    known = re.compile("|".join(re.escape(f'import("./{name}")') for name in later.values()))
    rest = STYLE.sub("", COMMENT.sub("", text))
    unknown = LEFT.search(known.sub("", rest) if later else rest)
    if unknown:
        raise ValueError(f"{path}: {unknown[0].strip()} in a form that is not joined")
    return text.rstrip(), exports


def _names(found: re.Match[str]) -> list[tuple[str, str]]:
    """`a, b as c` -> (a, a), (b, c)."""
    each = [name.split() for name in found["names"].split(",") if name.strip()]
    return [(words[0], words[-1]) for words in each]


def _pairs(found: re.Match[str]) -> str:
    return ", ".join(name if name == to else f"{name}: {to}" for name, to in _names(found))
