"""An edit says that a model made it only if a model made one of its clips."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.job import Job, State
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.edit_process import MODULE
from jobs.workers.process import ProcessExecutor
from media.ffmpeg import base_command
from media.operations.edit_request import read_edit_request
from media.provenance.claims import UNKNOWN
from media.provenance.plain_tags import COMPOSITE
from pipelines.models.cards import ModelCard
from settings import Settings
from tests.jobs.conftest import MakeJob, until
from tests.jobs.finished_clips import add_clip
from tests.media.provenance.test_signing_files import active, validated
from web import share_page

ME = "me"


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, light_cards: dict[str, ModelCard]
) -> Iterator[JobService]:
    folder = tmp_path_factory.mktemp("uploads")
    settings = Settings(data_dir=folder, max_jobs_per_visitor=50)
    store = JobStore(f"sqlite:///{folder / 'kinora.db'}")
    service = JobService(store, ProcessExecutor(settings, MODULE), light_cards, settings)
    service.start()
    yield service
    service.close(0)


@pytest.fixture(scope="module")
def filmed(service: JobService, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an upload that says nothing of how it was made."""
    path = tmp_path_factory.mktemp("filmed") / "filmed.mp4"
    source = ("-f", "lavfi", "-i", "testsrc=size=96x64:rate=8:duration=1")
    subprocess.run([*base_command(), *source, str(path)], check=True)
    return service.store_clip_to_edit(path, ME).id


def edited(service: JobService, *clips: str, format: str = "mp4") -> Job:
    operations = [{"op": "reverse"}]
    edit = read_edit_request({"clips": clips, "operations": operations, "format": format})
    job = service.submit_edit(edit, ME)
    until(lambda: service.get(job.id).state.ended)
    job = service.get(job.id)
    assert job.state is State.SUCCEEDED, job.error
    return job


def files_of(service: JobService, job: Job) -> list[Path]:
    """All that can be downloaded of a clip."""
    service.contact_sheet_path(job)
    shared = service.shares.find(service.shares.put(job.id, ME, {"hide_settings": True}).id)
    service.shares.clip_path(shared)
    service.shares.poster_path(shared)
    folder = service._lifecycle.folder(job.id)
    names = {"clip.mp4", "poster.jpg", "last.png", "contact.jpg", "shared.mp4", "shared.jpg"}
    files = [path for path in folder.iterdir() if path.name in names]
    assert len(files) == len(names)
    return files


def source_type(path: Path) -> str:
    found = validated(path)
    assert found["validation_state"] == "Valid"
    actions = next(
        each for each in active(found)["assertions"] if each["label"].startswith("c2pa.actions")
    )
    return actions["data"]["actions"][0]["digitalSourceType"]


def test_an_edit_of_a_filmed_clip_does_not_say_that_a_model_made_it(
    service: JobService, filmed: str
) -> None:
    job = edited(service, filmed)
    for path in files_of(service, job):
        written = path.read_bytes()
        assert b"AI generated" not in written and b"rainedAlgorithmicMedia" not in written, path
        assert source_type(path) == UNKNOWN
    shared = service.shares.find(service.shares.put(job.id, ME, {}).id)
    page = share_page.render_clip(shared, "https://kinora.test")
    assert "Edited with Kinora" in page and "Made by AI" not in page
    job = edited(service, filmed, format="png-zip")
    assert job.result is not None
    assert [each.sentence for each in job.result.adjustments] == [
        "A zip has no place for Content Credentials."
    ]


def test_an_edit_with_a_generated_clip_says_that_a_model_made_it(
    service: JobService, filmed: str, make_job: MakeJob
) -> None:
    made = add_clip(service, make_job(ME))
    downloaded = service.store_clip_to_edit(service.clip_path(made.id), ME).id
    for job in (edited(service, filmed, made.id), edited(service, downloaded)):
        for path in files_of(service, job):
            assert b"rainedAlgorithmicMedia" in path.read_bytes(), path
        assert source_type(service.clip_path(job.id)) == COMPOSITE
        shared = service.shares.find(service.shares.put(job.id, ME, {}).id)
        assert "Made by AI" in share_page.render_clip(shared, "https://kinora.test")
