"""The collector is back after every block, however blocks nest, overlap or end."""

from __future__ import annotations

import gc
from contextlib import ExitStack

import pytest

from jobs.paused_gc import paused_gc


def test_it_is_off_in_the_block_and_on_after_it() -> None:
    with pytest.raises(ValueError, match="within"), paused_gc():
        assert not gc.isenabled()
        raise ValueError("within")
    assert gc.isenabled()


@pytest.mark.parametrize("first_out", ["outer", "inner"])
def test_blocks_of_two_threads_may_end_in_any_order(first_out: str) -> None:
    outer, inner = ExitStack(), ExitStack()
    outer.enter_context(paused_gc())
    inner.enter_context(paused_gc())
    for stack in (outer, inner) if first_out == "outer" else (inner, outer):
        stack.close()
    assert gc.isenabled()


def test_a_process_that_never_collects_stays_so() -> None:
    gc.disable()
    try:
        with paused_gc():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
