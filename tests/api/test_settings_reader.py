"""The settings of a clip at the API's door: from a file, from a link."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from media.encode import encode
from tests.api.conftest import is_error
from tests.api.test_share_links import HIDDEN_WORDS, Maker, anyone, maker  # noqa: F401  # fixtures
from tests.finished import frames_of

READ = "/api/settings/read"


def test_a_file_is_read_as_a_body_and_as_a_form(maker: Maker, anyone: TestClient) -> None:  # noqa: F811
    clip = maker.service.clip_path(maker.clip(prompt="a dog", seed=12)).read_bytes()
    body = anyone.post(READ, content=clip, headers={"Content-Type": "video/mp4"})
    form = anyone.post(READ, files={"file": ("../../a.mp4", clip, "video/mp4")})
    assert body.json() == form.json()
    found = body.json()
    assert (found["found"], found["task"], found["notes"]) == ("kinora", "t2v", [])
    assert (found["settings"]["prompt"], found["settings"]["seed"]) == ("a dog", 12)
    estimate = anyone.post("/api/estimate", json=found["settings"])
    assert estimate.status_code == 200, "it can be sent again as it is"


def test_a_clip_without_settings_and_what_is_no_clip(
    maker: Maker,  # noqa: F811
    anyone: TestClient,  # noqa: F811
    tmp_path: Path,
) -> None:
    silent = encode(frames_of(32, 32), tmp_path / "a.mp4", fps=8).path.read_bytes()
    found = anyone.post(READ, content=silent).json()
    assert found == {"found": None, "task": None, "settings": {}, "notes": []}
    for wrong in (b"", b"GIF89a" + bytes(40), b"<html>"):
        is_error(anyone.post(READ, content=wrong), 422, "invalid_video")
    is_error(anyone.post(READ, files={"other": (None, "a.mp4")}), 422, "invalid_input")


def test_a_link_gives_what_its_maker_shows_and_nothing_else(
    maker: Maker,  # noqa: F811
    anyone: TestClient,  # noqa: F811
) -> None:
    job_id = maker.clip(prompt=HIDDEN_WORDS, seed=5)
    shared = maker.share(job_id, hide_prompt=True)
    answer = anyone.post(READ, json={"link": shared["url"]})
    assert answer.json()["settings"]["seed"] == 5
    assert HIDDEN_WORDS not in answer.text and job_id not in answer.text
    own = {"link": f"http://kinora.test/api/jobs/{job_id}"}
    assert maker.http.post(READ, json=own).json()["settings"]["prompt"] == HIDDEN_WORDS
    is_error(anyone.post(READ, json=own), 404, "not_found")
    for link in ("http://kinora.test/c/" + "x" * 22, "https://elsewhere.test/", "/etc/passwd"):
        is_error(anyone.post(READ, json={"link": link}), 404, "not_found")
    for wrong in ({}, {"link": 3}, {"link": "x" * 3000}):
        is_error(anyone.post(READ, json=wrong), 422, "invalid_input")
