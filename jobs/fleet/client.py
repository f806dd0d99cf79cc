"""Connects to Redis. Imports redis, which is in requirements-scale.txt only."""

from __future__ import annotations

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoAnswer
from redis.retry import Retry


def connect(url: str, timeout_s: float = 5.0) -> Redis:
    """A call fails about a second after Redis became unreachable; callers retry."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=2.0,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=0.3, base=0.05), 4, (NoConnection, NoAnswer)),
    )
