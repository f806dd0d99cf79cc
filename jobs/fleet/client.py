"""Connects to Redis, and says what is missing where that cannot work."""

from __future__ import annotations

from importlib.util import find_spec

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoAnswer
from redis.retry import Retry

from errors import ErrorCode, KinoraError
from settings import Settings


def require_redis(settings: Settings) -> None:
    """Says what is missing before anything is started."""
    if not settings.redis_address:
        raise KinoraError(ErrorCode.INVALID_INPUT, "REDIS_URL must say where Redis is.")
    if not (find_spec("rq") and find_spec("redis")):
        sentence = "REDIS_URL needs more packages: pip install -r requirements-scale.txt"
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence)


def connect(url: str, timeout_s: float = 5.0) -> Redis:
    """Gives up after a good second without Redis: whoever calls goes on and tries again."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=2.0,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=0.3, base=0.05), 4, (NoConnection, NoAnswer)),
    )
