"""One at a time, and whoever asks for something new lets the others go first."""

from __future__ import annotations

import threading
import time

from jobs.priority_lock import PriorityLock


def test_news_goes_before_all_who_ask_for_something_new() -> None:
    turnstile, order = PriorityLock(), []

    def ask(name: str) -> None:
        with turnstile.low_priority():
            order.append(name)

    def tell(name: str) -> None:
        with turnstile:
            order.append(name)

    with turnstile:
        asking = [threading.Thread(target=ask, args=(f"ask {n}",)) for n in range(20)]
        telling = [threading.Thread(target=tell, args=(f"tell {n}",)) for n in range(5)]
        for thread in asking:
            thread.start()
        time.sleep(0.2)  # they wait by now
        for thread in telling:
            thread.start()
        time.sleep(0.2)
    for thread in (*asking, *telling):
        thread.join(30)
    assert sorted(order[:5]) == [f"tell {n}" for n in range(5)]
    assert sorted(order[5:]) == sorted(f"ask {n}" for n in range(20))


def test_never_two_at_once_and_nobody_is_forgotten() -> None:
    turnstile, inside, most, through = PriorityLock(), 0, 0, 0

    def go(patiently: bool) -> None:
        nonlocal inside, most, through
        for _ in range(50):
            with turnstile.low_priority() if patiently else turnstile:
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1
                through += 1

    threads = [threading.Thread(target=go, args=(n % 2 == 0,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, through) == (1, 800)


def test_who_stumbles_inside_leaves_it_open() -> None:
    turnstile = PriorityLock()
    for way in (turnstile, turnstile.low_priority()):
        try:
            with way:
                raise ValueError
        except ValueError:
            pass
    came = threading.Event()

    def ask() -> None:
        with turnstile.low_priority():
            came.set()

    with turnstile:
        threading.Thread(target=ask, daemon=True).start()
        assert not came.wait(0.1), "one at a time, as before"
    assert came.wait(30)
