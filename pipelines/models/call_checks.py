"""Follows a pipeline's call in its source, to find what it cannot do without.

Many arguments are optional in the signature and required by a check, or by the first line that uses
them. Only what certainly happens counts: where a condition depends on anything but the presence of
arguments, components and settings, both branches are followed, and the call fails if both do.
Nothing is imported, nothing is run.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from pipelines.models.call_expressions import (
    Expressions,
    Fails,
    Failure,
    Lack,
    Returns,
    Scope,
)
from pipelines.models.call_values import UNKNOWN, Known, Missing, Part, Row, Value, joined
from pipelines.models.class_facts import Facts
from pipelines.models.class_sources import find_method

__all__ = ["Failure", "Lack", "failure_of_call"]

LOOPS_THAT_RUN = ("timesteps",)
"""Names in the head of a loop that certainly runs at least once."""


def failure_of_call(facts: Facts, given: Mapping[str, Value]) -> Failure | None:
    """Why a call with these arguments certainly fails; None if it may succeed.

    The arguments that are not given have their defaults."""
    reader = _Reader(facts)
    try:
        if (made := find_method(facts.class_name, "__init__")) is not None:
            parts: Scope = {
                name: Part(name, of) for name, (_, of) in facts.index.components.items()
            }
            settings = {name: Known(value) for name, value in facts.index.config.items()}
            reader.run(made, {**parts, **settings}, lenient=True)
        call = find_method(facts.class_name, "__call__")
        if call is not None:
            reader.run(call, dict(given))
    except Fails as failed:
        return failed.failure
    return None


@dataclass
class _Reader(Expressions):
    """Runs functions of one pipeline on what is known of their arguments."""

    # -- functions -------------------------------------------------------------------------------

    def run(self, function: ast.FunctionDef, given: Scope, *, lenient: bool = False) -> Value:
        """Raises Fails. `lenient`: parameters without a value are present."""
        scope = self.bind(function, given, lenient)
        self.depth += 1
        tested, self.tested = self.tested, frozenset()
        try:
            self.block(function.body, scope)
        except Returns as returned:
            return returned.value
        finally:
            self.depth -= 1
            self.tested = tested
        return UNKNOWN

    def bind(self, function: ast.FunctionDef, given: Scope, lenient: bool) -> Scope:
        arguments = function.args
        scope: Scope = {}
        names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
        defaults: list[ast.expr | None] = [None] * (len(names) - len(arguments.defaults))
        defaults += arguments.defaults
        pairs = [*zip(names, defaults, strict=True)]
        pairs += zip((a.arg for a in arguments.kwonlyargs), arguments.kw_defaults, strict=True)
        for name, default in pairs:
            if name in given:
                scope[name] = given[name]
            elif default is not None:
                scope[name] = self._default(name, default)
            elif name != "self" and not lenient and self.depth == 0:
                raise Fails(Lack.INPUT, frozenset({name}))
            else:
                scope[name] = UNKNOWN
        if arguments.kwarg is None and (extra := set(given) - set(scope)) and self.depth:
            raise Fails(Lack.UPSTREAM, frozenset(extra))
        return scope

    def _default(self, name: str, node: ast.expr) -> Value:
        try:
            literal = ast.literal_eval(node)
        except ValueError:
            return UNKNOWN
        return Missing(frozenset({name})) if literal is None else Known(literal)

    # -- statements ------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt], scope: Scope) -> None:
        for statement in statements:
            self.statement(statement, scope)

    def statement(self, node: ast.stmt, scope: Scope) -> None:
        match node:
            case ast.If():
                self._branch(node, scope)
            case ast.Raise():
                raise Fails(Lack.INPUT, self.tested)
            case ast.Assert(test=test):
                if self.test(test, scope)[0] is False:
                    raise Fails(Lack.INPUT, self.test(test, scope)[1])
            case ast.Return(value=value):
                raise Returns(self.value(value, scope) if value else Known(None))
            case ast.Assign(targets=targets, value=value):
                result = self.value(value, scope)
                for target in targets:
                    self._assign(target, result, scope)
            case ast.AnnAssign(target=target, value=value) if value is not None:
                self._assign(target, self.value(value, scope), scope)
            case ast.AugAssign(target=target, value=value):
                self.value(value, scope)
                self._assign(target, UNKNOWN, scope)
            case ast.Expr(value=value):
                self.value(value, scope)
            case ast.With(items=items, body=body):
                for item in items:
                    self.value(item.context_expr, scope)
                self.block(body, scope)
            case ast.For():
                self._loop(node, scope)
            case ast.While(body=body):
                self._perhaps(body, scope)
            case ast.Try(body=body, handlers=handlers) if handlers:
                self._perhaps(body, scope)
            case ast.Try(body=body):
                self.block(body, scope)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                scope.update(dict.fromkeys((n.asname or n.name for n in names), UNKNOWN))
            case _:
                pass

    def _branch(self, node: ast.If, scope: Scope) -> None:
        truth, reads = self.test(node.test, scope)
        before = self.tested
        self.tested = reads or before
        try:
            if truth is not None:
                self.block(node.body if truth else node.orelse, scope)
                return
            self._either([node.body, node.orelse], scope)
        finally:
            self.tested = before

    def _either(self, bodies: list[list[ast.stmt]], scope: Scope) -> None:
        """Fails if every body does; else goes on with what is true after all that do not."""
        ends: list[Scope] = []
        failed: Fails | None = None
        returned: Returns | None = None
        for body in bodies:
            copy, attributes = dict(scope), dict(self.attributes)
            try:
                self.block(body, copy)
                ends.append(copy)
            except Fails as failure:
                failed = failed or failure
                self.attributes = attributes
            except Returns as result:
                returned = result
        if not ends:
            if returned is not None:
                raise Returns(UNKNOWN)
            if failed is not None:
                raise failed
        for name in {name for end in ends for name in end}:
            values = [end.get(name, UNKNOWN) for end in ends]
            scope[name] = values[0] if len(values) == 1 else joined(*values)

    def _perhaps(self, body: list[ast.stmt], scope: Scope) -> None:
        """A body that may not run to its end, or not at all."""
        copy = dict(scope)
        with suppress(Fails, Returns):
            self.block(body, copy)
        for name, value in copy.items():
            scope[name] = joined(value, scope.get(name, UNKNOWN))

    def _loop(self, node: ast.For, scope: Scope) -> None:
        over = self.value(node.iter, scope)
        self.iterate(over)
        for name in (each.id for each in ast.walk(node.target) if isinstance(each, ast.Name)):
            scope[name] = UNKNOWN
        heads = {each.id for each in ast.walk(node.iter) if isinstance(each, ast.Name)}
        if heads & set(LOOPS_THAT_RUN):
            self.block(node.body, scope)
        else:
            self._perhaps(node.body, scope)

    def _assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        match target:
            case ast.Name(id=name):
                scope[name] = value
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                self.attributes[name] = value
            case ast.Tuple(elts=targets):
                if isinstance(value, Missing):
                    raise Fails(Lack.INPUT, value.names)
                values = value.values if isinstance(value, Row) else ()
                for n, each in enumerate(targets):
                    same = len(values) == len(targets)
                    self._assign(each, values[n] if same else UNKNOWN, scope)
            case _:
                pass
