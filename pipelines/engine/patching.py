"""Temporarily patches single objects of diffusers and transformers.

Each checks that what it replaces exists and is not patched already, touches no other object of the
class, and is undone whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_MARK = "_patched_by_kinora"


@contextmanager
def replaced_method(owner: Any, name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """Calls of `owner.name` reach `replacement`, without `self`, while the block runs.

    Raises AttributeError where the library has no such method any more, RuntimeError where another
    run has replaced it.
    """
    if not callable(getattr(owner, name, None)):
        raise AttributeError(f"{type(owner).__name__} has no method {name}")
    if name in vars(owner):
        raise RuntimeError(f"{type(owner).__name__}.{name} is replaced already")
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        delattr(owner, name)


@contextmanager
def recorded_result(owner: Any, name: str, record: Callable[[Any], None]) -> Iterator[None]:
    """Calls `record` with what each call of `owner.name` returns. Raises as `replaced_method`."""
    method = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        record(result)
        return result

    with replaced_method(owner, name, call):
        yield


@contextmanager
def own_class(instance: Any, methods: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Gives one object a subclass of its class with these methods.

    For methods that Python or a deep copy would not find on the instance: special ones such as
    `__call__` are looked up on the class, and a deep copy takes the instance's attributes along.
    Raises AttributeError where the class has no such method, RuntimeError for a second patch.
    """
    original = type(instance)
    if hasattr(original, _MARK):
        raise RuntimeError(f"this {original.__name__} is patched already: two runs share it")
    for name in methods:
        if not callable(getattr(original, name, None)):
            raise AttributeError(f"{original.__name__} has no method {name}")
    members = {**methods, _MARK: True, "__module__": original.__module__}
    instance.__class__ = type(original.__name__, (original,), members)
    try:
        yield
    finally:
        instance.__class__ = original


def original_class(instance: Any) -> type:
    """The class of an object without the methods that `own_class` gave it."""
    of = type(instance)
    return of.__mro__[1] if _MARK in vars(of) else of
