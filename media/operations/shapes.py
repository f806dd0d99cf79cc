"""Sizes and colours as operations write them."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import Field, StringConstraints

from media.operations.operation import Whole

Shape = Annotated[str, StringConstraints(pattern=r"^[1-9]\d?[:/][1-9]\d?$")]
"""Width by height, such as `9:16`, or `9/16` where a colon separates values."""
HexColour = Annotated[str, StringConstraints(pattern=r"^#?[0-9a-fA-F]{6}$")]
Side = Annotated[Whole, Field(ge=2, le=8192)]


def ratio_of(shape: str) -> Fraction:
    width, height = shape.replace("/", ":").split(":")
    return Fraction(int(width), int(height))


def even(side: Fraction | float) -> int:
    """The nearest even number, at least 2."""
    return max(2, 2 * round(side / 2))


def with_full_chroma(filters: str, *sides: int) -> str:
    """Filters that move pixels by these numbers, or work on these sizes: an odd one would shift
    the colours of yuv420p by half a pixel."""
    is_even = all(side % 2 == 0 for side in sides)
    return filters if is_even else f"format=yuv444p,{filters}"
