"""Rates hold for all servers that share a Redis, to the last clip, and go on without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from errors import ErrorCode, KinoraError
from jobs.fleet.client import connect
from settings import Settings
from tests.jobs.redis_fleet import RedisServer
from web.limits import ClipLimits, Full, SharedWindows, Window, Windows, WindowsHere, windows_for


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), keeps=False)
    yield server
    server.close()


def shared(redis: RedisServer, patience_s: float = 30.0) -> SharedWindows:
    """As one server has it: a connection of its own."""
    return SharedWindows(connect(redis.url, patience_s))


def test_four_servers_give_away_together_what_one_would(redis: RedisServer) -> None:
    servers = [ClipLimits(30, 100, shared(redis)) for _ in range(4)]
    given: list[str] = []
    refused: list[KinoraError] = []

    def ask(server: ClipLimits) -> None:
        for _ in range(20):
            try:
                given.append(server.take("somebody")["RateLimit-Remaining"])
            except KinoraError as error:
                refused.append(error)

    threads = [threading.Thread(target=ask, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == 30
    assert sorted(map(int, given)) == list(range(30)), "each was told a number of its own"
    assert len(refused) == 50
    assert {error.code for error in refused} == {ErrorCode.RATE_LIMITED}
    assert all(1 <= error.details["retry_after_s"] <= 61 for error in refused)
    servers[0].take("somebody else")


Said = list[Full | int]


def slide(take: Callable[[int], Full | int]) -> tuple[Said, bool]:
    """What is said of clips that grow old; False if the machine stood still and more grew old."""
    began = time.monotonic()
    said = [take(2), take(2), take(1)]
    in_time = time.monotonic() - began < 0.7
    time.sleep(1.1)
    said.append(take(2))
    time.sleep(1.1)
    said.append(take(1))
    return said, in_time and time.monotonic() - began < 2.9


@pytest.mark.parametrize("where", ["here", "redis"])
def test_a_window_slides_the_same_here_and_there(redis: RedisServer, where: str) -> None:
    windows: Windows = WindowsHere() if where == "here" else shared(redis)
    two = [Window(1, 3), Window(3, 5)]
    for number in range(10):
        said, in_time = slide(lambda clips, n=number: windows.take(f"{n}", clips, two, None))
        if in_time:
            break
    else:
        pytest.fail("the machine never kept time")
    first, full, second, third, full_later = said
    assert (first, second) == (2, 3)
    assert isinstance(full, Full)
    assert full.window == two[0]
    assert 0.2 < full.free_s <= 1
    assert third == 2, "they grow old, and a refusal counts nothing"
    assert isinstance(full_later, Full)
    assert full_later.window == two[1], "the longer one is full"
    assert windows.take("nobody yet", 4, two, None) == Full(two[0], 1.0)


@pytest.mark.parametrize("where", ["here", "redis"])
def test_what_is_given_back_may_be_taken_again(redis: RedisServer, where: str) -> None:
    limits = ClipLimits(5, 9, None if where == "here" else shared(redis))
    limits.give_back(where, 3)
    limits.take(where, 2)
    limits.take(where, 3)
    limits.give_back(where, 3)
    assert limits.take(where, 3)["RateLimit-Remaining"] == "0"
    with pytest.raises(KinoraError):
        limits.take(where)


def test_while_redis_is_away_each_counts_for_itself(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis")
    limits = ClipLimits(2, 0, shared(redis, 1.0))
    limits.take("me")
    redis.kill()
    assert limits.take("me", 2)["RateLimit-Remaining"] == "0"
    with pytest.raises(KinoraError):
        limits.take("me")
    limits.give_back("me", 2)
    assert limits.take("me", 2)["RateLimit-Remaining"] == "0"


def test_only_where_there_is_a_redis_it_is_asked(tiny_settings: Settings) -> None:
    assert isinstance(windows_for(tiny_settings), WindowsHere)
    fleet = tiny_settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    assert isinstance(windows_for(fleet), SharedWindows)
