"""The same pictures at every door that programs use."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file

from tests.api.conftest import ApiServer, ended, is_error
from tests.media.formats import MODES, sample

PICTURES = {format: sample(format, MODES[format][0] if format == "GIF" else "RGB").data
            for format in MODES if "RGB" in MODES[format] or format == "GIF"}  # fmt: skip
QUICK = {"num_inference_steps": 1}
NEW = ("AVIF", "HEIF", "TIFF")


def as_uri(data: bytes, kind: str = "image/png;name=x.png") -> str:
    return f"data:{kind};base64,{base64.encodebytes(data).decode()}"


@pytest.mark.parametrize("format", PICTURES)
def test_a_form_and_json_take_every_format(me: httpx.Client, format: str) -> None:
    data = PICTURES[format]
    form = me.post("/api/estimate", data={"prompt": "a"}, files={"image": ("a.jpg", data)})
    inline = me.post("/api/estimate", json={"prompt": "a", "image": as_uri(data)})
    pictures = [answer.json()["used"]["image"] for answer in (form, inline)]
    assert pictures[0] == pictures[1] and len(pictures[0]) == 64


@pytest.mark.parametrize("format", NEW)
def test_openais_door_and_the_task_queues_take_phone_pictures(
    me: httpx.Client, format: str
) -> None:
    data = PICTURES[format]
    made = [
        me.post("/v1/videos", data={"prompt": "a", **QUICK}, files={"input_reference": data}),
        me.post("/v1/videos", json={"prompt": "a", **QUICK,
                                    "input_reference": {"image_url": as_uri(data, "IMAGE/HEIC")}}),
        me.post("/generate", data=QUICK, files={"file": ("a.bin", data)}),
    ]  # fmt: skip
    jobs = [answer.json().get("id") or answer.json()["task_id"] for answer in made]
    views = [ended(me, job) for job in jobs]
    assert [view["state"] for view in views] == ["succeeded"] * 3
    assert len({view["settings"]["image"] for view in views}) == 1


def test_gradio_client_takes_phone_pictures(server: ApiServer, tmp_path: Path) -> None:
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(PICTURES["HEIF"])
    client = Client(server.url, verbose=False, analytics_enabled=False, download_files=tmp_path,
                    httpx_kwargs={"timeout": 60, "trust_env": False})  # fmt: skip
    try:
        clip, used = client.predict(
            image=handle_file(path), prompt="a", num_inference_steps=1, api_name="/image_to_video"
        )
    finally:
        client.close()
    assert Path(clip).read_bytes()[4:8] == b"ftyp" and used["image"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawing"),
        (b"%PDF-1.7", "a PDF"),
        (PICTURES["HEIF"][:300], "damaged"),
        (b"", "Use a PNG"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_can_be_used(
    me: httpx.Client, data: bytes, says: str
) -> None:
    for answer in (
        me.post("/api/estimate", data={"prompt": "a"}, files={"image": ("a.png", data)}),
        me.post("/api/estimate", json={"prompt": "a", "image": as_uri(data)}),
    ):
        assert says in is_error(answer, 422, "invalid_image")["message"]
    refused: Any = me.post("/v1/videos", json={"prompt": "a", "input_reference": as_uri(data)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_image")
    assert says in refused.json()["message"]
