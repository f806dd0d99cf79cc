"""Uploads: pictures and clips that requests refer to, and who uploaded them.

A file's name is the hash of its content, so several owners may have uploaded the same file. Each
owner's mark is an empty file beside it; for an owner without a mark the file does not exist.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from errors import ErrorCode, KinoraError
from jobs.artifacts import FILE_SUFFIXES, Artifacts, upload_files
from media.files import atomic_write
from pipelines.models.duration import SourceClip
from pipelines.request import GenerationRequest
from settings import Settings

if TYPE_CHECKING:
    from media.images import StoredPicture
    from media.operations.operation import FileKind
    from media.provenance.claims import Relationship
    from media.videos import StoredVideo, VideoLimits

log = logging.getLogger(__name__)

GIVERS = "givers"
"""The folder of marks: givers/<file>/<hash of the owner>."""


MAX_SECONDS_TO_EDIT = 900.0
MAX_SIDE_TO_EDIT = 3840
TIMEOUT_TO_EDIT_S = 600.0


class StoredFile(NamedTuple):
    """An upload of any kind."""

    id: str
    kind: FileKind


class UploadChecks(Protocol):
    """Raises KinoraError for a file that may not be uploaded. What is stored by then has no mark,
    so that it exists for nobody and is removed after a day."""

    def check_source(self, source: Path | bytes, owner: str) -> None: ...
    def check_frames(self, path: Path, owner: str) -> None: ...


class Uploads:
    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.checks: UploadChecks | None = None

    def store_picture(self, data: bytes, owner: str) -> StoredPicture:
        from media.images import PictureLimits, store_picture

        if self.checks:
            self.checks.check_source(data, owner)
        limits = PictureLimits(
            max_bytes=self.settings.max_image_bytes,
            max_pixels=int(self.settings.max_image_megapixels * 1e6),
        )
        stored = store_picture(data, self.folder, limits)
        if self.checks:
            self.checks.check_frames(self.folder / f"{stored.id}.png", owner)
        if b"c2pa" in data:
            with tempfile.NamedTemporaryFile(prefix="kinora-") as file:
                file.write(data)
                file.flush()
                self._keep_credentials(Path(file.name), stored.id, "Picture", ("inputTo",))
        self._mark(stored.id, owner)
        return stored

    def store_video(self, source: Path, owner: str, *, made_here: bool = False) -> StoredVideo:
        """A clip that was `made_here` may be larger than an uploaded one."""
        from media.videos import VideoLimits

        most = self.settings.max_video_upload_bytes
        if made_here:
            most = self.settings.max_video_file_size_bytes
        return self._store_clip(source, owner, VideoLimits(max_bytes=most))

    def _store_clip(self, source: Path, owner: str, limits: VideoLimits) -> StoredVideo:
        from media.videos import store_video

        if self.checks:
            self.checks.check_source(source, owner)
        stored = store_video(source, self.folder, limits)
        if self.checks:
            self.checks.check_frames(self.folder / f"{stored.id}.mp4", owner)
        self._keep_credentials(source, stored.id, "Clip", ("inputTo", "componentOf"))
        self._mark(stored.id, owner)
        return stored

    def store_clip_to_edit(self, source: Path, owner: str) -> StoredVideo:
        """As `store_video`, for clips that are larger or longer than a model takes."""
        from media.videos import VideoLimits

        return self._store_clip(
            source,
            owner,
            VideoLimits(
                max_bytes=self.settings.max_video_upload_bytes,
                max_seconds=MAX_SECONDS_TO_EDIT,
                max_side=MAX_SIDE_TO_EDIT,
                timeout_s=TIMEOUT_TO_EDIT_S,
            ),
        )

    def store_file(self, source: Path, owner: str, kind: FileKind | None = None) -> StoredFile:
        """Stores a file that an operation reads. Without `kind`, that is seen from the file. Raises
        KinoraError."""
        from media.attachments import detect_kind, store_attachment
        from media.image_limits import check_bytes

        kind = kind or detect_kind(source)
        if kind == "clip":
            return StoredFile(self.store_clip_to_edit(source, owner).id, kind)
        if kind == "picture":
            check_bytes(source.stat().st_size, self.settings.max_image_bytes)
            return StoredFile(self.store_picture(source.read_bytes(), owner).id, kind)
        name = store_attachment(source, kind, self.folder, self.settings.max_video_upload_bytes)
        self._mark(name, owner)
        return StoredFile(name, kind)

    def keep_unmarked(self, name: str, suffix: str, job_id: str, artifacts: Artifacts) -> None:
        """Keeps the copy of a job's clip or last frame without the visible mark beside the upload
        `name`, to continue from it. Raises nothing: the upload is usable without."""
        from media import unmarked
        from media.videos import VideoLimits

        try:
            file = artifacts.fetch(job_id, f"unmarked{suffix}")
            if file is not None and suffix == ".png":
                unmarked.keep_frame(file, name, self.folder)
            elif file is not None:
                limits = VideoLimits(max_bytes=self.settings.max_video_file_size_bytes)
                unmarked.keep_clip(file, name, self.folder, limits)
        except (KinoraError, OSError) as error:
            log.warning("The copy without a mark is not kept, using the marked one: %s", error)

    def _keep_credentials(
        self, source: Path, name: str, title: str, relationships: Sequence[Relationship]
    ) -> None:
        """What an upload's own Content Credentials say, for the clips that are made from it: the
        stored file is without them. Raises nothing: an upload is usable without."""
        from media.provenance.claims import archive_name
        from media.provenance.sandbox import read_ingredient

        if not self.settings.sign or (self.folder / archive_name(name, relationships[0])).exists():
            return
        try:
            found = read_ingredient(source, name, title, relationships)
        except KinoraError as error:  # too many wait
            log.warning("Content Credentials of an upload are not kept: %s", error.message)
            return
        for relationship, archive in found.items():
            with atomic_write(self.folder / archive_name(name, relationship)) as part:
                part.write_bytes(archive)

    def path(self, name: str, owner: str | None) -> Path:
        """The file of that hash. `owner=None` skips the check. Raises KinoraError(NOT_FOUND)."""
        is_hash = len(name) == 64 and set(name) <= set("0123456789abcdef")
        if is_hash and (owner is None or self._mark_path(name, owner).is_file()):
            for suffix in FILE_SUFFIXES.values():
                path = self.folder / f"{name}{suffix}"
                if path.is_file():
                    return path
        raise KinoraError(ErrorCode.NOT_FOUND, "That is not here any more. Add it again.")

    def check(self, request: GenerationRequest, owner: str) -> None:
        """Raises KinoraError(NOT_FOUND) if the request names another caller's upload."""
        for name in (request.image, request.last_image, request.video, request.continue_from):
            if name is not None:
                self.path(name, owner)

    def sizes(self, request: GenerationRequest) -> tuple[tuple[int, int] | None, SourceClip | None]:
        """The (width, height) of the request's picture and the properties of its clip, for `fit`.
        Raises KinoraError(NOT_FOUND) if one of its uploads is gone."""
        if request.last_image is not None:
            self.path(request.last_image, None)
        size = clip = None
        if request.image is not None:
            from media.images import load_picture

            with load_picture(request.image, self.folder) as picture:
                size = picture.size
        name = request.video or request.continue_from
        if name is not None:
            from media.videos import find_video

            found = find_video(name, self.folder)
            clip = SourceClip(
                width=found.width,
                height=found.height,
                seconds=found.seconds,
                fps=found.fps,
                sent_size=found.sent_size,
                sent_fps=found.sent_fps,
                sent_channels=found.sent_channels,
                sent_hdr=found.sent_hdr,
                lost_sound=found.lost_sound,
            )
        return size, clip

    def _mark(self, name: str, owner: str) -> None:
        mark = self._mark_path(name, owner)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()

    def _mark_path(self, name: str, owner: str) -> Path:
        return self.folder / GIVERS / name / hashlib.sha256(owner.encode()).hexdigest()


def remove(folder: Path, name: str) -> None:
    """Removes the file of that hash, its description and its marks."""
    for file in upload_files(name):
        (folder / file).unlink(missing_ok=True)
    shutil.rmtree(folder / GIVERS / name, ignore_errors=True)
