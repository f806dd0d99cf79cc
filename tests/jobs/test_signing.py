"""Every clip that leaves the server is signed, whatever made it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from jobs.artifacts import MANIFEST, Artifacts
from jobs.job import Job, Result
from jobs.service import JobService
from jobs.signing import FOLDER, Signing
from jobs.uploads import Uploads, remove
from media.encode import encode
from media.provenance import c2pa_package
from media.provenance.sandbox_child import examine
from media.stills import write_last_frame, write_poster
from pipelines.models.cards import ModelCard
from pipelines.request import Format, GenerationRequest
from settings import Settings
from tests.jobs.conftest import MakeJob, wait_for_kind
from tests.media.provenance.test_signing_files import active, assertion, validated
from tests.media.test_encode import moving

ME = "visitor:me"
FRAMES = moving(5, 48, 64)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "data")


@pytest.fixture
def signing(
    artifacts: Artifacts, tiny_settings: Settings, light_cards: dict[str, ModelCard]
) -> Signing:
    return Signing(artifacts, tiny_settings, light_cards)


def finished(artifacts: Artifacts, job: Job, format: Format = "mp4") -> Result:
    """The files of a clip, as a worker leaves them."""
    folder = artifacts.folder(job.id)
    folder.mkdir(parents=True, exist_ok=True)
    clip = encode(FRAMES, folder / f"clip.{format}", fps=8, format=format)
    write_poster(FRAMES, folder / "poster.jpg")
    write_last_frame(FRAMES, folder / "last.png")
    result = Result(
        clip=clip.path.name,
        poster="poster.jpg",
        last_frame="last.png",
        width=64,
        height=48,
        num_frames=5,
        fps=8,
        size_bytes=clip.size_bytes,
    )
    (folder / MANIFEST).write_text(result.model_dump_json(), encoding="utf-8")
    return result


def test_the_clip_and_its_pictures_are_signed_and_the_manifest_says_so(
    signing: Signing, artifacts: Artifacts, make_job: MakeJob, tiny_settings: Settings
) -> None:
    job = make_job()
    before = finished(artifacts, job)
    result = signing.sign(job, before)
    folder = artifacts.folder(job.id)
    for name in ("clip.mp4", "poster.jpg", "last.png"):
        assert validated(folder / name)["validation_state"] == "Valid", name
    assert result.provenance and result.provenance.signed and result.provenance.self_made
    assert result.size_bytes == (folder / "clip.mp4").stat().st_size
    assert result.unsigned_size_bytes == before.size_bytes
    assert Result.model_validate_json((folder / MANIFEST).read_bytes()) == result
    assert result.adjustments == ()
    assert {each.name for each in folder.iterdir()} == {
        "clip.mp4", "poster.jpg", "last.png", MANIFEST
    }  # fmt: skip
    assert (tiny_settings.data_dir / FOLDER).is_dir()
    found = validated(folder / "clip.mp4")
    assert assertion(found, "app.kinora.generation")["model"] == job.fitted.model
    assert active(found)["title"] == f"kinora-{job.id[:8]}.mp4"


def test_a_webm_gets_a_sidecar(signing: Signing, artifacts: Artifacts, make_job: MakeJob) -> None:
    job = make_job(format="webm")
    result = signing.sign(job, finished(artifacts, job, "webm"))
    assert result.provenance and result.provenance.sidecar == "clip.webm.c2pa"
    clip = artifacts.folder(job.id) / "clip.webm"
    manifest = clip.with_name("clip.webm.c2pa").read_bytes()
    assert validated(clip, manifest)["validation_state"] == "Valid"
    assert clip.stat().st_size == result.size_bytes


def test_a_clip_is_signed_once(signing: Signing, artifacts: Artifacts, make_job: MakeJob) -> None:
    job = make_job()
    result = signing.sign(job, finished(artifacts, job))
    signed = (artifacts.folder(job.id) / "clip.mp4").read_bytes()
    assert signing.sign(job, result) == result
    assert (artifacts.folder(job.id) / "clip.mp4").read_bytes() == signed


def test_a_server_that_is_killed_while_it_signs_loses_nothing(
    signing: Signing,
    artifacts: Artifacts,
    make_job: MakeJob,
    service: JobService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The manifest is there with both sizes; the signed clip has not taken its place yet."""
    job = make_job()
    before = finished(artifacts, job)
    clip = artifacts.folder(job.id) / "clip.mp4"
    plain = clip.read_bytes()
    result = signing.sign(job, before)
    clip.write_bytes(plain)
    monkeypatch.setattr(service._lifecycle, "artifacts", artifacts)
    found = service._lifecycle.finished_result(job.id)
    assert found is not None and found == result, "it is complete"
    again = signing.sign(job, found)
    assert validated(clip)["validation_state"] == "Valid"
    assert again.size_bytes == clip.stat().st_size
    clip.write_bytes(plain[:-1])
    assert service._lifecycle.finished_result(job.id) is None


def test_a_clip_that_cannot_be_signed_is_kept_and_says_so(
    signing: Signing, artifacts: Artifacts, make_job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    job = make_job()
    before = finished(artifacts, job)
    (artifacts.folder(job.id) / "clip.mp4").write_bytes(b"no clip at all")
    result = signing.sign(job, before)
    assert result.provenance and not result.provenance.signed
    assert [each.field for each in result.adjustments] == ["provenance"]
    assert "could not be signed" in result.adjustments[0].sentence
    assert (artifacts.folder(job.id) / "clip.mp4").read_bytes() == b"no clip at all"
    assert "Signing failed" in caplog.text


@pytest.mark.parametrize("missing", ["certificate", "key", "both"])
def test_an_unusable_certificate_is_in_the_log_and_stops_no_clip(
    artifacts: Artifacts,
    tiny_settings: Settings,
    light_cards: dict[str, ModelCard],
    make_job: MakeJob,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    missing: str,
) -> None:
    paths = {"sign_certificate": tmp_path / "nowhere.pem", "sign_key": tmp_path / "nowhere.pem"}
    for name in paths:
        if missing not in ("both", name.removeprefix("sign_")):
            paths[name].write_bytes(b"no PEM")
    signing = Signing(artifacts, tiny_settings.model_copy(update=paths), light_cards)
    job = make_job()
    result = signing.sign(job, finished(artifacts, job))
    assert result.provenance and not result.provenance.signed
    assert "certificate" in caplog.text
    assert not (tiny_settings.data_dir / FOLDER).exists(), "a self-made one is no substitute"


def test_signing_can_be_off(
    artifacts: Artifacts,
    tiny_settings: Settings,
    light_cards: dict[str, ModelCard],
    make_job: MakeJob,
) -> None:
    signing = Signing(artifacts, tiny_settings.model_copy(update={"sign": False}), light_cards)
    job = make_job()
    before = finished(artifacts, job)
    assert signing.sign(job, before) == before
    assert not (tiny_settings.data_dir / FOLDER).exists()


def test_without_the_package_clips_are_made_and_the_log_says_it_once(
    signing: Signing,
    artifacts: Artifacts,
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    c2pa_package.load.cache_clear()
    try:
        for job in (make_job(), make_job()):
            before = finished(artifacts, job)
            result = signing.sign(job, before)
            assert result.provenance and not result.provenance.signed
            assert "c2pa-python is not installed" in (result.provenance.problem or "")
            assert result.adjustments == (), "the visitor cannot change it"
            assert result.size_bytes == before.size_bytes
        assert caplog.text.count("c2pa-python is not installed") == 1
        request = {"what": "read", "path": "", "type": "", "trusted": "", "own": ""}
        assert examine(request) == {"outcome": "unavailable"}
    finally:
        c2pa_package.load.cache_clear()


def test_no_log_has_the_key(
    signing: Signing, artifacts: Artifacts, make_job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        job = make_job()
        signing.sign(job, finished(artifacts, job))
    assert "PRIVATE" not in caplog.text


# -- what it was made from -------------------------------------------------------------------------


def made_from(job: Job, **inputs: str) -> Job:
    return job.model_copy(update={"fitted": job.fitted.model_copy(update=inputs)})


def test_an_uploaded_clip_keeps_its_own_credentials_in_what_continues_it(
    signing: Signing, artifacts: Artifacts, make_job: MakeJob, tiny_settings: Settings
) -> None:
    first = make_job()
    signing.sign(first, finished(artifacts, first))
    uploads = Uploads(artifacts.uploads_folder, tiny_settings)
    stored = uploads.store_video(artifacts.folder(first.id) / "clip.mp4", ME)
    second = made_from(make_job(), continue_from=stored.id)
    result = signing.sign(second, finished(artifacts, second))
    assert result.provenance and result.provenance.signed
    found = validated(artifacts.folder(second.id) / "clip.mp4")
    assert found["validation_state"] == "Valid"
    (ingredient,) = active(found)["ingredients"]
    assert ingredient["relationship"] == "componentOf"
    own = found["manifests"][ingredient["active_manifest"]]
    assert own["title"] == f"kinora-{first.id[:8]}.mp4"

    third = made_from(make_job(), video=stored.id)
    signing.sign(third, finished(artifacts, third))
    found = validated(artifacts.folder(third.id) / "clip.mp4")
    assert active(found)["ingredients"][0]["relationship"] == "inputTo"
    remove(artifacts.uploads_folder, stored.id)
    assert not list(artifacts.uploads_folder.glob("*.c2pa"))


def test_an_uploaded_picture_keeps_its_own_credentials(
    signing: Signing, artifacts: Artifacts, make_job: MakeJob, tiny_settings: Settings
) -> None:
    first = make_job()
    signing.sign(first, finished(artifacts, first))
    picture = (artifacts.folder(first.id) / "last.png").read_bytes()
    uploads = Uploads(artifacts.uploads_folder, tiny_settings)
    stored = uploads.store_picture(picture, ME)
    second = made_from(make_job(), image=stored.id, last_image=stored.id)
    signing.sign(second, finished(artifacts, second))
    found = validated(artifacts.folder(second.id) / "clip.mp4")
    assert found["validation_state"] == "Valid"
    (ingredient,) = active(found)["ingredients"]
    assert (ingredient["title"], ingredient["relationship"]) == ("Picture", "inputTo")
    assert ingredient["active_manifest"] in found["manifests"]


def test_credentials_of_an_input_that_cannot_be_used_are_left_out(
    signing: Signing, artifacts: Artifacts, make_job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    name = "ab" * 32
    artifacts.uploads_folder.mkdir(parents=True)
    (artifacts.uploads_folder / f"{name}.inputTo.c2pa").write_bytes(b"no credentials")
    job = made_from(make_job(), image=name)
    result = signing.sign(job, finished(artifacts, job))
    assert result.provenance and result.provenance.signed
    found = validated(artifacts.folder(job.id) / "clip.mp4")
    assert [each["title"] for each in active(found)["ingredients"]] == ["First picture"]
    assert "without the credentials of the inputs" in caplog.text


# -- behind an object store, and in every kind of worker -------------------------------------------


@pytest.mark.parametrize("format", ["mp4", "webm"])
def test_a_clip_that_a_worker_put_into_an_object_store_is_signed_there(
    tmp_path: Path,
    tiny_settings: Settings,
    light_cards: dict[str, ModelCard],
    make_job: MakeJob,
    format: Format,
) -> None:
    job, url = make_job(format=format), f"memory://{tmp_path.name}"
    worker = Artifacts(tmp_path / "worker", url)
    before = finished(worker, job, format)
    worker.publish(job.id, worker.folder(job.id))
    server = Artifacts(tmp_path / "server", url)
    result = Signing(server, tiny_settings, light_cards).sign(job, before)
    server.keep(job.id)
    assert result.provenance and result.provenance.signed

    reader = Artifacts(tmp_path / "another-server", url)
    assert Result.model_validate_json(reader.manifest(job.id) or b"") == result
    assert reader.size(job.id, result.clip) == result.size_bytes
    clip = reader.fetch(job.id, result.clip)
    sidecar = result.provenance.sidecar and reader.fetch(job.id, result.provenance.sidecar)
    assert clip is not None
    found = validated(clip, sidecar.read_bytes() if sidecar else None)
    assert found["validation_state"] == "Valid"
    for name in (result.poster, result.last_frame):
        picture = reader.fetch(job.id, name)
        assert picture and validated(picture)["validation_state"] == "Valid"


@pytest.mark.parametrize("format", ["mp4", "webm", "gif"])
def test_a_clip_of_the_worker_process_is_signed(service: JobService, format: Format) -> None:
    request = GenerationRequest(prompt="a dog", seed=11, num_inference_steps=1, format=format)
    job = service.submit(request, ME)
    wait_for_kind(service, job.id, "succeeded")
    result = service.get(job.id).result
    assert result and result.provenance and result.provenance.signed
    clip = service.clip_path(job.id)
    sidecar = result.provenance.sidecar
    manifest = clip.with_name(sidecar).read_bytes() if sidecar else None
    assert validated(clip, manifest)["validation_state"] == "Valid"
    assert clip.stat().st_size == result.size_bytes
    for path in (service.poster_path(job.id), service.last_frame_path(job.id)):
        assert validated(path)["validation_state"] == "Valid"


def test_a_clip_that_continues_another_is_signed_with_that_one_as_its_source(
    service: JobService,
) -> None:
    first = service.submit(GenerationRequest(prompt="a dog", seed=12, num_inference_steps=1), ME)
    wait_for_kind(service, first.id, "succeeded")
    given = service.store_finished_clip(first.id, ME)
    request = GenerationRequest(
        prompt="a dog", seed=13, num_inference_steps=1, continue_from=given.id
    )
    second = service.submit(request, ME)
    wait_for_kind(service, second.id, "succeeded")
    found = validated(service.clip_path(second.id))
    assert found["validation_state"] == "Valid"
    assert len(found["manifests"]) == 2, "its own and the one of the clip before"
