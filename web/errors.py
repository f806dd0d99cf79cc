"""Errors as HTTP responses: one JSON shape for the whole API, with a code and a sentence."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from errors import ErrorCode, KinoraError
from media.files import NO_ROOM
from pipelines.validation_errors import invalid_input
from web.languages import Language, language_of

log = logging.getLogger(__name__)

SAFE = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
NO_STORE = {"Cache-Control": "no-store"}
RETRY_AFTER_S = 10
OPENAI = "/v1/"
OPENAI_NAMES = {"duration_s": "seconds", "image": "input_reference"}
"""OpenAI's names of our fields, for `param`."""
BY_STATUS = {
    401: ErrorCode.UNAUTHORIZED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.TOO_LARGE,
}
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the current request: in X-Request-Id of its response, and in the log."""


class ErrorBody(BaseModel):
    """What every error looks like. Under `/v1/`, `error` is an object with `code`, `message`,
    `type` and `param`, as OpenAI's clients read it; the other fields are the same."""

    error: str | dict[str, Any] = Field(description="The code, from a closed list.")
    message: str = Field(description="A sentence a person can act on.")
    details: dict[str, Any] = {}
    timestamp: str = Field(description="When it happened, ISO 8601, UTC.")
    request_id: str = Field(
        description="Quote it when you report a problem. Also in the header X-Request-Id."
    )
    action: dict[str, Any] | None = Field(default=None, description="Settings that would work.")


ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"model": ErrorBody, "description": "It cannot be done; the body says why."}
}


def error_response(
    error: KinoraError, path: str = "", language: Language | None = None
) -> JSONResponse:
    """The sentence is in that language, else English; codes and details are the same in all."""
    now = datetime.now(timezone.utc).isoformat()
    body = error.as_dict() | {"timestamp": now, "request_id": request_id.get()}
    headers = {**NO_STORE, **SAFE}
    if language is not None and language.texts:
        body |= translated(body, language)
        headers["Content-Language"] = language.tag
    status = error.kind.http_status
    if status in (429, 503):
        headers["Retry-After"] = str(error.details.get("retry_after_s") or RETRY_AFTER_S)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 409:  # the openai SDK would retry twice
        headers["x-should-retry"] = "false"
    if path.startswith(OPENAI):
        body["error"] = {
            "code": error.code.value,
            "message": body["message"],
            "type": TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
            "param": OPENAI_NAMES.get(field := error.details.get("field"), field),
        }
    return JSONResponse(body, status, headers=headers)


def translated(body: dict[str, Any], language: Language) -> dict[str, Any]:
    """The message, and the label of the action if there is one."""
    found: dict[str, Any] = {"message": language.translate(body["message"])}
    if action := body.get("action"):
        found["action"] = {**action, "label": language.translate(str(action.get("label", "")))}
    return found


def add_handlers(app: FastAPI) -> None:
    @app.exception_handler(KinoraError)
    async def _(request: Request, error: Exception) -> JSONResponse:
        return error_response(_to_kinora_error(error), request.url.path, language_of(request))

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: Exception) -> JSONResponse:
        return error_response(_to_kinora_error(error), request.url.path, language_of(request))

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: Exception) -> JSONResponse:
        response = error_response(_to_kinora_error(error), request.url.path, language_of(request))
        if isinstance(error, HTTPException) and "Allow" in (error.headers or {}):
            response.headers["Allow"] = (error.headers or {})["Allow"]
        return response

    @app.exception_handler(Exception)
    async def _(request: Request, error: Exception) -> JSONResponse:
        log.error("Request %s failed; traceback follows.", request_id.get())
        return error_response(_to_kinora_error(error), request.url.path, language_of(request))


def _to_kinora_error(error: Exception) -> KinoraError:
    match error:
        case KinoraError():
            return error
        case RequestValidationError():
            return invalid_input(error)
        case OSError(errno=number) if number in NO_ROOM:
            return KinoraError(ErrorCode.OUT_OF_DISK)
        case HTTPException(status_code=status) if status in BY_STATUS:
            return KinoraError(BY_STATUS[status])
        case HTTPException(status_code=status) if status < 500:
            return KinoraError(ErrorCode.INVALID_INPUT, "The request cannot be read.")
        case _:
            return KinoraError(ErrorCode.INTERNAL)
