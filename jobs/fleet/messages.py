"""One piece of a far worker's news, written down at the desk.

Knows the words the workers use and the desk. Knows no thread and no key.
"""

from __future__ import annotations

import json
from typing import Any

from errors import Cancelled, ErrorCode, KinoraError
from jobs.fleet.protocol import RedisProtocol
from jobs.job import Job, Result
from jobs.lifecycle import JobLifecycle


def hear(desk: JobLifecycle, fleet: RedisProtocol, job: Job, fields: dict[str, str]) -> bool:
    """True if this was the last of that run."""
    kind: str = fields["kind"]
    data: dict[str, Any] = json.loads(fields["data"])
    match kind:
        case "done":
            desk.succeed(job, Result.model_validate(data))
        case "failed":
            was_stopped = data["error"] == ErrorCode.CANCELLED.value
            desk.fail(job, Cancelled() if was_stopped else KinoraError.from_dict(data))
        case "returned":
            sentence = "The worker was stopped; the clip is made by another."
            desk.requeue(job, sentence, refund_attempt=True)
        case "begun":
            pass
        case "preview":
            newest = fleet.preview(job.id)
            if newest:  # there may be a newer one already, and then this is it
                desk.progress(job, "preview", newest.meta | {"jpeg": newest.jpeg})
        case "loading" | "fallback" | "step" | "decoding" | "encoding":
            desk.progress(job, kind, data)
        case _:
            raise ValueError(f"unknown news {kind!r}")
    return kind in ("done", "failed", "returned")
