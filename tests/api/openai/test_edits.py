"""Videos made of videos, asked for with the official openai SDK: edit, extend, remix."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types import Video

from tests import tiny
from tests.api.conftest import LONG, MANY_STEPS, ApiServer, ended, is_error
from tests.media.making import write_timed
from tests.media.reading import read
from tests.media.test_joins import bursts, heard_bursts, is_in_time

SECRET = f"openai-edits-{time.time_ns()}"
QUICK = {"num_inference_steps": 2}

pytestmark = pytest.mark.filterwarnings("ignore:.*Sora API.*:DeprecationWarning")


@pytest.fixture(scope="module")
def able(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Iterator[ApiServer]:
    """A server with a model that starts from pictures and works over clips, and one of words."""
    folder = tmp_path_factory.mktemp("able")
    limits = tiny.CARD["limits"] | {"max_steps": MANY_STEPS}  # type: ignore[operator]
    over = {"tasks": ["t2v", "i2v", "v2v"], "classes": {"v2v": "LTXConditionPipeline"}}
    tiny.write_card(folder, tiny_repo, limits=limits, **over)
    tiny.write_card(folder, tiny_repo, limits=limits, id="words", name="Words", tasks=["t2v"])
    little = {"KINORA_MAX_IMAGE_MB": "0.2"}  # so that a clip is larger than any picture may be
    running = ApiServer(tmp_path_factory.mktemp("edits") / "data", folder, **little)
    yield running
    running.stop()


def connected(server: ApiServer, secret: str = SECRET) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0)


@pytest.fixture
def sdk(able: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAI]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with connected(able) as client:
            yield client


@pytest.fixture
def raw(able: ApiServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {SECRET}"}
    with httpx.Client(base_url=able.url, headers=headers, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def source(sdk: OpenAI) -> Video:
    """Nine frames of 96 x 64, made anew only once."""
    video = sdk.videos.create_and_poll(
        prompt="a dog", size="96x64", extra_body=QUICK | {"seed": 5, "quality": "high"}  # type: ignore[arg-type]
    )  # fmt: skip
    assert video.status == "completed"
    return video


def downloaded(sdk: OpenAI, video: Video, folder: Path) -> Path:
    path = folder / f"{video.id}.mp4"
    path.write_bytes(sdk.videos.download_content(video.id).read())
    return path


def test_an_extension_is_one_video_of_both(sdk: OpenAI, source: Video, tmp_path: Path) -> None:
    longer = sdk.videos.extend(
        prompt="it jumps",
        seconds="1",  # type: ignore[arg-type]
        video=("dog.mp4", sdk.videos.download_content(source.id).read()),
    )
    assert longer.status in ("queued", "in_progress")
    assert (longer.seconds, longer.size) == ("2.125", "96x64"), "both together, from the start"
    done = sdk.videos.poll(longer.id)
    assert (done.status, done.seconds, done.progress) == ("completed", "2.125", 100)
    before, after = (read(downloaded(sdk, each, tmp_path)) for each in (source, done))
    assert (len(before.frames), len(after.frames)) == (9, 17)
    assert after.duration_s == pytest.approx(2.125, abs=0.01)


def _reference(video: Video) -> dict[str, object]:
    """The SDK's typed `{"id": ...}` raises in the client itself: it goes as a further field."""
    return {"video": {"id": video.id}}


def test_a_finished_video_is_extended_by_its_id(
    sdk: OpenAI, raw: httpx.Client, source: Video
) -> None:
    asked = {"prompt": "it jumps", "seconds": "1", **_reference(source)}
    for sent in ({"json": asked}, {"data": asked | {"video[id]": source.id, "video": ""}}):
        answer = raw.post("/v1/videos/extensions", **sent)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        longer = sdk.videos.poll(answer.json()["id"])
        assert longer.status == "completed"
        assert longer.seconds == "2.125"
        assert longer.remixed_from_video_id == source.id
    same = raw.get(f"/api/jobs/{longer.id}").json()["settings"]
    assert (same["num_inference_steps"], same["quality"], same["model"]) == (2, "high", "pocket")
    further = raw.post("/v1/videos/extensions", json=asked | _reference(longer)).json()
    assert further["seconds"] == "3.125", "an extension can be extended"
    assert sdk.videos.poll(further["id"]).seconds == "3.125"


def test_an_edit_works_over_the_video(
    sdk: OpenAI, raw: httpx.Client, source: Video, tmp_path: Path
) -> None:
    file = downloaded(sdk, source, tmp_path)
    with file.open("rb") as opened:
        edited = sdk.videos.edit(prompt="in oil", video=opened)
    done = sdk.videos.poll(edited.id)
    assert (done.status, done.size, done.seconds) == ("completed", "96x64", "1.125")
    by_id = raw.post("/v1/videos/edits", json={"prompt": "in oil", "strength": 0.3,
                                               **_reference(source)})  # fmt: skip
    assert by_id.status_code == 200, by_id.text
    assert sdk.videos.poll(by_id.json()["id"]).remixed_from_video_id == source.id
    made = raw.get(f"/api/jobs/{by_id.json()['id']}").json()
    assert (made["task"], made["settings"]["strength"]) == ("v2v", 0.3)
    assert made["settings"]["num_inference_steps"] == 2, "as its source"


def test_a_clip_may_be_larger_than_pictures_may(
    sdk: OpenAI, raw: httpx.Client, source: Video
) -> None:
    data = sdk.videos.download_content(source.id).read()
    unused = 2_000_000
    padded = data + unused.to_bytes(4, "big") + b"free" + bytes(unused - 8)
    edited = sdk.videos.edit(prompt="in oil", video=("dog.mp4", padded))
    raw.post(f"/api/jobs/{edited.id}/cancel")
    ended(raw, edited.id)


def test_a_remix_of_an_edit_is_an_edit(sdk: OpenAI, raw: httpx.Client, source: Video) -> None:
    answer = raw.post("/v1/videos/edits", json={"prompt": "in oil", **_reference(source)})
    edited = sdk.videos.poll(answer.json()["id"])
    remix = sdk.videos.poll(sdk.videos.remix(edited.id, prompt="in chalk").id)
    assert (remix.status, remix.remixed_from_video_id) == ("completed", edited.id)
    before, after = (
        raw.get(f"/api/jobs/{each}").json()["settings"] for each in (edited.id, remix.id)
    )
    assert after == before | {"prompt": "in chalk"}


def test_the_native_door_takes_a_clips_id_too(raw: httpx.Client, source: Video) -> None:
    asked = {"prompt": "on", "duration_s": 1, "continue_from": source.id, **QUICK}
    answer = raw.post("/api/generate", json=asked)
    assert answer.status_code == 202, answer.text
    assert ended(raw, answer.json()["job_id"])["result"]["num_frames"] == 17
    over = raw.post("/api/generate", json={"prompt": "oil", "video": source.id, **QUICK})
    assert ended(raw, over.json()["job_id"])["task"] == "v2v"
    bad = raw.post("/api/generate", json={"prompt": "on", "continue_from": "/etc/passwd"})
    is_error(bad, 422, "invalid_input")


def test_a_file_keeps_its_length_and_sound_at_every_door(
    sdk: OpenAI, raw: httpx.Client, tmp_path: Path
) -> None:
    """Its pictures begin late, its sound lasts longer, it runs faster than the model can."""
    where = [(0.1, 0.2), (0.7, 0.8), (1.8, 1.95)]
    times = [Fraction(1, 2) + Fraction(n, 60) for n in range(60)]
    values = [20 + 3 * n for n in range(60)]
    clip = write_timed(tmp_path / "a.mp4", values, times, Fraction(3, 2), sound=bursts(2, where))
    data = clip.read_bytes()
    asked = {"prompt": "on", "duration_s": "1", "num_inference_steps": "2"}
    native = raw.post("/api/generate", data=asked, files={"continue_from": ("a.mp4", data)})
    assert native.status_code == 202, native.text
    extended = sdk.videos.extend(prompt="on", seconds="1", video=("a.mp4", data))  # type: ignore[arg-type]
    first = ended(raw, native.json()["job_id"])
    second = ended(raw, extended.id)
    again = raw.post(  # and once more, by its id
        "/api/generate",
        json={"prompt": "on", "duration_s": 1, "continue_from": extended.id} | QUICK,
    )
    third = ended(raw, again.json()["job_id"])
    over = raw.post("/api/generate", data=asked | {"prompt": "in oil"},
                    files={"video": ("a.mp4", data)})  # fmt: skip
    fourth = ended(raw, over.json()["job_id"])
    for job, lasts_s, until in ((first, 3.0, 3), (second, 3.0, 3), (third, 4.0, 3),
                                (fourth, 1.125, 2)):  # fmt: skip
        assert job["state"] == "succeeded", job
        path = tmp_path / f"{job['job_id']}.mp4"
        path.write_bytes(raw.get(f"/api/result/{job['job_id']}", follow_redirects=True).content)
        assert read(path).duration_s == pytest.approx(lasts_s, abs=0.07)
        assert is_in_time(heard_bursts(path), where[:until]), heard_bursts(path)
    for job in (first, second):
        told = [change["sentence"] for change in job["adjustments"]]
        assert any("frames per second instead of 60: Tiny makes at most 24." in s for s in told)
    assert not [change for change in third["adjustments"] if change["field"] == "fps"]


def test_one_in_the_making_can_be_stopped(sdk: OpenAI, raw: httpx.Client, source: Video) -> None:
    asked = {"prompt": "on", "num_frames": 33, "num_inference_steps": MANY_STEPS}
    answer = raw.post("/v1/videos/extensions", json=asked | _reference(source))
    while sdk.videos.retrieve(answer.json()["id"]).status == "queued":
        time.sleep(0.05)
    raw.post(f"/api/jobs/{answer.json()['id']}/cancel")
    stopped = sdk.videos.poll(answer.json()["id"])
    assert stopped.status == "failed"
    assert stopped.error is not None
    assert stopped.error.code == "cancelled"


def test_a_source_that_is_not_ones_own_or_not_there_is_not_found(
    able: ApiServer, sdk: OpenAI, raw: httpx.Client, source: Video
) -> None:
    asked = {"prompt": "mine", "seconds": "1"}
    for key, video_id in (("somebody-else-0123456789", source.id), (SECRET, "0" * 32),
                          (SECRET, "../../x")):  # fmt: skip
        for door in ("edits", "extensions"):
            answer = raw.post(
                f"/v1/videos/{door}",
                json=asked | {"video": {"id": video_id}},
                headers={"Authorization": f"Bearer {key}"},
            )
            assert answer.status_code == 404, (door, video_id, answer.text)
            assert answer.json()["error"]["code"] == "not_found"
    job_id = raw.post("/api/generate", json={"prompt": "long", **LONG}).json()["job_id"]
    early = raw.post("/v1/videos/edits", json=asked | {"video": {"id": job_id}})
    assert (early.status_code, early.headers["x-should-retry"]) == (409, "false")
    raw.post(f"/api/jobs/{job_id}/cancel")
    ended(raw, job_id)


def test_what_is_missing_or_cannot_be_made_is_said(
    sdk: OpenAI, raw: httpx.Client, source: Video, png: bytes
) -> None:
    own = _reference(source)
    for door, asked, says in (
        ("edits", own, "prompt is empty"),
        ("edits", {"prompt": "oil"}, "Send the video"),
        ("extensions", {"prompt": "on", **own}, "how many seconds"),
        ("extensions", {"prompt": "on", "seconds": "40", **own}, "longest"),
        (
            "extensions",
            {"prompt": "on", "seconds": "1", "model": "words", **own},
            "cannot continue",
        ),
        ("edits", {"prompt": "oil", "model": "words", **own}, "cannot work over"),
    ):
        answer = raw.post(f"/v1/videos/{door}", json=asked)
        assert answer.status_code == 422, (door, asked, answer.text)
        assert says in answer.json()["error"]["message"]
    with pytest.raises(openai.UnprocessableEntityError, match="clip"):
        sdk.videos.edit(prompt="oil", video=("dog.mp4", io.BytesIO(png)))


def test_where_no_model_works_over_clips_it_says_so(server: ApiServer, sdk: OpenAI) -> None:
    with connected(server) as client:
        video = client.videos.create_and_poll(prompt="a dog", extra_body=QUICK)
        data = client.videos.download_content(video.id).read()
        with pytest.raises(openai.UnprocessableEntityError, match="No model here can") as refused:
            client.videos.edit(prompt="oil", video=("dog.mp4", data))
        assert refused.value.code == "task_not_supported"


def test_characters_are_not_supported_and_that_is_said(sdk: OpenAI, png: bytes) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="Characters are not supported"):
        sdk.videos.create_character(name="Rex", video=("rex.mp4", png))
    with pytest.raises(openai.UnprocessableEntityError, match="Characters are not supported"):
        sdk.videos.get_character("char_1")
