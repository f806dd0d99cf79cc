"""The Gradio endpoints, called as `gradio_client` calls them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.e2e.server import Server


@pytest.fixture
def client(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    with_timeout = {"timeout": 60, "trust_env": False}
    connected = Client(
        server.url, verbose=False, analytics_enabled=False, download_files=tmp_path,
        httpx_kwargs=with_timeout,
    )  # fmt: skip
    yield connected
    connected.close()


def test_only_our_endpoints_are_public(client: Client) -> None:
    described = client.view_api(return_format="dict", print_info=False)
    assert isinstance(described, dict)
    assert set(described["named_endpoints"]) == {
        "/text_to_video", "/image_to_video", "/video_to_video", "/models", "/estimate", "/health",
        "/make_clip", "/continue_clip", "/clip_state", "/discard_clip",
        "/make_batch", "/batch_state", "/discard_batch", "/make_again",
        "/start_drafts", "/render_draft", "/compare",
        "/styles", "/final_prompt", "/suggest_prompts", "/make_batch_from_csv",
        "/looks", "/save_look", "/delete_look", "/make_clip_from_look",
        "/share_clip", "/unshare_clip",
        "/edit_clip", "/edit_file", "/clip_operations",
        "/make_film", "/film_state", "/redo_shot", "/cancel_film",
    }  # fmt: skip
    assert described["unnamed_endpoints"] == {}


def test_text_to_video_returns_the_file_and_what_was_used(client: Client) -> None:
    job = client.submit(
        prompt="a dog running to the right in the snow", seed=3, num_inference_steps=4,
        api_name="/text_to_video",
    )  # fmt: skip
    clip, used = job.result(timeout=90)
    assert Path(clip).suffix == ".mp4"
    assert Path(clip).read_bytes()[4:8] == b"ftyp"
    assert used["seed"] == 3
    assert used["num_inference_steps"] == 4
    assert used["duration_s"] == 17 / 8


def test_progress_reaches_the_client(client: Client) -> None:
    job = client.submit(prompt="a cat", api_name="/text_to_video")
    seen: set[str] = set()
    for update in iter(lambda: job.status(), None):
        for unit in update.progress_data or []:
            seen.add(unit.desc or "")
        if job.done():
            break
    job.result(timeout=90)
    assert any(line.startswith("Step ") for line in seen), seen


def test_image_to_video_starts_from_the_picture(client: Client, picture: Path) -> None:
    clip, used = client.predict(
        image=handle_file(str(picture)), prompt="it rolls", num_inference_steps=4, seed=1,
        api_name="/image_to_video",
    )  # fmt: skip
    assert Path(clip).stat().st_size > 0
    assert len(used["image"]) == 64
    assert used["width"] > used["height"], "the shape follows the picture"


def test_bad_input_is_a_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="the prompt is empty"):
        client.predict(prompt=" ", api_name="/text_to_video")
    with pytest.raises(AppError, match="guidance must be between"):
        client.predict(prompt="a dog", guidance_scale=20, api_name="/text_to_video")


def test_models_estimate_and_health(client: Client) -> None:
    models = client.predict(api_name="/models")
    assert [model["id"] for model in models] == ["pocket"]
    estimate = client.predict(num_frames=16, api_name="/estimate")
    assert estimate["low"] <= estimate["seconds"] <= estimate["high"]
    assert estimate["used"]["num_frames"] == 17
    assert estimate["used"]["adjustments"][0]["field"] == "num_frames"
    assert client.predict(api_name="/health")["state"] in ("starting", "ready", "busy")
