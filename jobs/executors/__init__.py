"""Where clips are made: a spawned worker, workers behind Redis, or this very process on ZeroGPU."""

from __future__ import annotations

from importlib.util import find_spec

from errors import ErrorCode, KinoraError
from jobs.executors.base import Executor
from settings import Settings


def executor_for(settings: Settings) -> Executor:
    if settings.executor_kind == "inline":
        from jobs.executors.inline import InlineExecutor

        return InlineExecutor(settings)
    if settings.executor_kind == "redis":
        require_redis(settings)
        from jobs.executors.redis import RedisExecutor

        return RedisExecutor(settings)
    from jobs.executors.process import ProcessExecutor

    return ProcessExecutor(settings)


def require_redis(settings: Settings) -> None:
    """Says what is missing before anything is started."""
    if not settings.redis_address:
        raise KinoraError(ErrorCode.INVALID_INPUT, "REDIS_URL must say where Redis is.")
    if not (find_spec("rq") and find_spec("redis")):
        sentence = "REDIS_URL needs more packages: pip install -r requirements-scale.txt"
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence)
