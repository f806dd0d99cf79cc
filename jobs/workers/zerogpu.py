"""How many seconds of a GPU a job may request from ZeroGPU, and what its answers mean.

`spaces` requests the GPU, for as long as we say. The answer of the device API is read inside
`spaces`, because what `spaces` raises is a text for its own pages.
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
"""The quota of a day. A request for more than that is illegal."""
LONGEST_S = 600.0
"""No job requests more GPU time, whatever the caller's quota."""
XLARGE_CHARGE = 2.0
KNOWN_CALLERS = 2000


class Seconds(NamedTuple):
    """The GPU time that a job should have, and the least that it can do with."""

    wanted: float
    needed: float


@dataclass
class Watch:
    """Observes one request for a GPU that `spaces` makes."""

    on_queue: Callable[[str | None], None] = lambda _reason: None
    on_gpu: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None
    """Called while ZeroGPU queues the job; raises if the job was discarded."""
    outcome: Outcome | None = None
    level: Level | None = None
    left_s: float = 0.0
    wait_s: float = 0.0
    has_token: bool = field(default=False)


_watch: contextvars.ContextVar[Watch | None] = contextvars.ContextVar("watch", default=None)


def watch_with(watch: Watch) -> None:
    """Sets the observer of this context."""
    _watch.set(watch)


def install() -> None:
    """Patches `spaces` so that `Watch` sees the answers of the device API. It can go when the
    exceptions of `spaces` carry the answer and `spaces` has a callback for its queue."""
    from spaces.zero import api

    client = getattr(api, "APIClient", None)
    original = getattr(client, "schedule", None)
    parts = [getattr(api, name, None) for name in ("QuotaInfos", "ScheduleResponse")]
    if client is None or original is None or None in parts:
        log.warning("Unknown version of spaces: reading its answers from its messages.")
        return
    if hasattr(original, "by_kinora"):
        return

    def schedule(self: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        answer, about = original(self, *args, **kwargs)
        watch = _watch.get()
        if watch is not None:
            watch.has_token = kwargs.get("token") is not None
            answer = _observe(watch, answer, about)
        return answer, about

    schedule.by_kinora = True  # type: ignore[attr-defined]
    client.schedule = schedule


def _observe(watch: Watch, answer: Any, about: Any) -> Any:
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
        return _observe_queue(watch, answer)
    return answer


def _observe_queue(watch: Watch, events: Generator[Any, None, None]) -> Generator[Any, None, None]:
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


# -- how many seconds to request -----------------------------------------------------------------


class Levels:
    """The level of each caller's account, from the device API. The oldest ones are removed."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Level] = OrderedDict()

    def get(self, owner: str) -> Level | None:
        return self._known.get(owner)

    def forget(self, owner: str) -> None:
        """The caller may log in before the next request."""
        self._known.pop(owner, None)

    def learn(self, owner: str, level: Level | None) -> None:
        if level is None:
            return
        self._known[owner] = level
        self._known.move_to_end(owner)
        if len(self._known) > KNOWN_CALLERS:
            self._known.popitem(last=False)


def charge_of(size: str | None) -> float:
    """Seconds of quota that ZeroGPU counts for each requested second."""
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
    """The longest request that is allowed. An unknown caller is taken for one with a free account,
    which most are."""
    return math.floor(min(LONGEST_S, QUOTA_S[level or "regular"] / charge))


def first_request_s(seconds: Seconds, level: Level | None, charge: float) -> int | None:
    """None if the caller's account is known to get less than the job needs: a shorter request would
    only spend the quota on a job that is aborted. An unknown caller may have a larger quota than a
    free account has; a refused request costs nothing."""
    needed = math.ceil(seconds.needed)
    if level is None and needed > most_s("regular", charge):
        level = "pro"
    request = max(1, min(math.ceil(seconds.wanted), most_s(level, charge)))
    return request if request >= needed else None


def next_request_s(watch: Watch, requested_s: int, seconds: Seconds, charge: float) -> int | None:
    """A shorter request that may be granted and is still enough; None if there is none."""
    if watch.outcome == "illegal":
        most = [most_s(watch.level, charge), *(most_s(x, charge) for x in ("regular", "anonymous"))]
    elif watch.outcome == "quota":
        most = [math.floor(watch.left_s / charge)]
    else:
        return None
    return next((s for s in most if math.ceil(seconds.needed) <= s < requested_s), None)


# -- refusals ------------------------------------------------------------------------------------


def outcome_of(error: Exception, watch: Watch) -> Outcome:
    """The answer of the device API, else what the message of the exception says."""
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


TOO_LONG = {
    "anonymous": "This clip requests {} s of GPU time, which is more than ZeroGPU grants without "
    "logging in. Use fewer frames or steps, or log in to Hugging Face.",
    "regular": "This clip requests {} s of GPU time, which is more than ZeroGPU grants to a free "
    "account. Use fewer frames or steps, or an account with more quota.",
    "pro": "This clip requests {} s of GPU time, which is more than ZeroGPU grants at once. "
    "Use fewer frames or steps, or continue a shorter clip.",
}


def refusal(outcome: Outcome, watch: Watch, requested_s: int, charge: float) -> KinoraError:
    """The error for the user."""
    counted = round(requested_s * charge)
    match outcome:
        case "illegal":
            sentence = TOO_LONG.get(watch.level or "anonymous", TOO_LONG["anonymous"])
            return KinoraError(ErrorCode.TOO_LARGE, sentence.format(counted))
        case "quota":
            return KinoraError(ErrorCode.RATE_LIMITED, _quota_sentence(watch, counted))
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
            sentence = "No GPU was free. Try again in a minute."
            if watch.level == "anonymous":
                sentence = (
                    "No GPU was free. "
                    "Try again in a minute, or log in to Hugging Face for more priority."
                )
            return KinoraError(ErrorCode.UNAVAILABLE, sentence)
        case _:
            return KinoraError(ErrorCode.UNAVAILABLE, "The GPU could not be started. Try again.")


def _quota_sentence(watch: Watch, counted: int) -> str:
    """What is left, and when there is more. A wait of 0 means that both are unknown."""
    may_log_in = watch.level == "anonymous"
    if watch.wait_s:
        when = _long(watch.wait_s)
        sentence = (
            f"Your GPU quota is not enough: this clip requests {counted} s, "
            f"and {watch.left_s:.0f} s are left."
        )
        advice = f"Use fewer frames or steps, or try again in {when}."
        if may_log_in:
            advice = f"Use fewer frames or steps, log in to Hugging Face, or try again in {when}."
    else:
        sentence = (
            f"Your GPU quota is not enough: this clip requests {counted} s, and less is left."
        )
        advice = "Use fewer frames or steps, or try again later."
        if may_log_in:
            advice = "Use fewer frames or steps, log in to Hugging Face, or try again later."
    return f"{sentence} {advice}"


def too_short(requested_s: int) -> KinoraError:
    return KinoraError(
        ErrorCode.TIMEOUT,
        f"This clip was not done in the {requested_s} s of GPU time that could be requested. "
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
