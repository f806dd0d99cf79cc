"""A clip's own file on a fresh service: the request that is read from it makes the same frames.

For every card and task, `tests/jobs/test_restored_settings.py` compares the requests, and
`test_families` shows that frames follow from the request alone. Here is one of each task, to the
last pixel.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from app import executor_for
from jobs.restored_settings import restore
from jobs.service import JobService
from jobs.store import JobStore
from media.tags import read_tags
from media.written_settings import find_settings
from pipelines.engine.decode import decode
from pipelines.engine.denoise import denoise
from pipelines.models.cards import load_cards
from pipelines.request import GenerationRequest, Task
from tests.pipelines.engine.families.case import Case, Person, differences, home_of, picture

FEW = [("ltx-0.9.5", "t2v", False), ("wan-2.1-flf2v", "i2v", True), ("lucy-edit", "v2v", False)]
ME = "visitor:me"


@pytest.mark.parametrize(("name", "task", "with_last"), FEW, ids=[name for name, *_ in FEW])
def test_a_clips_file_makes_the_same_frames_again(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, name: str, task: str, with_last: bool
) -> None:
    case = Case(home_of(name, {}, tmp_path_factory), Task(task), with_last, tmp_path / "case")
    made = case.run(Person(), "made")
    written = find_settings(read_tags(case.folder / "made" / made.clip))
    assert written

    here = case.home.settings.model_copy(
        update={"data_dir": tmp_path / "fresh", "database_url": f"sqlite:///{tmp_path}/fresh.db"}
    )
    service = JobService(
        JobStore(here.database_url), executor_for(here), load_cards(here.models_dir), here
    )
    try:
        width, height = case.fitted.width, case.fitted.height
        for phase in (0.0, 1.0)[: 1 + with_last] if case.task is Task.IMAGE_TO_VIDEO else ():
            drawn = io.BytesIO()
            picture(width, height, phase).save(drawn, "PNG")
            service.store_picture(drawn.getvalue(), ME)
        if case.task is Task.VIDEO_TO_VIDEO:
            service.store_video(case.folder / "given.mp4", ME)
        found = restore(written, service, ME)
        assert found.notes == []
        fitted = service.fit(GenerationRequest.model_validate(found.settings), ME)
    finally:
        service.close()
    again = denoise(case.loaded, fitted, case.inputs, Person(), lambda _: None, None)
    assert differences(decode(case.loaded, again, fitted), case.frames) == 0
