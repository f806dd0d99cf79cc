"""What a maker may do with share links, for the API and the page: each method returns what is sent
as JSON."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import segno
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

from errors import ErrorCode, KinoraError
from jobs.share_rows import Share
from pipelines.validation_errors import unusable
from web.addresses import public_root

if TYPE_CHECKING:
    from jobs.service import JobService

PATH = "/c"
EXPIRES_IN = "expires_in_s"


class ShareView(BaseModel):
    """A share link. Times are Unix seconds."""

    id: str
    url: str = Field(description="The page of the clip: whoever has this address may watch it.")
    embed_url: str = Field(description="The clip alone, for the iframe of another site.")
    job_id: str
    title: str
    hide_prompt: bool
    hide_settings: bool
    public: bool
    created_at: float
    expires_at: float | None = None
    expired: bool = False


class ShareList(BaseModel):
    """Newest first; `next` is the `before` of the next page."""

    shares: list[ShareView]
    next: float | None = None


class ShareTools:
    def __init__(self, service: JobService) -> None:
        self.service = service

    def put(self, job_id: str, owner: str, body: Mapping[str, Any], root: str) -> ShareView:
        """Raises KinoraError as `Shares.put`."""
        options = dict(body)
        seconds = options.pop(EXPIRES_IN, None)
        if seconds is not None:
            if options.get("expires_at") is not None:
                raise unusable(EXPIRES_IN, "send either this or “expires_at”")
            options["expires_at"] = time.time() + _positive(seconds)
        return _view(self.service.shares.put(job_id, owner, options), root)

    def find(self, job_id: str, owner: str, root: str) -> ShareView | None:
        """Raises KinoraError(NOT_FOUND) for another owner's clip."""
        share = self.service.shares.of_job(job_id, owner)
        return _view(share, root) if share else None

    def get(self, job_id: str, owner: str, root: str) -> ShareView:
        """Raises KinoraError(NOT_FOUND), also where the clip has no link."""
        found = self.find(job_id, owner, root)
        if found is None:
            raise KinoraError(ErrorCode.NOT_FOUND, "This clip is not shared.")
        return found

    def list(self, owner: str, limit: int, before: float | None, root: str) -> ShareList:
        shares = self.service.shares.list(owner, limit, before)
        views = [_view(share, root) for share in shares]
        return ShareList(shares=views, next=shares[-1].created_at if len(shares) == limit else None)

    def revoke(self, job_id: str, owner: str) -> None:
        """Raises KinoraError(NOT_FOUND) for another owner's clip."""
        self.service.shares.revoke(job_id, owner)


def root_of(connection: HTTPConnection) -> str:
    """Where the caller reaches this server: on a Space, at the Space's own address."""
    return public_root(connection)


def qr_code(url: str) -> bytes:
    """The address as an SVG, drawn here: no other host learns of it."""
    drawn = io.BytesIO()
    code = segno.make(url, error="m", micro=False)
    code.save(drawn, kind="svg", scale=4, border=4, dark="#0d0b14", light="#ffffff")
    return drawn.getvalue()


def _view(share: Share, root: str) -> ShareView:
    url = f"{root}{PATH}/{share.id}"
    kept = share.model_dump(exclude={"owner", "is_public"})
    expired = share.expires_at is not None and share.expires_at <= time.time()
    return ShareView(
        url=url, embed_url=f"{url}/embed", public=share.is_public, expired=expired, **kept
    )


def _positive(seconds: object) -> float:
    try:
        number = float(seconds)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if isinstance(seconds, bool) or not 0 < number < 1e12:
        raise unusable(EXPIRES_IN, "it must be a number of seconds above 0")
    return number
