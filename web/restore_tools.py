"""The settings of a clip, read from its file or found by a link, for the API and the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from errors import ErrorCode, KinoraError
from jobs.job import Job
from jobs.restored_settings import RestoredSettings, restore
from media.written_settings import WrittenSettings, find_settings
from pipelines.request import FittedRequest

if TYPE_CHECKING:
    from jobs.service import JobService

SHARED = re.compile(r"/c/([A-Za-z0-9_-]{22})(?![A-Za-z0-9_-])")
OWN = re.compile(r"/(?:jobs|result|videos)/([0-9a-f]{32})(?![0-9a-f])")
MAX_LINK = 2000
HIDDEN = {
    "prompt": "Its maker does not show the prompt: write one of your own.",
    "settings": "Its maker does not show the settings.",
    "i2v": "The picture it was made from is not part of the link: choose one of your own.",
    "v2v": "The clip it was made from is not part of the link: choose one of your own.",
}


class RestoreTools:
    def __init__(self, service: JobService) -> None:
        self.service = service

    def read_file(self, path: Path, owner: str) -> RestoredSettings:
        """Of an untrusted file. Raises KinoraError(INVALID_VIDEO) if it is neither an MP4 nor a
        WebM."""
        from media.tags import read_tags

        written = find_settings(read_tags(path))
        return restore(written, self.service, owner) if written else RestoredSettings()

    def read_link(self, link: object, owner: str) -> RestoredSettings:
        """Of a share link, or of the address of one of the owner's clips; only the id in it is
        used. Raises KinoraError(NOT_FOUND | INVALID_INPUT)."""
        if not isinstance(link, str) or len(link) > MAX_LINK:
            raise KinoraError(ErrorCode.INVALID_INPUT, "Send the link to a clip as “link”.")
        if (shared := SHARED.search(link)) is not None:
            return self._of_share(shared[1], owner)
        if (own := OWN.search(link)) is not None:
            return restore(_written(self.service.get(own[1], owner)), self.service, owner)
        raise KinoraError(ErrorCode.NOT_FOUND, "That is no link to a clip of this server.")

    def _of_share(self, share_id: str, owner: str) -> RestoredSettings:
        shared = self.service.shares.find(share_id)
        values = shared.settings()
        is_hidden = shared.share.hide_settings
        written = WrittenSettings(
            "kinora",
            values,
            model=str(values.get("model", "")),
            task="" if is_hidden else shared.job.fitted.task.value,
        )
        found = restore(written, self.service, owner)
        notes = [HIDDEN["prompt"]] if shared.share.hide_prompt and shared.job.fitted.prompt else []
        notes += [HIDDEN["settings"]] if is_hidden else []
        notes += [HIDDEN[written.task]] if written.task in HIDDEN else []
        return found.model_copy(update={"notes": [*notes, *found.notes]})


def _written(job: Job) -> WrittenSettings:
    """Of a job, as its file has them."""
    fitted: FittedRequest = job.fitted
    values = fitted.model_dump(mode="json", exclude={"adjustments"})
    return WrittenSettings("kinora", values, model=fitted.model, task=fitted.task.value)
