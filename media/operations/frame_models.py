"""What operations need of a learned model. The worker loads it: this package imports none."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from media.operations.operation import Operation
from pipelines.field_types import integer_as_typed

Method = Literal["auto", "built-in"]
ModelRole = Literal["interpolation", "upscaling"]
"""The names of the models in FrameTools."""


def factor_as_typed(value: Any) -> Any:
    """For a Literal of whole numbers: "2" is 2."""
    value = integer_as_typed(value)
    return int(float(value)) if isinstance(value, str) else value


class FrameInterpolator(Protocol):
    def between(
        self,
        before: np.ndarray,
        after: np.ndarray,
        moments: Sequence[float],
        check: Callable[[], None],
    ) -> Iterator[np.ndarray]:
        """Yields the frame at each moment between 0 (`before`) and 1 (`after`); all frames are
        uint8 [H, W, 3]. What `check` raises stops it."""
        ...


class FrameUpscaler(Protocol):
    scale: int
    """How many times larger its frames are; 1 for a model that only restores."""

    def upscale(self, frame: np.ndarray, check: Callable[[], None]) -> np.ndarray:
        """uint8 [H, W, 3] to uint8 [scale * H, scale * W, 3]. What `check` raises stops it."""
        ...


class UsesModel(Operation, ABC):
    """An operation that the server's model does, where the server has one."""

    model_role: ClassVar[ModelRole]
    method: Method = Field(
        default="auto",
        description="The server's model where it has one (auto), or the built-in method.",
    )

    @property
    def may_use_model(self) -> bool:
        return self.method == "auto"

    def with_model(self) -> Operation:
        """The operation as a model does it: what comes out has the same size and rate."""
        return self


def needed_roles(operations: Sequence[Operation]) -> tuple[ModelRole, ...]:
    """The models that operations use where the server has them."""
    found = [each for each in operations if isinstance(each, UsesModel)]
    return tuple(dict.fromkeys(each.model_role for each in found if each.may_use_model))


def use_models(operations: Sequence[Operation], models: Mapping[str, Any]) -> tuple[Operation, ...]:
    """The operations as they run with these models, which are named by their roles."""

    def used(each: Operation) -> Operation:
        if isinstance(each, UsesModel) and each.may_use_model and each.model_role in models:
            return each.with_model()
        return each

    return tuple(used(each) for each in operations)
