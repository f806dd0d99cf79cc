"""Finds the sentences in our Python that people may read: errors, adjustments, lines of a job.

A text is a template in which `{}` stands for each value. What is logged, raised for programmers, or
documents the code is none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from errors import split_sentence

LEFT_OUT_CALLS = frozenset(
    ("debug", "info", "warning", "error", "exception", "critical", "print", "Field", "Query",
     "Header", "ArgumentParser", "add_argument", "compile", "execute", "text", "ValueError",
     "RuntimeError", "TypeError", "OSError", "AssertionError", "LookupError", "KeyError")
)  # fmt: skip
SENTENCE = re.compile(r"^[A-Z“{].*[a-z].* .*[.?!]$", re.DOTALL)


def find_sentences(source: str) -> list[str]:
    """The sentences of a module, in their order, each once."""
    found: dict[str, None] = {}
    for template in _strings(ast.parse(source)):
        rest = template
        while rest:
            sentence, rest = split_sentence(rest)
            if SENTENCE.match(sentence) and re.search(r"[a-z]{2} ?[a-z]*", sentence):
                found.setdefault(sentence)
    return list(found)


LABELS = frozenset(("label", "placeholder", "tab", "hint"))
BUTTONS = frozenset(("Button", "Accordion"))


def find_labels(source: str) -> list[str]:
    """What controls are called, texts in a dictionary `TEXTS`, lines that a function returns."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.keyword(arg=name, value=ast.Constant(value=str(text))) if name in LABELS:
                found.setdefault(text)
            case ast.Call(func=function, args=[ast.Constant(value=str(text)), *_]):
                if _name(function) in BUTTONS:
                    found.setdefault(text)
            case ast.Assign(targets=[ast.Name(id="TEXTS")], value=ast.Dict(values=values)):
                for value in values:
                    for text in _strings(value):
                        found.setdefault(re.sub(r"\{[a-z]\w*(?::[^}]*)?\}", "{}", text))
            case ast.FunctionDef(name=name, body=body) if name.endswith("line"):
                for text in (text for each in body for text in _strings(each)):
                    if re.match(r"[A-Z].*[a-z]", text):
                        found.setdefault(text)
    return [text for text in found if re.search(r"[a-z]{2}", text)]


def _strings(node: ast.AST) -> Iterator[str]:
    """Depth first, without docstrings and without the arguments of the calls left out."""
    if isinstance(node, ast.Call) and _name(node.func) in LEFT_OUT_CALLS:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _strings(child)


def _name(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
