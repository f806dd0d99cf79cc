"""What was given: kept, shown to the giver alone, used by the giver alone, gone when unused."""

from __future__ import annotations

import io
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from PIL import Image

from app import executor_for
from errors import ErrorCode, KinoraError
from jobs.retention import remove_leftovers
from jobs.service import JobService
from jobs.store import JobStore
from jobs.uploads import GIVERS, Uploads
from pipelines.models.cards import ModelCard
from pipelines.request import GenerationRequest
from settings import Settings

ME, STRANGER = "visitor:me", "visitor:stranger"


def png(colour: str = "orange") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "card.mp4"
    card = "testsrc=size=96x64:rate=8:duration=1"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "lavfi", "-i"]
    subprocess.run([*command, card, "-pix_fmt", "yuv420p", path], check=True)
    return path


@pytest.fixture
def service(tiny_settings: Settings, tiny_cards: dict[str, ModelCard]) -> Iterator[JobService]:
    store = JobStore(tiny_settings.database_url)
    idle = JobService(store, executor_for(tiny_settings), tiny_cards, tiny_settings)
    yield idle
    idle.close()


def test_two_who_give_the_same_picture_share_one_file_and_a_third_sees_none(
    service: JobService,
) -> None:
    mine, theirs = (service.store_picture(png(), who) for who in (ME, "visitor:other"))
    assert mine.id == theirs.id
    for who in (ME, "visitor:other"):
        assert service._uploads.path(mine.id, who).is_file()
    with pytest.raises(KinoraError) as refused:
        service._uploads.path(mine.id, STRANGER)
    assert refused.value.code is ErrorCode.NOT_FOUND


def test_a_clip_cannot_be_made_from_what_somebody_else_gave(service: JobService, mp4: Path) -> None:
    picture, video = service.store_picture(png(), ME), service.store_video(mp4, ME)
    from_picture = GenerationRequest(prompt="it moves", image=picture.id)
    assert service.submit(from_picture, ME).fitted.width == 96
    for request in (from_picture, GenerationRequest(prompt="in oil", video=video.id)):
        with pytest.raises(KinoraError) as refused:
            service.submit(request, STRANGER)
        assert refused.value.code is ErrorCode.NOT_FOUND


def test_a_clip_that_is_not_there_is_said_before_any_work(service: JobService) -> None:
    for lost in ({"video": "0" * 64}, {"image": "0" * 64}, {"last_image": "0" * 64}):
        with pytest.raises(KinoraError) as refused:
            service._uploads.sizes(GenerationRequest.model_validate({"prompt": "x", **lost}))
        assert refused.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize("name", ["../../kinora.db", "..", "", "A" * 64, "0" * 63, GIVERS])
def test_only_a_hash_names_a_file(service: JobService, name: str) -> None:
    with pytest.raises(KinoraError):
        service._uploads.path(name, None)


def test_what_nobody_uses_goes_after_a_day_with_the_marks(service: JobService, mp4: Path) -> None:
    used, last, unused = (service.store_picture(png(c), ME).id for c in ("red", "blue", "green"))
    clip = service.store_video(mp4, ME).id
    request = GenerationRequest(prompt="it moves", image=used)
    service.submit(request, ME)
    long_ago = time.time() - 25 * 3600
    for gift in service._artifacts.uploads_folder.glob("*.*"):
        os.utime(gift, (long_ago, long_ago))
    fresh = service.store_picture(png("white"), ME).id
    remove_leftovers(service._lifecycle)
    left = {path.stem for path in service._artifacts.uploads_folder.glob("*.*")}
    assert left == {used, fresh}
    givers = service._artifacts.uploads_folder / GIVERS
    assert {path.name for path in givers.iterdir()} == {used, fresh}
    assert not {last, unused, clip} & left


def test_who_gave_is_not_written_down_by_name(service: JobService) -> None:
    service.store_picture(png(), ME)
    assert not [p for p in service._artifacts.uploads_folder.rglob("*") if "visitor" in p.name]


def test_too_large_a_clip_is_refused(tmp_path: Path, mp4: Path, tiny_settings: Settings) -> None:
    strict = tiny_settings.model_copy(update={"max_video_upload_mb": 0.001})
    with pytest.raises(KinoraError) as refused:
        Uploads(tmp_path, strict).store_video(mp4, ME)
    assert refused.value.code is ErrorCode.TOO_LARGE
