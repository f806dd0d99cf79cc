"""Edits: jobs that make new clips of finished ones, in a worker without a model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from errors import ErrorCode, KinoraError
from jobs.database import jobs as job_table
from jobs.estimate import Estimator
from jobs.job import Gone, Job, State, new_id
from jobs.restored_settings import restore
from jobs.retention import make_room
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.edit_process import MODULE
from jobs.workers.process import ProcessExecutor
from media import unmarked
from media.ffmpeg import base_command
from media.metadata import read_comment
from media.operations.edit_request import EditRequest, read_edit_request
from media.operations.outputs import OUTPUTS, OutputFormat
from media.written_settings import find_settings
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.conftest import MakeJob, until, wait_for_kind
from tests.jobs.finished_clips import add_clip, sliding
from tests.media.provenance.test_signing_files import active, validated
from tests.media.reading import read
from ui.job_view import used

ME, OTHER = "visitor:me", "visitor:other"
TRIM = {"op": "trim", "start_s": 0.5, "end_s": 1.5}
REVERSE = {"op": "reverse"}
SLOW = [{"op": "speed", "factor": 0.1}, {"op": "speed", "factor": 0.5}]
"""Twenty times as many frames: some seconds of work."""
Build = Callable[..., JobService]


@pytest.fixture(scope="module")
def build(
    tmp_path_factory: pytest.TempPathFactory, light_cards: dict[str, ModelCard]
) -> Iterator[Build]:
    built: list[JobService] = []

    def build(**settings: object) -> JobService:
        folder = tmp_path_factory.mktemp("edits")
        given = Settings.model_validate({"data_dir": folder, "max_jobs_per_visitor": 50} | settings)
        store = JobStore(f"sqlite:///{folder / 'kinora.db'}")
        service = JobService(store, ProcessExecutor(given, MODULE), light_cards, given)
        built.append(service)
        return service

    yield build
    for service in built:
        service.close(0)


@pytest.fixture(scope="module")
def service(build: Build) -> JobService:
    service = build()
    service.start()
    return service


@pytest.fixture
def clip(service: JobService, make_job: MakeJob) -> Job:
    return add_clip(service, make_job(ME, prompt="a dog", seed=7))


def edit_of(*clips: str, operations: object = (TRIM,), **more: object) -> EditRequest:
    return read_edit_request({"clips": clips, "operations": operations, **more})


def ended(service: JobService, job: Job) -> Job:
    until(lambda: service.get(job.id).state.ended)
    return service.get(job.id)


def made(service: JobService, edit: EditRequest, owner: str = ME) -> Job:
    job = ended(service, service.submit_edit(edit, owner))
    assert job.state is State.SUCCEEDED, job.error
    return job


def files_of(service: JobService, job: Job) -> set[str]:
    folder = service._lifecycle.folder(job.id)
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


# -- what comes out --------------------------------------------------------------------------------


def test_an_edit_makes_a_new_clip_and_the_old_one_stays(service: JobService, clip: Job) -> None:
    before = service.clip_path(clip.id).read_bytes()
    job = made(service, edit_of(clip.id))
    assert job.result is not None
    assert (job.result.num_frames, job.result.fps, job.result.rate) == (8, 8, None)
    assert (job.fitted.num_frames, job.fitted.prompt) == (8, "a dog")
    assert len(read(service.clip_path(job.id)).frames) == 8
    assert service.clip_path(clip.id).read_bytes() == before
    assert files_of(service, job) == {"clip.mp4", "poster.jpg", "last.png", "result.json"}
    kinds = [event.kind for event in service.events(job.id)]
    assert kinds[:2] == ["queued", "started"]
    assert kinds[-2:] == ["encoding", "succeeded"]
    assert service.last_frame_path(job.id).is_file()


def test_its_family_is_in_the_gallery(service: JobService, clip: Job) -> None:
    job = made(service, edit_of(clip.id))
    assert job.parent == clip.id
    family = service.gallery.family(ME, job.id)
    assert [(each.relation, each.clip.job.id) for each in family] == [("edit_of", clip.id)]
    family = service.gallery.family(ME, clip.id)
    assert [(each.relation, each.clip.job.id) for each in family] == [("edit", job.id)]
    again = made(service, edit_of(job.id))
    family = service.gallery.family(ME, job.id)
    assert {each.relation: each.clip.job.id for each in family} == {
        "edit_of": clip.id, "edit": again.id
    }  # fmt: skip


def test_the_file_says_what_made_it_and_what_was_done_to_it(service: JobService, clip: Job) -> None:
    again = made(service, edit_of(made(service, edit_of(clip.id)).id, operations=[REVERSE]))
    comment = read_comment(service.clip_path(again.id))
    assert comment is not None
    assert comment["settings"]["seed"] == 7
    assert comment["settings"]["num_frames"] == 24, "of the clip that the settings made"
    assert comment["model_revision"] == "abc"
    assert comment["edit"] == {
        "clips": 1,
        "operations": [{"op": "reverse"}],
        "before": {"clips": 1, "operations": [TRIM]},
    }


def test_its_settings_can_be_restored_and_say_what_was_edited(
    service: JobService, clip: Job
) -> None:
    job = made(service, edit_of(clip.id))
    comment = read_comment(service.clip_path(job.id))
    written = find_settings({"comment": json.dumps(comment)})
    assert written is not None
    found = restore(written, service, ME)
    assert found.settings["seed"] == 7
    assert found.settings["num_frames"] == 24
    assert any("It was edited afterwards (Trim)." in note for note in found.notes), found.notes


def test_the_page_shows_the_settings_of_the_first_clip(service: JobService, clip: Job) -> None:
    job = made(service, edit_of(clip.id))
    assert used(job) == used(clip), "sent again, they make that clip"
    upload = service.store_clip_to_edit(service.clip_path(clip.id), ME)
    assert used(made(service, edit_of(upload.id))) == {}


def test_it_is_signed_as_an_edit_of_its_clips(service: JobService, clip: Job) -> None:
    job = made(service, edit_of(clip.id))
    found = validated(service.clip_path(job.id))
    assert found["validation_state"] == "Valid"
    manifest = active(found)
    actions = next(a for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))
    names = [action["action"] for action in actions["data"]["actions"]]
    assert names == ["c2pa.created", "c2pa.placed", "c2pa.edited"]
    (ingredient,) = manifest["ingredients"]
    assert ingredient["title"] == f"kinora-{clip.id[:8]}.mp4"
    assert ingredient["relationship"] == "componentOf"
    assert ingredient["active_manifest"], "with its own credentials"


@pytest.mark.parametrize("format", OUTPUTS)
def test_it_can_be_another_kind_of_file(
    service: JobService, clip: Job, format: OutputFormat
) -> None:
    job = made(service, edit_of(clip.id, format=format))
    kind = OUTPUTS[format]
    assert service.clip_path(job.id).suffix == kind.suffix
    assert job.result is not None and job.result.provenance is not None
    assert (job.result.num_frames, job.result.fps) == (8, 8)
    assert job.result.provenance.signed == (format != "png-zip")
    with Image.open(service.last_frame_path(job.id)) as last:
        shown = np.asarray(last.convert("RGB"), np.float32)
    expected = sliding(24, 64, 96)[11].astype(np.float32)
    assert np.abs(shown - expected).mean() < 6, "it is the last frame of the file"


def test_an_edit_of_a_marked_clip_carries_one_mark(build: Build, make_job: MakeJob) -> None:
    service = build(mark_text="MADE HERE", mark_size=20)
    service.start()
    clip = add_clip(service, make_job(ME), size=(192, 128))
    job = made(service, edit_of(clip.id))
    assert job.result is not None
    assert any("MADE HERE" in change.sentence for change in job.result.adjustments)
    folder = service._lifecycle.folder(job.id)
    plain, marked = (read(folder / name).frames for name in (unmarked.CLIP, "clip.mp4"))
    difference = np.abs(plain[3].astype(int) - marked[3].astype(int)).max(axis=2) > 40
    rows, _ = np.nonzero(difference)
    assert len(rows) > 50
    assert rows.min() > 64, "at the bottom"
    again = made(service, edit_of(job.id))
    frames = read(service._lifecycle.folder(again.id) / unmarked.CLIP).frames
    assert np.abs(frames[0].astype(int) - plain[4].astype(int)).max() < 40, "without the first mark"


def test_an_uploaded_clip_can_be_edited_by_who_sent_it(
    service: JobService, clip: Job, tmp_path: Path
) -> None:
    stored = service.store_clip_to_edit(service.clip_path(clip.id), ME)
    job = made(service, edit_of(stored.id))
    assert job.result is not None
    assert job.result.num_frames == 8
    assert job.parent is None
    comment = read_comment(service.clip_path(job.id))
    assert comment is not None
    assert comment["settings"] == {}
    with pytest.raises(KinoraError) as refused:
        service.submit_edit(edit_of(stored.id), OTHER)
    assert refused.value.code is ErrorCode.NOT_FOUND


def test_a_rate_that_is_no_whole_number_is_kept(
    service: JobService, make_job: MakeJob, tmp_path: Path
) -> None:
    source = tmp_path / "film.mp4"
    film = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=30000/1001:duration=1")
    subprocess.run([*base_command(), *film, str(source)], check=True)
    job = made(service, edit_of(service.store_clip_to_edit(source, ME).id, operations=[REVERSE]))
    assert job.result is not None
    assert (job.result.fps, job.result.rate) == (30, "30000/1001")
    assert job.result.duration_s == pytest.approx(
        float(job.result.num_frames * Fraction(1001, 30000))
    )


# -- what is refused -------------------------------------------------------------------------------


def test_clips_of_others_do_not_exist(service: JobService, clip: Job) -> None:
    for owner, edit in ((OTHER, edit_of(clip.id)), (ME, edit_of("0" * 32)), (ME, edit_of("x"))):
        with pytest.raises(KinoraError) as refused:
            service.submit_edit(edit, owner)
        assert refused.value.code is ErrorCode.NOT_FOUND


def test_what_cannot_be_made_is_refused_before_it_is_accepted(
    service: JobService, clip: Job
) -> None:
    before = len(service.list(ME, 500))
    with pytest.raises(KinoraError) as refused:
        service.submit_edit(edit_of(clip.id, operations=[{"op": "trim", "start_s": 99}]), ME)
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert "Choose an earlier start" in refused.value.message
    assert len(service.list(ME, 500)) == before


def test_subtitles_for_a_file_that_holds_none_are_refused_before_they_are_accepted(
    service: JobService, clip: Job
) -> None:
    words = {"op": "subtitles", "text": "00:00.000 --> 00:01.000\nHi", "show": "track"}
    with pytest.raises(KinoraError) as refused:
        service.submit_edit(edit_of(clip.id, operations=[words], format="gif"), ME)
    assert refused.value.message.startswith("GIF has no track for subtitles. Burn them in")


def test_a_clip_whose_files_are_gone_cannot_be_edited(service: JobService, clip: Job) -> None:
    service._store.mark_gone(clip.id, Gone(why="age", at=time.time()))
    with pytest.raises(KinoraError) as refused:
        service.submit_edit(edit_of(clip.id), ME)
    assert refused.value.code is ErrorCode.GONE


def test_an_edit_counts_for_the_limits(build: Build, make_job: MakeJob) -> None:
    service = build(max_queue=1, max_jobs_per_visitor=1)
    clip = add_clip(service, make_job(ME))
    service.submit_edit(edit_of(clip.id), ME)
    with pytest.raises(KinoraError) as refused:
        service.submit_edit(edit_of(clip.id), ME)
    assert refused.value.code is ErrorCode.RATE_LIMITED
    with pytest.raises(KinoraError) as refused:
        service.submit_edit(edit_of(clip.id), OTHER, may_use=lambda _: True)
    assert refused.value.code is ErrorCode.QUEUE_FULL


# -- stopping and failing --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_clip(service: JobService, light_cards: dict[str, ModelCard]) -> Job:
    asked = GenerationRequest(prompt="a dog", seed=1)
    fitted = fit(asked, light_cards["pocket"], Limits())
    job = Job(
        id=new_id(), owner=ME, state=State.QUEUED, request=asked, fitted=fitted, created_at=1.0
    )
    return add_clip(service, job, num_frames=120, size=(192, 128))


def test_a_discarded_edit_ends_at_once_and_leaves_nothing(
    service: JobService, long_clip: Job
) -> None:
    job = service.submit_edit(edit_of(long_clip.id, operations=SLOW), ME)
    wait_for_kind(service, job.id, "step")
    began = time.monotonic()
    service.cancel(job.id, ME)
    assert ended(service, job).state is State.CANCELLED
    assert time.monotonic() - began < 1.0
    assert files_of(service, job) == set()


def test_an_edit_cannot_be_finished_early(service: JobService, long_clip: Job) -> None:
    job = service.submit_edit(edit_of(long_clip.id, operations=SLOW), ME)
    with pytest.raises(KinoraError) as refused:
        service.finish(job.id, ME)
    assert refused.value.code is ErrorCode.CONFLICT
    service.cancel(job.id, ME)


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_killed_worker_costs_no_edit(service: JobService, long_clip: Job) -> None:
    job = service.submit_edit(edit_of(long_clip.id, operations=SLOW), ME)
    wait_for_kind(service, job.id, "step")
    pid = service.worker_pid()
    assert pid is not None
    encoders = [child for child in children_of(pid) if is_running(child)]
    assert encoders
    os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(is_running, encoders)), 5.0)
    assert ended(service, job).state is State.SUCCEEDED
    kinds = [event.kind for event in service.events(job.id)]
    assert kinds.count("requeued") == 1
    assert files_of(service, job) == {"clip.mp4", "poster.jpg", "last.png", "result.json"}


def test_a_clip_that_is_deleted_while_its_edit_waits_fails_it_in_a_sentence(
    build: Build, make_job: MakeJob
) -> None:
    service = build()
    clip = add_clip(service, make_job(ME))
    job = service.submit_edit(edit_of(clip.id), ME)
    service.delete(clip.id, ME)
    service.start()
    failed = ended(service, job)
    assert failed.state is State.FAILED
    assert failed.error is not None
    assert failed.error["message"].startswith("A clip of this edit is not here any more.")


def test_an_edit_that_failed_can_be_made_again(service: JobService, clip: Job) -> None:
    job = service.submit_edit(edit_of(clip.id), ME)
    service.cancel(job.id, ME)
    if service.get(job.id).state is State.CANCELLED:
        assert ended(service, service.make_again(job.id, ME)).state is State.SUCCEEDED


def test_clips_that_an_edit_waits_for_are_not_removed_to_make_room(
    build: Build, make_job: MakeJob
) -> None:
    service = build(max_disk_gb=1e-6)
    clip, other, newest = (add_clip(service, make_job(ME)) for _ in range(3))
    service.submit_edit(edit_of(clip.id), ME)
    make_room(service._lifecycle, service.settings)
    states = {each.id: service.get(each.id).result for each in (clip, other, newest)}
    assert {each for each, result in states.items() if result and result.gone} == {other.id}


def test_uploads_that_an_edit_reads_are_kept(build: Build, make_job: MakeJob) -> None:
    service = build()
    clip = add_clip(service, make_job(ME))
    stored = service.store_clip_to_edit(service.clip_path(clip.id), ME)
    assert not service._store.uses_upload(stored.id)
    service.submit_edit(edit_of(stored.id), ME)
    assert service._store.uses_upload(stored.id)


# -- the queue -------------------------------------------------------------------------------------


def test_an_edit_needs_no_model(build: Build, make_job: MakeJob) -> None:
    service = build()
    clip = add_clip(service, make_job(ME))
    job = service.submit_edit(edit_of(clip.id), ME)
    (waiting,) = service._store.waiting()
    assert waiting.is_edit
    with service._store.database.reading.begin() as tx:
        assert tx.execute(select(job_table.c.model).where(job_table.c.id == job.id)).scalar() == ""


def test_the_time_of_an_edit_is_learned_from_earlier_ones(build: Build, make_job: MakeJob) -> None:
    service = build()
    estimator: Estimator = service._estimator
    clip = add_clip(service, make_job(ME), num_frames=100)
    _, guess = service.plan_edit(edit_of(clip.id), ME)
    assert not guess.learned
    job = service.submit_edit(edit_of(clip.id), ME)
    assert job.edit and clip.result
    for _ in range(3):
        done = clip.result.model_copy(update={"seconds": {"total": 40.0}})
        estimator.learn(job.model_copy(update={"id": os.urandom(16).hex(), "result": done}))
    _, learned = service.plan_edit(edit_of(clip.id), ME)
    assert learned.learned
    assert learned.seconds == pytest.approx(40.0, rel=0.05)
    _, other = service.plan_edit(edit_of(clip.id, operations=[REVERSE]), ME)
    assert not other.learned
    assert other.seconds > 5 * guess.seconds, "the machine is slower than was guessed"
    assert service.eta_s(job.id) == pytest.approx(40.0, rel=0.05)
