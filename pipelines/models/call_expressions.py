"""What the expressions of a pipeline's call come to, as far as its source decides."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pipelines.models.call_values import (
    LIST_HAS_NO,
    UNKNOWN,
    Given,
    Known,
    Missing,
    Part,
    Row,
    Value,
    depends_on,
    is_instance,
    is_none,
    truth_of,
)
from pipelines.models.class_facts import Facts
from pipelines.models.class_sources import find_class, find_method, find_model
from pipelines.models.missing_packages import lacks_part, missing_names

MAX_DEPTH = 12
"""Calls within calls."""

PREPROCESSING = ("preprocess", "preprocess_video")

Scope = dict[str, Value]


class Lack(str, Enum):
    INPUT = "input"
    PACKAGE = "package"
    UPSTREAM = "upstream"
    """A call that this version of diffusers cannot make."""


@dataclass(frozen=True)
class Failure:
    """Why a call would certainly fail."""

    lack: Lack
    names: tuple[str, ...]
    """Arguments, or the package."""


class Fails(Exception):  # the end of a path, not an error
    def __init__(self, lack: Lack, names: frozenset[str]) -> None:
        self.failure = Failure(lack, tuple(sorted(names)))


class Returns(Exception):
    def __init__(self, value: Value) -> None:
        self.value = value


@dataclass
class Expressions:
    """Of one pipeline: what is known of its arguments, components and settings."""

    facts: Facts
    attributes: Scope = field(default_factory=dict)
    """Of the pipeline."""
    config: Mapping[str, Any] | None = None
    """Of a component, while its own forward is followed."""
    depth: int = 0
    tested: frozenset[str] = frozenset()
    """Missing arguments that the conditions around this line depend on."""

    def __post_init__(self) -> None:
        source = find_class(self.facts.class_name)
        self.unbound = missing_names(source.module) if source else {}

    @abstractmethod
    def run(self, function: ast.FunctionDef, given: Scope, *, lenient: bool = False) -> Value:
        """Follows a function. Raises Fails."""

    @abstractmethod
    def bind(self, function: ast.FunctionDef, given: Scope, lenient: bool) -> Scope:
        """The arguments of a function. Raises Fails."""

    # -- conditions ------------------------------------------------------------------------------

    def test(self, node: ast.expr, scope: Scope) -> tuple[bool | None, frozenset[str]]:
        """Whether it is true, and the missing arguments that it asks for."""
        names = (scope.get(each.id) for each in ast.walk(node) if isinstance(each, ast.Name))
        reads = [depends_on(each) for each in names if each is not None]
        return truth_of(self.value(node, scope)), frozenset[str]().union(*reads)

    def _compare(self, node: ast.Compare, scope: Scope) -> Value:
        values = [self.value(each, scope) for each in (node.left, *node.comparators)]
        if len(values) != 2:
            return UNKNOWN
        left, right = values
        match node.ops[0]:
            case ast.Is() | ast.IsNot() as same if is_none(right):
                found = is_none(left)
                is_same = isinstance(same, ast.Is)
                return UNKNOWN if found is None else Known(found is is_same, depends_on(left))
            case ast.Eq() | ast.NotEq() as same if isinstance(left, Known) and isinstance(
                right, Known
            ):
                is_equal = left.value == right.value
                return Known(is_equal is isinstance(same, ast.Eq), left.names | right.names)
            case ast.Lt() | ast.Gt() | ast.LtE() | ast.GtE():
                for each in values:
                    if isinstance(each, Missing):
                        raise Fails(Lack.INPUT, each.names)
            case _:
                pass
        return UNKNOWN

    def _boolean(self, node: ast.BoolOp, scope: Scope) -> Value:
        """With short circuits, as Python has them."""
        decides = isinstance(node.op, ast.Or)
        result: Value = UNKNOWN
        is_open = False
        for each in node.values:
            try:
                result = self.value(each, scope)
            except Fails:
                if is_open:  # perhaps not reached
                    return UNKNOWN
                raise
            truth = truth_of(result)
            if truth is decides:
                return result if not is_open else Known(decides) if decides else UNKNOWN
            is_open = is_open or truth is None
        return UNKNOWN if is_open else result

    # -- expressions -----------------------------------------------------------------------------

    def value(self, node: ast.expr, scope: Scope) -> Value:
        """Raises Fails where the expression certainly does."""
        match node:
            case ast.Constant(value=literal):
                return Missing() if literal is None else Known(literal)
            case ast.Name(id=name):
                if name in scope:
                    return scope[name]
                if (lost := self.unbound.get(name)) is not None and not lost.is_refusal:
                    raise Fails(Lack.PACKAGE, frozenset({lost.package}))
                return UNKNOWN
            case ast.Attribute():
                return self._attribute(node, scope)
            case ast.Compare():
                return self._compare(node, scope)
            case ast.BoolOp():
                return self._boolean(node, scope)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                value = self.value(operand, scope)
                truth = truth_of(value)
                return UNKNOWN if truth is None else Known(not truth, depends_on(value))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                truth = truth_of(self.value(test, scope))
                if truth is None:
                    return UNKNOWN
                return self.value(body if truth else orelse, scope)
            case ast.BinOp(left=left, right=right):
                for each in (self.value(left, scope), self.value(right, scope)):
                    if isinstance(each, Missing):
                        raise Fails(Lack.INPUT, each.names)
                return UNKNOWN
            case ast.Subscript(value=of):
                self.iterate(self.value(of, scope))
                return UNKNOWN
            case ast.Tuple(elts=elements):
                return Row(tuple(self.value(each, scope) for each in elements))
            case ast.List(elts=elements):
                for each in elements:
                    self.value(each, scope)
                return Given("clip") if elements else UNKNOWN
            case ast.ListComp() | ast.GeneratorExp():
                self.iterate(self.value(node.generators[0].iter, scope))
                return Given("clip") if isinstance(node, ast.ListComp) else UNKNOWN
            case ast.Call():
                return self._call(node, scope)
            case _:
                return UNKNOWN

    def iterate(self, value: Value) -> None:
        if isinstance(value, Missing):
            raise Fails(Lack.INPUT, value.names)

    def _attribute(self, node: ast.Attribute, scope: Scope) -> Value:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return self._own(node.attr)
        of = self.value(node.value, scope)
        if isinstance(of, Missing):
            raise Fails(Lack.INPUT, of.names)
        if of == Given("clip") and node.attr in LIST_HAS_NO:
            raise Fails(Lack.INPUT, frozenset({node.attr}))
        if ast.unparse(node.value) == "self.config":
            return literal_of(self._setting(node.attr))
        if isinstance(of, Part) and lacks_part(of.class_name, node.attr):
            raise Fails(Lack.UPSTREAM, frozenset({"transformers"}))
        if isinstance(of, Part) and node.attr == "config":
            return Part(f"{of.name}.config")
        if isinstance(of, Part) and of.name.endswith(".config"):
            config = self.facts.configs.get(of.name.removesuffix(".config"), {})
            return literal_of(config.get(node.attr))
        return UNKNOWN

    def _own(self, name: str) -> Value:
        """An attribute of the pipeline, or of the component that is followed."""
        if self.config is not None:
            return literal_of(self.config.get(name))
        if name in self.attributes:
            return self.attributes[name]
        if name in self.facts.index.components:
            return Part(name, self.facts.index.components[name][1])
        function = find_method(self.facts.class_name, name)
        if function is not None and is_property(function) and self.depth < MAX_DEPTH:
            return self.run(function, {"self": UNKNOWN})
        return UNKNOWN

    def _setting(self, name: str) -> Any:
        if (value := self.facts.setting(name)) is not None:
            return value
        made = find_method(self.facts.class_name, "__init__")
        scope = self.bind(made, {}, lenient=True) if made else {}
        default = scope.get(name, UNKNOWN)
        return default.value if isinstance(default, Known) else None

    # -- calls -----------------------------------------------------------------------------------

    def _call(self, node: ast.Call, scope: Scope) -> Value:
        positional = [self.value(each, scope) for each in node.args if not is_star(each)]
        named = {k.arg: self.value(k.value, scope) for k in node.keywords if k.arg}
        is_whole = len(positional) == len(node.args) and len(named) == len(node.keywords)
        match node.func:
            case ast.Name(id="isinstance") if len(node.args) == 2:
                found = is_instance(positional[0], type_names(node.args[1]))
                return UNKNOWN if found is None else Known(found, depends_on(positional[0]))
            case ast.Name(id="len" | "list" | "enumerate" | "zip") if positional:
                for each in positional:
                    self.iterate(each)
                return UNKNOWN
            case ast.Name(id=name) if name in self.unbound and name not in scope:
                raise Fails(Lack.PACKAGE, frozenset({self.unbound[name].package}))
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return self._method(name, positional, named if is_whole else None)
            case ast.Attribute(value=of, attr=name):
                self.value(of, scope)
                if name in PREPROCESSING and positional and isinstance(positional[0], Missing):
                    raise Fails(Lack.INPUT, positional[0].names)
                return UNKNOWN
            case _:
                return UNKNOWN

    def _method(self, name: str, positional: list[Value], named: Scope | None) -> Value:
        if self.depth >= MAX_DEPTH or named is None or self.config is not None:
            return UNKNOWN
        part = self.facts.index.components.get(name)
        if part is not None:
            return self._forward(name, part[1], positional, named)
        function = find_method(self.facts.class_name, name)
        if function is None or is_special(function):
            return UNKNOWN
        return self.run(function, by_name(function, positional) | named)

    def _forward(self, name: str, class_name: str, positional: list[Value], named: Scope) -> Value:
        """The call of a component, as far as its configuration decides."""
        source = find_model(class_name)
        function = source.method("forward") if source else None
        if function is None:
            return UNKNOWN
        before, self.config = self.config, self.facts.configs.get(name, {})
        unbound, self.unbound = self.unbound, {}
        try:
            return self.run(function, by_name(function, positional) | named)
        finally:
            self.config, self.unbound = before, unbound


def by_name(function: ast.FunctionDef, values: list[Value]) -> Scope:
    is_static = any(
        isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list
    )
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    return dict(zip(names if is_static else names[1:], values, strict=False))


def is_special(function: ast.FunctionDef) -> bool:
    names = [ast.unparse(each) for each in function.decorator_list]
    return "property" in names or "classmethod" in names or any("setter" in each for each in names)


def is_property(function: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "property" for d in function.decorator_list)


def is_star(node: ast.expr) -> bool:
    return isinstance(node, ast.Starred)


def literal_of(value: Any) -> Value:
    is_scalar = isinstance(value, str | int | float | bool)
    return Known(value) if is_scalar else UNKNOWN


def type_names(node: ast.expr) -> set[str]:
    each = node.elts if isinstance(node, ast.Tuple) else [node]
    return {ast.unparse(one).rpartition(".")[2] for one in each}
