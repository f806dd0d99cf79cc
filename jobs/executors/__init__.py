"""Where clips are made: a spawned worker, workers behind Redis, or this very process on ZeroGPU."""

from __future__ import annotations

from jobs.executors.base import Executor
from settings import Settings


def executor_for(settings: Settings) -> Executor:
    if settings.executor_kind == "inline":
        from jobs.executors.inline import InlineExecutor

        return InlineExecutor(settings)
    if settings.executor_kind == "redis":
        from jobs.executors.redis import RedisExecutor

        return RedisExecutor(settings)
    from jobs.executors.process import ProcessExecutor

    return ProcessExecutor(settings)
