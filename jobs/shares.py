"""Share links: a page of its own for one clip, made and revoked by the clip's maker only."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from errors import ErrorCode, KinoraError
from jobs.artifacts import Artifacts
from jobs.job import Job, Result, State
from jobs.share_rows import Share, ShareRows
from jobs.signing import Signing
from pipelines.field_types import Word
from pipelines.request import FittedRequest, GenerationRequest
from pipelines.validation_errors import invalid_input
from settings import Settings

SHARE_ID = re.compile(r"[A-Za-z0-9_-]{22}")
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
LONGEST_S = 10 * 366 * 24 * 3600
PAGE_SIZE = 24
NO_LINK = "There is no clip at this link. It may have been revoked, or it has expired."


class ShareOptions(BaseModel):
    """What a maker decides about a link."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: Annotated[Word, StringConstraints(max_length=120, pattern=ONE_LINE)] = Field(
        default="", description="The page's title; left out: the prompt, unless it is hidden."
    )
    hide_prompt: bool = Field(
        default=False, description="Whether the page and the file leave out the prompt."
    )
    hide_settings: bool = Field(
        default=False, description="Whether the page and the file leave out the other settings."
    )
    public: bool = Field(
        default=False,
        description="Whether the public gallery shows it, where the operator has turned that on.",
    )
    expires_at: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="When the link stops working, in Unix seconds; left out: never.",
    )


@dataclass(frozen=True)
class SharedClip:
    """What the holder of a valid link may see."""

    share: Share
    job: Job
    result: Result

    @property
    def prompt(self) -> str:
        """Empty where it is hidden."""
        return "" if self.share.hide_prompt else self.job.fitted.prompt

    @property
    def fitted(self) -> FittedRequest | None:
        return None if self.share.hide_settings else self.job.fitted

    @property
    def has_whole_file(self) -> bool:
        """Whether the file may be sent with the settings that are written in it."""
        return not (self.share.hide_prompt or self.share.hide_settings)

    def settings(self) -> dict[str, Any]:
        """Fields of a request for a clip like this one, without the maker's pictures and clips."""
        request = self.job.fitted.as_request()
        hidden = {"image", "last_image", "video", "continue_from", "focus"}
        if self.share.hide_prompt:
            hidden |= {"prompt", "negative_prompt"}
        names = set(GenerationRequest.model_fields) - hidden
        if self.share.hide_settings:
            names &= {"prompt"}
        return request.model_dump(mode="json", include=names, exclude_none=True)


class Clips(Protocol):
    """The part of the service that finds jobs and their files."""

    def get(self, job_id: str, owner: str | None = None) -> Job: ...
    def clip_path(self, job_id: str, owner: str | None = None) -> Path: ...
    def poster_path(self, job_id: str, owner: str | None = None) -> Path: ...


class Shares:
    """Thread-safe."""

    def __init__(
        self,
        rows: ShareRows,
        clips: Clips,
        artifacts: Artifacts,
        signing: Signing,
        settings: Settings,
    ) -> None:
        self._rows, self._clips, self._artifacts = rows, clips, artifacts
        self._signing, self._settings = signing, settings
        self._one_at_a_time = threading.Lock()
        self.check_new: Callable[[Path, str], None] = lambda clip, owner: None
        """Raises KinoraError for a clip that this owner may not share."""

    @property
    def is_gallery_on(self) -> bool:
        return self._settings.public_gallery

    # -- for the maker -----------------------------------------------------------------------------

    def put(self, job_id: str, owner: str, options: object) -> Share:
        """Makes the clip's link, or changes what it shows; an expired link is replaced by one with
        a new id. `options` are those of `ShareOptions`.

        Raises KinoraError: NOT_FOUND for another owner's clip, CONFLICT if there is no clip,
        INVALID_INPUT, CONTENT_POLICY."""
        chosen = self._checked(options)
        self._finished(job_id, owner)
        known = self._rows.of_job(job_id)
        known = None if known is None or _has_expired(known) else known
        if known is None or (chosen.public and not known.is_public):
            # a blocked maker may still hide what a link shows, and revoke it
            self.check_new(self._clips.clip_path(job_id, owner), owner)
        values = chosen.model_dump(exclude={"public"}) | {"is_public": chosen.public}
        if known is not None:
            changed = known.model_copy(update=values)
            if self._rows.change(changed):
                return changed
        own = {"id": secrets.token_urlsafe(16), "job_id": job_id, "owner": owner}
        made = Share.model_validate(own | values | {"created_at": time.time()})
        self._rows.put(made)
        return made

    def of_job(self, job_id: str, owner: str) -> Share | None:
        """The clip's link, also where it has expired. Raises KinoraError(NOT_FOUND) for another
        owner's clip."""
        self._clips.get(job_id, owner)
        return self._rows.of_job(job_id)

    def revoke(self, job_id: str, owner: str) -> None:
        """From now on the link finds nothing. Idempotent. Raises as `of_job`."""
        found = self.of_job(job_id, owner)
        if found is not None:
            self._rows.remove(found.id)

    def list(self, owner: str, limit: int, before: float | None = None) -> list[Share]:
        """The owner's links, newest first; `before` is when the last one of the previous page was
        made."""
        return self._rows.of_owner(owner, limit, before)

    # -- for the operator --------------------------------------------------------------------------

    def remove(self, share_id: str) -> bool:
        """Revokes a link by its id; False if there is none."""
        return bool(SHARE_ID.fullmatch(share_id)) and self._rows.remove(share_id)

    # -- for the holder of a link ------------------------------------------------------------------

    def find(self, share_id: str) -> SharedClip:
        """Raises the same KinoraError(NOT_FOUND) for a revoked, expired or made-up id, and where
        the clip is gone."""
        share = self._rows.find_valid(share_id, time.time()) if is_share_id(share_id) else None
        found = self._clip_of(share) if share else None
        if found is None:
            raise KinoraError(ErrorCode.NOT_FOUND, NO_LINK)
        return found

    def public(self, before: float | None = None) -> list[SharedClip]:
        """One page of the public gallery, newest first. Raises KinoraError(NOT_FOUND) where there
        is none."""
        if not self.is_gallery_on:
            raise KinoraError(ErrorCode.NOT_FOUND, NO_LINK)
        shares = self._rows.public(PAGE_SIZE, before, time.time())
        return [found for share in shares if (found := self._clip_of(share))]

    def clip_path(self, shared: SharedClip) -> Path:
        """The file to send: without the settings written in it, unless all of them are shared.
        Raises as `find`."""
        try:
            path = self._clips.clip_path(shared.job.id)
        except KinoraError as error:
            raise _hidden(error) from error
        return path if shared.has_whole_file else self._without_settings(shared, path)

    def poster_path(self, shared: SharedClip) -> Path:
        """The middle frame as a JPEG. Its Content Credentials may have the model and the prompt, so
        it is a copy without them where something is hidden. Raises as `find`."""
        try:
            path = self._clips.poster_path(shared.job.id)
        except KinoraError as error:
            raise _hidden(error) from error
        return path if shared.has_whole_file else self._without_settings(shared, path)

    def _clip_of(self, share: Share) -> SharedClip | None:
        try:
            job = self._clips.get(share.job_id, share.owner)
        except KinoraError as error:
            if error.code is ErrorCode.NOT_FOUND:  # deleted meanwhile
                return None
            raise
        if job.result is None or job.result.gone:
            return None
        return SharedClip(share, job, job.result)

    def _without_settings(self, shared: SharedClip, original: Path) -> Path:
        """A copy that is made once and kept beside the clip, so that it goes with it. It is signed
        again, without the model and the prompt."""
        copy = self._artifacts.folder(shared.job.id) / f"shared{original.suffix}"
        if copy.is_file():
            return copy
        from media.strip_settings import copy_poster_without_settings, copy_without_settings

        with self._one_at_a_time:
            if not copy.is_file():  # another request may have made it meanwhile
                made = copy.with_name(f"unsigned-{threading.get_ident()}{original.suffix}")
                try:
                    if original.suffix == ".jpg":
                        copy_poster_without_settings(original, made)
                    else:
                        size = shared.result.width, shared.result.height
                        copy_without_settings(original, made, size)
                    self._signing.sign_copy(made, f"kinora-{shared.job.id[:8]}{original.suffix}")
                    made.replace(copy)
                finally:
                    made.unlink(missing_ok=True)
        return copy

    # -- checks ------------------------------------------------------------------------------------

    def _checked(self, options: object) -> ShareOptions:
        try:
            chosen = ShareOptions.model_validate(options)
        except ValidationError as error:
            raise invalid_input(error) from None
        now = time.time()
        if chosen.expires_at is not None and not now < chosen.expires_at < now + LONGEST_S:
            raise KinoraError(
                ErrorCode.INVALID_INPUT,
                "A link can expire from a moment from now to ten years from now.",
                details={"field": "expires_at"},
            )
        if chosen.public and not self.is_gallery_on:
            raise KinoraError(
                ErrorCode.INVALID_INPUT,
                "There is no public gallery here. Share the link instead.",
                details={"field": "public"},
            )
        return chosen

    def _finished(self, job_id: str, owner: str) -> None:
        job = self._clips.get(job_id, owner)
        if job.state is not State.SUCCEEDED or job.result is None:
            raise KinoraError(ErrorCode.CONFLICT, "Only a finished clip can be shared.")
        if job.result.gone:
            raise KinoraError(ErrorCode.GONE, job.result.gone.sentence)


def is_share_id(text: str) -> bool:
    return bool(SHARE_ID.fullmatch(text))


def _has_expired(share: Share) -> bool:
    return share.expires_at is not None and share.expires_at <= time.time()


def _hidden(error: KinoraError) -> KinoraError:
    """For the holder of a link, a clip whose files were removed is as good as none."""
    if error.code in (ErrorCode.GONE, ErrorCode.NOT_FOUND):
        return KinoraError(ErrorCode.NOT_FOUND, NO_LINK)
    return error
