"""Finds the sentences in our Python that people may read: errors, adjustments, lines of a job.

A text is a template in which `{}` stands for each value. What is logged, raised for programmers, or
documents the code is none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from errors import split_sentence

LEFT_OUT_KEYWORDS = frozenset(("description", "help", "summary"))
"""Of endpoints, parameters and options: developers read them."""
LEFT_OUT_CALLS = frozenset(
    ("debug", "info", "warning", "error", "exception", "critical", "print", "Field", "Query",
     "Header", "ArgumentParser", "add_argument", "compile", "execute", "text", "ValueError",
     "RuntimeError", "TypeError", "OSError", "AssertionError", "LookupError", "KeyError")
)  # fmt: skip
FOR_OPERATORS = ("KINORA_", "REDIS_URL", "SameSite")
"""How texts begin that only an operator sees, when the program starts or in its log."""
BESIDE = re.compile(r"^\{\} (?=[A-Z“])|(?<=[.?!])(?: ?\{\})+$")
"""Another sentence, beside the one of the template."""
SENTENCE = re.compile(r"^[A-Z“{].*[a-z].* .*[.?!]$", re.DOTALL)


def find_sentences(source: str) -> list[str]:
    """The sentences of a module, in their order, each once."""
    found: dict[str, None] = {}
    for template in _strings(ast.parse(source)):
        rest = template
        while rest:
            sentence, rest = split_sentence(rest)
            sentence = BESIDE.sub("", sentence)
            if (
                SENTENCE.match(sentence)
                and "%s" not in sentence
                and not sentence.startswith(FOR_OPERATORS)
            ):
                found.setdefault(sentence)
    return list(found)


LINE = re.compile(r"(?:[A-Z]|\{\} (?!and \{\}$)).*[a-z]")
LABELS = frozenset(("label", "placeholder", "tab", "hint"))
TABLES = frozenset(("TEXTS", "REASONS", "CANNOT", "NONE_CAN"))
"""Dictionaries of texts."""
BUTTONS = frozenset(("Button", "Accordion"))


def find_labels(source: str) -> list[str]:
    """What controls are called, texts in dictionaries (`TABLES`), what buttons of errors are
    called, lines that a function returns."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.keyword(arg=name, value=ast.Constant(value=str(text))) if name in LABELS:
                found.setdefault(text)
            case ast.Call(func=function, args=[ast.Constant(value=str(text)), *_]):
                if _name(function) in BUTTONS:
                    found.setdefault(text)
            case ast.Dict(keys=keys, values=values) if any(map(_is_label, keys)):
                for key, value in zip(keys, values, strict=True):
                    for text in _strings(value) if _is_label(key) else ():
                        found.setdefault(text)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(values=values)) if (
                name in TABLES
            ):
                for value in values:
                    for text in _strings(value):
                        found.setdefault(re.sub(r"\{[a-z]\w*(?::[^}]*)?\}", "{}", text))
            case ast.FunctionDef(name=name, body=body) if name.endswith("line"):
                for text in (text for each in body for text in _strings(each)):
                    if LINE.match(text):
                        found.setdefault(text)
    texts = (BESIDE.sub("", text) for text in found)
    return [
        text
        for text in texts
        if re.search(r"[a-z]{2}", text) and not text.startswith(("label", *FOR_OPERATORS))
    ]


def _strings(node: ast.AST) -> Iterator[str]:
    """Depth first, without docstrings and without the arguments of the calls left out."""
    if isinstance(node, ast.Call) and _name(node.func) in LEFT_OUT_CALLS:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.keyword) and node.arg in LEFT_OUT_KEYWORDS:
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    else:
        for child in _without_descriptions(node):
            yield from _strings(child)


def _without_descriptions(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below, but not the values of a key such as `description`, nor the help of a field
    that has another text on the page."""
    left_out: list[ast.AST] = []
    match node:
        case ast.Dict(keys=keys, values=values):
            left_out = [
                value for key, value in zip(keys, values, strict=True)
                if isinstance(key, ast.Constant)
                and (key.value in LEFT_OUT_KEYWORDS or key.value in range(100, 600))
            ]  # fmt: skip
        case ast.Call(func=ast.Name(id="RequestField"), args=[_, text, *_], keywords=keywords):
            if {"hint", "on_page", "required_for", "option_before"} & {k.arg for k in keywords}:
                left_out = [text]
    return (child for child in ast.iter_child_nodes(node) if child not in left_out)


def _is_label(key: ast.expr | None) -> bool:
    return isinstance(key, ast.Constant) and key.value == "label"


def _name(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
