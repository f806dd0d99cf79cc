"""The `Idempotency-Key` of a request: the same key and the same request make one job."""

from __future__ import annotations

import hashlib
import json
import re

from starlette.requests import Request

from jobs.job import IdempotencyKey
from pipelines.request import GenerationRequest
from pipelines.validation_errors import unusable

KEY = re.compile(r"[\x21-\x7e]{1,255}")

ALWAYS_HASHED = frozenset(
    [
        "prompt",
        "negative_prompt",
        "image",
        "focus",
        "last_image",
        "video",
        "continue_from",
        "strength",
        "motion_bucket_id",
        "sampler",
        "loras",
        "upscale",
        "model",
        "seed",
        "num_inference_steps",
        "guidance_scale",
        "width",
        "height",
        "num_frames",
        "duration_s",
        "fps",
        "format",
        "quality",
        "allow_fallback",
    ]
)
"""The fields of version 0.1.0. A later field is hashed only where it is set: otherwise a key that
was used before an update would be refused after it, with the same request."""


def idempotency_key_of(request: Request, key: object, *content: str) -> IdempotencyKey | None:
    """From the header or the field of that name, with a hash of the path and the content.

    Raises KinoraError(INVALID_INPUT) for two different keys and for one that is malformed.
    """
    header = request.headers.get("idempotency-key")
    if header is not None and key not in (None, header):
        raise unusable("idempotency_key", "the header Idempotency-Key has another value")
    key = key if header is None else header
    if key is None:
        return None
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise unusable("Idempotency-Key", "it must be 1 to 255 visible ASCII letters")
    hashed = json.dumps([request.scope["path"], *content])
    return IdempotencyKey(key, hashlib.sha256(hashed.encode()).hexdigest())


def hashed_content(request: GenerationRequest) -> str:
    """The request as JSON, without later fields that have their defaults."""
    unset = {
        name
        for name, field in type(request).model_fields.items()
        if name not in ALWAYS_HASHED and getattr(request, name) == field.get_default()
    }
    return request.model_dump_json(exclude=unset)
