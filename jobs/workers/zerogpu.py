"""What may be asked of ZeroGPU, and what its answers mean.

`spaces` asks for the GPU; how many seconds it asks for is ours. Its answer is read where `spaces`
reads it, because what `spaces` raises is a text for other pages. Knows `spaces`, where it is
installed; knows no store and no page.
"""

from __future__ import annotations

import contextvars
import logging
import math
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from errors import ErrorCode, KinoraError

log = logging.getLogger(__name__)

Level = Literal["anonymous", "regular", "pro"]
Outcome = Literal[
    "granted",
    "quota",
    "runs",
    "pending",
    "illegal",
    "expired",
    "busy",
    "closed",
    "aborted",
    "error",
]

QUOTA_S: dict[Level, float] = {"anonymous": 120.0, "regular": 300.0, "pro": 2400.0}
"""The quota of a day. One request for more than that is illegal."""
LONGEST_S = 600.0
"""No clip asks for more GPU time, whatever the caller's quota."""
XLARGE_CHARGE = 2.0
KNOWN_CALLERS = 2000


class Seconds(NamedTuple):
    """What a clip asks for: what it should have, and what it cannot do without."""

    wanted: float
    needed: float


@dataclass
class Watch:
    """One request for a GPU: `spaces` makes it, this sees how it goes."""

    on_queue: Callable[[str | None], None] = lambda _reason: None
    on_gpu: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None
    """Called while ZeroGPU queues; raises where the clip was discarded."""
    outcome: Outcome | None = None
    level: Level | None = None
    left_s: float = 0.0
    wait_s: float = 0.0
    has_token: bool = field(default=False)


_watch: contextvars.ContextVar[Watch | None] = contextvars.ContextVar("watch", default=None)


def watch_with(watch: Watch) -> None:
    """From now on in this context."""
    _watch.set(watch)


def install() -> None:
    """Lets `Watch` see the answers of the device API. A patch of `spaces`: it can go when what
    `spaces` raises carries the answer, and when it calls somebody at the start of its queue."""
    from spaces.zero import api

    client = getattr(api, "APIClient", None)
    original = getattr(client, "schedule", None)
    parts = [getattr(api, name, None) for name in ("QuotaInfos", "ScheduleResponse")]
    if client is None or original is None or None in parts:
        log.warning("This version of spaces is unknown: its answers are read from its sentences.")
        return
    if hasattr(original, "by_kinora"):
        return

    def schedule(self: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        answer, about = original(self, *args, **kwargs)
        watch = _watch.get()
        if watch is not None:
            watch.has_token = kwargs.get("token") is not None
            answer = _see(watch, answer, about)
        return answer, about

    schedule.by_kinora = True  # type: ignore[attr-defined]
    client.schedule = schedule


def _see(watch: Watch, answer: Any, about: Any) -> Any:
    from spaces.zero import api

    auth = getattr(about, "auth", None)
    watch.level = auth if auth in ("regular", "pro") else "anonymous"
    if isinstance(answer, api.ScheduleResponse):
        watch.outcome = "granted"
        watch.on_gpu()
    elif isinstance(answer, api.QuotaInfos):
        watch.left_s, watch.wait_s = float(answer.left), answer.wait.total_seconds()
        if getattr(about, "approve_result", None) == "pending-overquota-exceeded":
            watch.outcome = "pending"
        elif watch.wait_s < 0:
            watch.outcome = "illegal"
        else:
            watch.outcome = "runs" if watch.wait_s == 0 else "quota"
    elif isinstance(answer, int):  # an HTTP status
        watch.outcome = {401: "expired", 503: "busy"}.get(int(answer), "error")  # type: ignore
    else:
        watch.on_queue(getattr(about, "queuing_reason", None))
        return _see_queue(watch, answer)
    return answer


def _see_queue(watch: Watch, events: Generator[Any, None, None]) -> Generator[Any, None, None]:
    try:
        for event in events:
            watch.check()
            if event.event == "succeeded":
                watch.outcome = "granted"
                watch.on_gpu()
            elif event.event == "failed":
                watch.outcome = "busy"
            yield event
    finally:
        events.close()


# -- what may be asked for -----------------------------------------------------------------------


class Levels:
    """What the device API said of each caller's account. The oldest are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Level] = OrderedDict()

    def get(self, owner: str) -> Level | None:
        return self._known.get(owner)

    def forget(self, owner: str) -> None:
        """They may log in meanwhile."""
        self._known.pop(owner, None)

    def learn(self, owner: str, level: Level | None) -> None:
        if level is None:
            return
        self._known[owner] = level
        self._known.move_to_end(owner)
        if len(self._known) > KNOWN_CALLERS:
            self._known.popitem(last=False)


def charge_of(size: str | None) -> float:
    """Seconds of quota that are compared with what is left, for each second asked for."""
    if size == "xlarge":
        return XLARGE_CHARGE
    try:
        from spaces.zero.config import get_config

        with warnings.catch_warnings():  # where no driver is seen, it takes its default
            warnings.simplefilter("ignore")
            return float(get_config()["duration_factor"])
    except (ImportError, KeyError, OSError, ValueError):
        return 1.0


def most_s(level: Level | None, charge: float) -> int:
    """The longest that may be asked for. Of an unknown caller it is taken that the account is a
    free one, which most are."""
    return math.floor(min(LONGEST_S, QUOTA_S[level or "regular"] / charge))


def first_ask_s(seconds: Seconds, level: Level | None, charge: float) -> int | None:
    """None where the caller's account is known to be granted less than the clip needs: asking for
    that would only spend the quota on a clip that is aborted. An unknown caller who needs more than
    a free account has may be one who has it; a refusal costs nothing."""
    needed = math.ceil(seconds.needed)
    if level is None and needed > most_s("regular", charge):
        level = "pro"
    ask = max(1, min(math.ceil(seconds.wanted), most_s(level, charge)))
    return ask if ask >= needed else None


def next_ask_s(watch: Watch, asked: int, seconds: Seconds, charge: float) -> int | None:
    """Less, where that may be granted and is still enough; None where there is nothing to try."""
    if watch.outcome == "illegal":
        most = [most_s(watch.level, charge), *(most_s(x, charge) for x in ("regular", "anonymous"))]
    elif watch.outcome == "quota":
        most = [math.floor(watch.left_s / charge)]
    else:
        return None
    return next((s for s in most if math.ceil(seconds.needed) <= s < asked), None)


# -- what a refusal means ------------------------------------------------------------------------


def outcome_of(error: Exception, watch: Watch) -> Outcome:
    """What happened: as the device API said it, else by the words of what `spaces` raised."""
    about = f"{getattr(error, 'title', '')} {getattr(error, 'message', error)}"
    if "Connection closed by visitor" in about:
        return "closed"
    if "aborted" in about:
        return "aborted"
    if watch.outcome not in (None, "granted"):
        return watch.outcome
    for words, outcome in WORDS:
        if words in about:
            return outcome
    return "error"


WORDS: tuple[tuple[str, Outcome], ...] = (
    ("Expired ZeroGPU proxy token", "expired"),
    ("illegal duration", "illegal"),
    ("pending credits", "pending"),
    ("No GPU was available", "busy"),
    ("runs limit", "runs"),
    ("quota exceeded", "quota"),
)


def refusal(outcome: Outcome, watch: Watch, asked: int, charge: float) -> KinoraError:
    """A sentence that says what happened, and what to do."""
    counted = round(asked * charge)
    fewer = "Use fewer frames or steps"
    match outcome:
        case "illegal":
            whom, more = {
                "regular": ("to a free account", "or an account with more quota"),
                "pro": ("at once", "or continue a shorter clip"),
            }.get(watch.level or "", ("without logging in", "or log in to Hugging Face"))
            return KinoraError(
                ErrorCode.TOO_LARGE,
                f"This clip asks for {counted} s of GPU time, which is more than ZeroGPU grants "
                f"{whom}. {fewer}, {more}.",
            )
        case "quota":
            when = f"try again in {_long(watch.wait_s)}" if watch.wait_s else "try again later"
            login = "log in to Hugging Face, " if watch.level == "anonymous" else ""
            left = f"{watch.left_s:.0f} s are left" if watch.wait_s else "less is left"
            return KinoraError(
                ErrorCode.RATE_LIMITED,
                f"Your GPU quota is not enough: this clip asks for {counted} s, and {left}. "
                f"{fewer}, {login}or {when}.",
            )
        case "runs":
            sentence = "You have used all GPU runs of your quota. Wait a while, then try again."
            return KinoraError(ErrorCode.RATE_LIMITED, sentence)
        case "pending":
            sentence = "Your other clips use all of your GPU quota. Try again when one is done."
            return KinoraError(ErrorCode.RATE_LIMITED, sentence)
        case "expired":
            sentence = (
                "The Hub's permission to use your GPU quota expired again and again. "
                "Reload the page and try once more."
            )
            return KinoraError(ErrorCode.UNAVAILABLE, sentence)
        case "busy":
            login = ", or log in to Hugging Face for more priority" * (watch.level == "anonymous")
            sentence = f"No GPU was free. Try again in a minute{login}."
            return KinoraError(ErrorCode.UNAVAILABLE, sentence)
        case _:
            return KinoraError(ErrorCode.UNAVAILABLE, "The GPU could not be started. Try again.")


def too_short(asked: int) -> KinoraError:
    return KinoraError(
        ErrorCode.TIMEOUT,
        f"This clip was not done in the {asked} s of GPU time that could be asked for. "
        "Use fewer frames or steps.",
    )


def _long(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 60:
        return f"{minutes} minutes"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
