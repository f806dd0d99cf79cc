"""`/v1/videos`, driven by the official openai SDK."""

from __future__ import annotations

import asyncio
import base64
import io
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import httpx2
import openai
import pytest
from openai import OpenAI
from PIL import Image

from tests.api.conftest import ApiServer, ended, running
from tests.media.provenance.test_signing_files import validated

SECRET = f"openai-sdk-{time.time_ns()}"
QUICK = {"num_inference_steps": 2}

pytestmark = pytest.mark.filterwarnings("ignore:.*Sora API.*:DeprecationWarning")


@pytest.fixture
def sdk(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAI]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with OpenAI(base_url=f"{server.url}/v1", api_key=SECRET, max_retries=0) as client:
            yield client


@pytest.fixture
def raw(server: ApiServer) -> Iterator[httpx.Client]:
    """The same caller without the SDK."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60) as client:
        yield client


def test_create_and_poll_and_download(sdk: OpenAI, tmp_path: Path) -> None:
    video = sdk.videos.create_and_poll(prompt="a dog in the snow", extra_body=QUICK)
    assert video.status == "completed"
    assert (video.object, video.progress, video.error) == ("video", 100, None)
    assert (video.size, video.seconds, video.model) == ("64x64", "1.125", "pocket")
    assert video.completed_at is not None
    assert video.completed_at >= video.created_at
    assert sdk.videos.download_content(video.id).read()[4:8] == b"ftyp"
    still = Image.open(
        io.BytesIO(sdk.videos.download_content(video.id, variant="thumbnail").read())
    )
    assert still.size == (64, 64)
    sheet = sdk.videos.download_content(video.id, variant="spritesheet").read()
    assert Image.open(io.BytesIO(sheet)).size == (5 * 160, 2 * 160), "9 frames, 5 in a row"
    (tmp_path / "sheet.jpg").write_bytes(sheet)
    assert validated(tmp_path / "sheet.jpg")["validation_state"] == "Valid"


def test_size_seconds_and_our_own_settings_as_form_strings(sdk: OpenAI) -> None:
    video = sdk.videos.create(
        prompt="a dog",
        size="96x64",  # type: ignore[arg-type]
        seconds="2",  # type: ignore[arg-type]
        extra_body={"seed": 7, "num_inference_steps": 3, "negative_prompt": "cats", "fps": 8},
    )
    assert video.status in ("queued", "in_progress")
    assert video.size == "96x64"
    assert video.seconds == "2.125", "17 frames, which the model can make"
    assert video.model_extra is not None
    assert video.model_extra["seed"] == 7
    assert sdk.videos.poll(video.id).status == "completed"


def test_an_input_reference_is_the_first_picture(
    sdk: OpenAI, raw: httpx.Client, png: bytes
) -> None:
    video = sdk.videos.create_and_poll(
        prompt="it rolls", input_reference=("ball.png", png), extra_body=QUICK
    )
    assert video.status == "completed"
    assert raw.get(f"/api/jobs/{video.id}").json()["task"] == "i2v"
    with pytest.raises(openai.UnprocessableEntityError, match="nothing is fetched"):
        sdk.videos.create(
            prompt="it rolls",
            extra_body={"input_reference": {"image_url": "https://example.org/ball.png"}},
        )


def test_states_are_true_and_progress_is_real(sdk: OpenAI, raw: httpx.Client) -> None:
    busy = running(raw)
    waiting = sdk.videos.create(prompt="behind it", extra_body=QUICK)
    assert sdk.videos.retrieve(waiting.id).status == "queued"
    seen: list[int] = []
    while len(set(seen)) < 4:
        now = sdk.videos.retrieve(busy)
        assert now.status == "in_progress"
        seen.append(now.progress)
    assert seen == sorted(seen)
    assert 0 < seen[-1] < 100
    answer = sdk.videos.with_raw_response.retrieve(busy)
    assert 250 <= int(answer.headers["openai-poll-after-ms"]) <= 2000
    raw.post(f"/api/jobs/{busy}/cancel")
    assert sdk.videos.poll(waiting.id).status == "completed"


def test_a_discarded_video_has_failed_and_says_why(sdk: OpenAI, raw: httpx.Client) -> None:
    job_id = running(raw)
    raw.post(f"/api/jobs/{job_id}/cancel")
    video = sdk.videos.poll(job_id)
    assert video.status == "failed"
    assert video.error is not None
    assert video.error.code == "cancelled"
    with pytest.raises(openai.UnprocessableEntityError, match="discarded"):
        sdk.videos.download_content(job_id)


def test_delete_stops_a_running_video_and_it_is_gone(sdk: OpenAI, raw: httpx.Client) -> None:
    job_id = running(raw)
    gone = sdk.videos.delete(job_id)
    assert (gone.id, gone.deleted, gone.object) == (job_id, True, "video.deleted")
    with pytest.raises(openai.NotFoundError):
        sdk.videos.retrieve(job_id)
    assert raw.get("/health").json()["running"] == 0, "the device is free"


def test_remix_keeps_all_but_the_prompt(sdk: OpenAI, raw: httpx.Client, tmp_path: Path) -> None:
    first = sdk.videos.create_and_poll(prompt="a dog", extra_body=QUICK | {"seed": 21})
    remix = sdk.videos.remix(first.id, prompt="a cat")
    assert remix.remixed_from_video_id == first.id
    assert sdk.videos.poll(remix.id).status == "completed"
    before, after = (
        raw.get(f"/api/jobs/{each}").json()["settings"] for each in (first.id, remix.id)
    )
    assert after == before | {"prompt": "a cat"}
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(sdk.videos.download_content(remix.id).content)
    assert validated(clip)["validation_state"] == "Valid"
    with pytest.raises(openai.UnprocessableEntityError, match="prompt is empty"):
        sdk.videos.remix(first.id, prompt="")


def test_a_remix_has_the_style_and_the_wildcards_of_its_source(
    sdk: OpenAI, raw: httpx.Client
) -> None:
    typed = QUICK | {"style": "film-noir", "negative_prompt": "{fog|rain}", "wildcards": True,
                     "wildcard_seed": 3, "guidance_scale": 3, "seed": 5}  # fmt: skip
    first = sdk.videos.create(prompt="a {red|green} dog", extra_body=typed)
    remix = sdk.videos.remix(first.id, prompt="a cat")
    assert sdk.videos.poll(remix.id).status == "completed"
    before, after = (raw.get(f"/api/jobs/{each}").json() for each in (first.id, remix.id))
    assert after["settings"]["prompt"].startswith("a cat, film noir, black and white")
    assert after["settings"]["negative_prompt"] == before["settings"]["negative_prompt"]
    assert after["prompt_origin"] == before["prompt_origin"] | {"prompt": "a cat"}
    plain = sdk.videos.with_raw_response.remix(first.id, prompt="a cow", extra_body={"style": None})
    of_plain = raw.get(f"/api/jobs/{plain.parse().id}").json()
    assert of_plain["settings"]["prompt"] == "a cow"
    again = sdk.videos.remix(remix.id, prompt="a hen")
    of_again = raw.get(f"/api/jobs/{again.id}").json()
    assert of_again["prompt_origin"] == before["prompt_origin"] | {"prompt": "a hen"}
    for each in (of_plain, of_again):
        raw.post(f"/api/jobs/{each['job_id']}/cancel")


def test_lists_have_pages_in_both_orders(server: ApiServer, sdk: OpenAI) -> None:
    with OpenAI(base_url=f"{server.url}/v1", api_key=f"lists-{time.time_ns()}") as lists:
        made = [lists.videos.create(prompt="a", extra_body=QUICK).id for _ in range(5)]
        assert [video.id for video in lists.videos.list(limit=2)] == made[::-1]
        assert [video.id for video in lists.videos.list(limit=2, order="asc")] == made
        page = lists.videos.list(limit=3)
        assert (len(page.data), page.has_more, page.last_id) == (3, True, made[2])
        for each in made:
            lists.videos.delete(each)
        assert lists.videos.list().data == []


def test_the_same_request_is_given_again(sdk: OpenAI) -> None:
    asked = QUICK | {"seed": 77}
    sdk.videos.create_and_poll(prompt="twice", extra_body=asked)
    again = sdk.videos.create(prompt="twice", extra_body=asked)
    assert again.status == "completed"
    assert again.model_extra is not None
    assert again.model_extra["reused"]


def test_a_name_of_ones_own_makes_a_video_once(sdk: OpenAI) -> None:
    """The SDK sends none by itself, and tries again after a cut."""
    by_header = {"extra_headers": {"Idempotency-Key": "once-by-header"}, "extra_body": QUICK}
    by_field = {"extra_body": QUICK | {"idempotency_key": "once-by-field"}}
    for how in (by_header, by_field):
        first, again = (sdk.videos.create(prompt="once", **how) for _ in range(2))  # type: ignore[arg-type]
        assert first.id == again.id
        with pytest.raises(openai.UnprocessableEntityError, match="another request"):
            sdk.videos.create(prompt="twice", **how)  # type: ignore[arg-type]


def test_what_a_form_can_say_is_understood(sdk: OpenAI, raw: httpx.Client, png: bytes) -> None:
    """Numbers, booleans and nested values all come as strings; a reference by its data: URI."""
    uri = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    video = sdk.videos.create(
        prompt="it rolls",
        extra_body=QUICK
        | {
            "input_reference": {"image_url": uri},
            "focus": {"x": 0.25, "y": 1},
            "allow_fallback": False,
            "reuse": False,
            "guidance_scale": 2.5,
            "loras": "[]",
        },
    )
    made = raw.get(f"/api/jobs/{video.id}").json()
    assert made["task"] == "i2v"
    assert made["settings"]["focus"] == {"x": 0.25, "y": 1.0}
    assert (made["settings"]["allow_fallback"], made["settings"]["guidance_scale"]) == (False, 2.5)
    assert sdk.videos.poll(video.id).status == "completed"


def test_a_body_of_json_does_as_well(raw: httpx.Client) -> None:
    answer = raw.post("/v1/videos", json={"prompt": "a dog", "seconds": "1", "size": "64x64"})
    assert answer.status_code == 200, answer.text
    assert ended(raw, answer.json()["id"])["state"] == "succeeded"


def test_a_download_is_streamed_to_a_file(sdk: OpenAI, raw: httpx.Client, tmp_path: Path) -> None:
    video = sdk.videos.create_and_poll(prompt="a dog", extra_body=QUICK)
    with sdk.videos.with_streaming_response.download_content(video.id) as answer:
        answer.stream_to_file(tmp_path / "clip.mp4")
    whole = (tmp_path / "clip.mp4").read_bytes()
    assert whole[4:8] == b"ftyp"
    part = raw.get(f"/v1/videos/{video.id}/content", headers={"Range": "bytes=0-99"})
    assert (part.status_code, part.content) == (206, whole[:100])


def test_the_async_client_works_too(server: ApiServer, sdk: OpenAI) -> None:
    async def run() -> None:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key=f"async-{time.time_ns()}", max_retries=0
        ) as client:
            made = await client.videos.create_and_poll(prompt="a dog", extra_body=QUICK)
            assert made.status == "completed"
            assert [video.id async for video in await client.videos.list(limit=1)] == [made.id]
            content = await client.videos.download_content(made.id, variant="thumbnail")
            assert content.content[:2] == b"\xff\xd8"
            assert (await client.videos.delete(made.id)).deleted

    asyncio.run(run())


def test_a_definite_no_is_not_tried_again(server: ApiServer, raw: httpx.Client) -> None:
    """The SDK repeats 409 and 5xx twice unless it is told not to: it is, and says so once."""
    asked: list[str] = []
    job_id = running(raw)
    with (
        OpenAI(
            base_url=f"{server.url}/v1",
            api_key=SECRET,
            max_retries=2,
            http_client=httpx2.Client(
                trust_env=False, event_hooks={"request": [lambda r: asked.append(str(r.url))]}
            ),
        ) as patient,
        pytest.raises(openai.ConflictError),
    ):
        patient.post(
            "/videos/edits",
            body={"prompt": "in oil", "video": {"id": job_id}},
            cast_to=httpx2.Response,
        )
    assert len(asked) == 1
    raw.post(f"/api/jobs/{job_id}/cancel")
    ended(raw, job_id)


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"prompt": ""}, openai.UnprocessableEntityError, "prompt is empty"),
        ({"prompt": "a", "model": "sora-2"}, openai.NotFoundError, "no model called"),
        ({"prompt": "a", "size": "1280x720"}, openai.UnprocessableEntityError, "32 to 128"),
        ({"prompt": "a", "size": "big"}, openai.UnprocessableEntityError, "width first"),
        ({"prompt": "a", "seconds": "45"}, openai.UnprocessableEntityError, "longest"),
        ({"prompt": "a", "extra_body": {"style": "x"}}, openai.UnprocessableEntityError, "style"),
        ({"prompt": "a", "input_reference": b"no"}, openai.UnprocessableEntityError, "picture"),
    ],
)
def test_what_cannot_be_made_is_refused_in_the_sdks_words(
    sdk: OpenAI, asked: dict[str, object], error: type[openai.APIStatusError], says: str
) -> None:
    with pytest.raises(error, match=says) as refused:
        sdk.videos.create(**asked)  # type: ignore[arg-type]
    assert refused.value.code
    assert isinstance(refused.value.body, dict)
    assert says in refused.value.body["message"]


@pytest.mark.parametrize("seconds", ["4", "8", "12"])
def test_seconds_beyond_what_the_model_makes_at_once_are_made_in_parts(
    sdk: OpenAI, seconds: str
) -> None:
    """The tiny model makes 33 frames at 8 frames a second at once."""
    video = sdk.videos.create(prompt="a", seconds=seconds, extra_body=QUICK)  # type: ignore[arg-type]
    assert float(video.seconds or 0) == pytest.approx(float(seconds), abs=0.2)
    sdk.videos.delete(video.id)


def test_seconds_beyond_the_servers_limit_are_refused_with_the_longest(sdk: OpenAI) -> None:
    seconds = "45"
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        sdk.videos.create(prompt="a", seconds=seconds)  # type: ignore[arg-type]
    assert (refused.value.code, refused.value.param) == ("too_many_frames", "seconds")
    assert "30 s is the longest" in refused.value.message
    assert f"asked for {seconds} s" in refused.value.message
    assert isinstance(refused.value.response.json()["details"]["longest_s"], float)


def test_all_videos_are_deleted_while_they_are_listed(server: ApiServer) -> None:
    """As people clean up with the SDK: each page's last one is gone when the next is asked for."""
    key = f"cleaning-up-{time.time_ns()}"
    for order in ("desc", "asc"):
        with OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
            for n in range(5):
                client.videos.create(prompt="a", extra_body={**QUICK, "seed": n})
            seen = []
            for video in client.videos.list(limit=2, order=order):
                assert client.videos.delete(video.id).deleted
                seen.append(video.id)
            assert len(set(seen)) == len(seen) == 5
            assert list(client.videos.list()) == []
            assert list(client.videos.list(after=seen[2])) == []
            with pytest.raises(openai.NotFoundError):
                client.videos.list(after="0" * 32)
    with (
        OpenAI(base_url=f"{server.url}/v1", api_key=SECRET, max_retries=0) as stranger,
        pytest.raises(openai.NotFoundError),
    ):
        stranger.videos.list(after=seen[0])


def test_content_that_is_not_there_yet_is_not_found(sdk: OpenAI, raw: httpx.Client) -> None:
    job_id = running(raw)
    with pytest.raises(openai.NotFoundError, match="not finished"):
        sdk.videos.download_content(job_id)
    raw.post(f"/api/jobs/{job_id}/cancel")
    ended(raw, job_id)


def test_another_key_sees_nothing(server: ApiServer, sdk: OpenAI) -> None:
    mine = sdk.videos.create_and_poll(prompt="mine", extra_body=QUICK)
    with OpenAI(base_url=f"{server.url}/v1", api_key="somebody-else-0123456789") as stranger:
        for call in (stranger.videos.retrieve, stranger.videos.delete,
                     stranger.videos.download_content):  # fmt: skip
            with pytest.raises(openai.NotFoundError):
                call(mine.id)
    with (
        OpenAI(base_url=f"{server.url}/v1", api_key="test") as nameless,
        pytest.raises(openai.AuthenticationError, match="secret of your own"),
    ):
        nameless.videos.list()
