"""Checks for what workers behind Redis need; imports only what a plain installation has."""

from __future__ import annotations

from importlib.util import find_spec

from errors import ErrorCode, KinoraError
from settings import Settings


def require_redis(settings: Settings) -> None:
    """Raises KinoraError(INVALID_INPUT) with what is missing."""
    if not settings.redis_address:
        raise KinoraError(ErrorCode.INVALID_INPUT, "REDIS_URL must say where Redis is.")
    if not (find_spec("rq") and find_spec("redis")):
        sentence = "REDIS_URL needs more packages: pip install -r requirements-scale.txt"
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence)
