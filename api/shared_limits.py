"""Clips in a minute and in a day, counted in Redis for all servers that share it.

By Redis' own clock, in one script, so two servers cannot both give away the last clip. While Redis
is away each server counts for itself. Knows the windows of `limits`; knows no caller.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from api.limits import Full, Window, Windows, WindowsHere
from settings import Settings

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

PATIENCE_S = 1.0
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
"""KEYS: the caller's. ARGV: clips, a name nobody else has, then seconds and most of each window."""


class SharedWindows:
    def __init__(self, redis: Redis) -> None:
        self._take = redis.register_script(TAKE)
        self._here = WindowsHere()

    def take(
        self, caller: str, clips: int, windows: Sequence[Window], now: float | None = None
    ) -> Full | int:
        from redis.exceptions import RedisError

        given: list[Any] = [clips, secrets.token_hex(8)]
        for window in windows:
            given += [window.seconds, window.most]
        try:
            full, count, free_s = self._take(keys=[f"kinora:clips:{caller}"], args=given)
        except RedisError:
            log.warning("Redis is away: clips are counted by this server alone meanwhile.")
            return self._here.take(caller, clips, windows, now)
        return Full(windows[count], float(free_s)) if full else int(count)


def windows_for(settings: Settings) -> Windows:
    if settings.executor_kind != "redis" or not settings.redis_address:
        return WindowsHere()
    from jobs.executors.fleet import connect

    return SharedWindows(connect(settings.redis_address, PATIENCE_S))
