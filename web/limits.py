"""Rate limits (clips per minute and day) and body limits.

Clips are counted per caller, in this process or, with Redis, for all servers that share it.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from errors import ErrorCode, KinoraError, megabytes
from settings import Settings

if TYPE_CHECKING:
    from redis import Redis

MINUTE_S, DAY_S = 60, 24 * 3600
KNOWN_CALLERS = 10_000
TEXT_BYTES = 1_000_000
"""For the text of a request, in addition to its images."""


class Window(NamedTuple):
    seconds: int
    most: int


class Full(NamedTuple):
    """The window is full until `free_s`, or for good if the request alone exceeds it."""

    window: Window
    free_s: float


class Windows(Protocol):
    """Counts the clips of each caller over time."""

    def take(
        self, caller: str, clips: int, windows: Sequence[Window], now: float | None
    ) -> Full | int:
        """Counts the clips. Returns the count of the shortest window, or the full window."""
        ...

    def give_back(self, caller: str, clips: int) -> None:
        """Uncounts the newest clips of the caller."""
        ...


class ClipLimits:
    """Sliding windows."""

    def __init__(self, per_minute: int, per_day: int, windows: Windows | None = None) -> None:
        self._limits = [
            Window(seconds, most)
            for seconds, most in ((MINUTE_S, per_minute), (DAY_S, per_day))
            if most
        ]
        self._windows = windows or WindowsHere()

    def take(self, caller: str, clips: int = 1, now: float | None = None) -> dict[str, str]:
        """Counts the clips and returns the rate limit headers. Raises KinoraError(RATE_LIMITED)."""
        if not self._limits:
            return {}
        found = self._windows.take(caller, clips, self._limits, now)
        if isinstance(found, Full):
            raise _too_many(found.window, clips, max(1, round(found.free_s + 0.5)))
        window = self._limits[0]
        return {
            "RateLimit-Limit": str(window.most),
            "RateLimit-Remaining": str(window.most - found),
            "RateLimit-Reset": str(window.seconds),
        }

    def give_back(self, caller: str, clips: int) -> None:
        """Uncounts clips that were counted but then refused."""
        if self._limits:
            self._windows.give_back(caller, clips)


class WindowsHere:
    """Counts in this process."""

    def __init__(self) -> None:
        self._accepted: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(
        self, caller: str, clips: int, windows: Sequence[Window], now: float | None = None
    ) -> Full | int:
        now = time.monotonic() if now is None else now
        with self._lock:
            times = self._accepted.setdefault(caller, deque())
            self._accepted.move_to_end(caller)
            while times and times[0] <= now - windows[-1].seconds:
                times.popleft()
            for window in windows:
                recent = [at for at in times if at > now - window.seconds]
                if len(recent) + clips > window.most:
                    last_to_go = min(len(recent) + clips - window.most, len(recent)) - 1
                    free_s = window.seconds
                    if recent:
                        free_s += recent[last_to_go] - now
                    return Full(window, free_s)
            times.extend([now] * clips)
            while len(self._accepted) > KNOWN_CALLERS:
                self._accepted.popitem(last=False)
            return sum(at > now - windows[0].seconds for at in times)

    def give_back(self, caller: str, clips: int) -> None:
        with self._lock:
            times = self._accepted.get(caller, deque())
            for _ in range(min(clips, len(times))):
                times.pop()


def _too_many(window: Window, clips: int, wait_s: int) -> KinoraError:
    most = window.most
    span = "a minute" if window.seconds == MINUTE_S else "24 hours"
    if clips > most:
        sentence = f"{clips} clips at once are more than the {most} allowed in {span} here."
    else:
        sentence = f"At most {most} clips in {span} are allowed here. Try again in {wait_s} s."
    details = {"retry_after_s": wait_s, "limit": most, "window_s": window.seconds}
    return KinoraError(ErrorCode.RATE_LIMITED, sentence, details=details)


def most_bytes(path: str, settings: Settings, *, is_form: bool) -> int:
    """The limit in bytes for a request to this path. JSON is held in memory, forms are not."""
    if path.startswith(("/api/prompt", "/api/styles", "/api/looks")):
        return TEXT_BYTES
    if path in ("/api/verify", "/api/settings/read"):
        return settings.max_video_file_size_bytes
    if is_form and path in ("/api/batches", "/api/batches/estimate"):
        return settings.max_video_file_size_bytes
    if is_form and path in (
        "/api/generate",
        "/api/estimate",
        "/api/drafts",
        "/api/drafts/estimate",
        "/api/comparisons",
        "/api/comparisons/estimate",
        "/v1/videos/edits",
        "/v1/videos/extensions",
    ):
        return settings.max_video_upload_bytes + 2 * settings.max_image_bytes + TEXT_BYTES
    return 2 * settings.max_image_bytes + TEXT_BYTES


def limited(scope: Scope, receive: Receive, most: int) -> Receive:
    """`receive`, but it raises KinoraError(TOO_LARGE) as soon as the body exceeds the limit."""
    sentence = f"At most {megabytes(most)} MB are accepted here."
    too_large = KinoraError(ErrorCode.TOO_LARGE, sentence, details={"max": most})
    try:
        announced = int(Headers(scope=scope).get("content-length") or 0)
    except ValueError:
        announced = 0
    if announced > most:
        raise too_large
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > most:
                raise too_large
        return message

    return counted


log = logging.getLogger(__name__)

REDIS_TIMEOUT_S = 1.0

TAKE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local clips, name = tonumber(ARGV[1]), ARGV[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[#ARGV - 1]))
for i = 3, #ARGV, 2 do
  local seconds, most = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local since = '(' .. string.format('%.6f', now - seconds)
  local recent = redis.call('ZCOUNT', KEYS[1], since, '+inf')
  if recent + clips > most then
    local last = math.min(recent + clips - most, recent) - 1
    local entry = redis.call('ZRANGEBYSCORE', KEYS[1], since, '+inf',
      'WITHSCORES', 'LIMIT', math.max(last, 0), 1)
    local free = seconds
    if entry[2] then free = entry[2] + seconds - now end
    return {1, (i - 3) / 2, tostring(free)}
  end
end
for i = 1, clips do
  redis.call('ZADD', KEYS[1], string.format('%.6f', now), name .. i)
end
redis.call('EXPIRE', KEYS[1], ARGV[#ARGV - 1])
local since = '(' .. string.format('%.6f', now - tonumber(ARGV[3]))
return {0, redis.call('ZCOUNT', KEYS[1], since, '+inf'), ''}
"""
"""KEYS: the caller's. ARGV: clips, a unique name, then seconds and most of each window."""


class SharedWindows:
    """Counts in Redis; in this process while Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._take = redis.register_script(TAKE)
        self._here = WindowsHere()

    def take(
        self, caller: str, clips: int, windows: Sequence[Window], now: float | None = None
    ) -> Full | int:
        from redis.exceptions import RedisError

        arguments: list[Any] = [clips, secrets.token_hex(8)]
        for window in windows:
            arguments += [window.seconds, window.most]
        try:
            full, count, free_s = self._take(keys=[_key(caller)], args=arguments)
        except RedisError:
            log.warning("Redis not reachable: rate limits are counted by this server alone.")
            return self._here.take(caller, clips, windows, now)
        return Full(windows[count], float(free_s)) if full else int(count)

    def give_back(self, caller: str, clips: int) -> None:
        from redis.exceptions import RedisError

        try:
            self._redis.zremrangebyrank(_key(caller), -clips, -1)
        except RedisError:
            self._here.give_back(caller, clips)


def _key(caller: str) -> str:
    return f"kinora:clips:{caller}"


def windows_for(settings: Settings) -> Windows:
    if settings.executor_kind != "redis" or not settings.redis_address:
        return WindowsHere()
    from jobs.fleet.client import connect

    return SharedWindows(connect(settings.redis_address, REDIS_TIMEOUT_S))
