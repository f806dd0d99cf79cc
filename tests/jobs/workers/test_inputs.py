"""What a clip is made from reaches a worker that sees nothing of the server's folders."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from PIL import Image

from jobs.job import Job
from jobs.service import JobService
from pipelines.request import GenerationRequest, Lora
from settings import Settings
from tests import tiny
from tests.jobs.conftest import build_service
from tests.jobs.redis_fleet import RedisServer, Worker
from tests.jobs.services import S3Server

pytestmark = pytest.mark.slow
ME = "visitor:me"
CLIP = GenerationRequest(prompt="a dog", seed=3, num_inference_steps=2)
OIL = (Lora(source="paint/oil"),)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Path:
    folder = tmp_path_factory.mktemp("models")
    over = {"tasks": ["t2v", "i2v", "v2v"], "classes": {"v2v": "LTXConditionPipeline"}}
    tiny.write_card(folder, tiny_repo, **over)
    return folder


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.close()


@pytest.fixture(scope="module", params=["shared disk", "object store"])
def settings(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    models: Path,
    redis: RedisServer,
) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("apart")
    with pytest.MonkeyPatch.context() as patch:
        url = (folder / "shared").as_uri()
        if request.param == "object store":
            url = f"s3://clips/{folder.name}"
            for name, value in request.getfixturevalue("s3").environment.items():
                patch.setenv(name, value)
        yield Settings(
            _env_file=None,  # pyright: ignore[reportCallIssue]
            data_dir=folder / "server",
            models_dir=models,
            redis_url=redis.url,
            artifacts_url=url,
            max_jobs_per_visitor=50,
        )


@pytest.fixture(scope="module")
def far(settings: Settings) -> Path:
    """The worker's own data folder."""
    return settings.data_dir.parent / "worker"


@pytest.fixture(scope="module")
def service(settings: Settings, far: Path) -> Iterator[JobService]:
    worker = Worker(settings.model_copy(update={"data_dir": far}))
    with build_service(settings) as service:
        yield service
    assert worker.stop() == 0


def made(service: JobService, request: GenerationRequest) -> Job:
    job = service.submit(request, ME)
    for _ in service.watch(job.id):
        pass
    job = service.get(job.id)
    assert job.result, job.error
    return job


def frame_of(service: JobService, job: Job) -> bytes:
    with Image.open(service.last_frame_path(job.id)) as picture:  # its signature is new each time
        return picture.tobytes()


def put_lora(settings: Settings, repo: Path, seed: int) -> int:
    """Its size in bytes."""
    from diffusers import LTXPipeline

    from tests.pipelines.models.test_loras import make_lora

    path = settings.loras_folder / "paint" / "oil.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return make_lora(LTXPipeline.from_pretrained(repo), path, seed).stat().st_size


def test_a_lora_of_the_server_is_applied_by_the_worker_and_so_is_its_next_version(
    service: JobService, settings: Settings, far: Path, tiny_repo: Path
) -> None:
    size = put_lora(settings, tiny_repo, seed=1)
    plain = frame_of(service, made(service, CLIP))
    first = frame_of(service, made(service, CLIP.model_copy(update={"loras": OIL})))
    again = frame_of(service, made(service, CLIP.model_copy(update={"loras": OIL})))
    assert put_lora(settings, tiny_repo, seed=2) == size, "only what is in it tells them apart"
    second = frame_of(service, made(service, CLIP.model_copy(update={"loras": OIL})))
    assert first == again
    assert len({plain, first, second}) == 3
    assert not (far / "loras").exists()


def test_pictures_and_clips_of_visitors_reach_the_worker(
    service: JobService, far: Path, tmp_path: Path
) -> None:
    png = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(png, "PNG")
    picture = service.store_picture(png.getvalue(), ME).id
    job = made(service, CLIP.model_copy(update={"image": picture}))
    assert job.fitted.task.value == "i2v"

    clip = tmp_path / "card.mp4"
    card = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=8:duration=2", "-pix_fmt", "yuv420p"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *card, clip], check=True)
    video = service.store_video(clip, ME).id
    over = {"video": video, "strength": 0.6, "num_inference_steps": 4}
    assert made(service, CLIP.model_copy(update=over)).fitted.task.value == "v2v"
    assert not (far / "pictures").exists(), "nothing of them stays with the worker"
    assert not list((far / "work").iterdir())
