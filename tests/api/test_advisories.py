"""The known holes of what we are built on, each tried at our own doors.

One case for every advisory that can be said in requests; the others are held by the version floors
of tests/test_supply_chain.py, or by the absence of what they are about, and say so here.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.api.conftest import ApiServer, make
from tests.api.test_paths import Canary, is_quiet, raw_get
from tests.api.test_paths import canary as canary
from tests.goals import Goal
from tests.media.malformed import saved, scene

EVIL = "https://evil.example"
DONE_S = 20.0
"""Far more than any of them should take, on a busy machine too."""


class Place(NamedTuple):
    server: ApiServer
    client: httpx.Client
    canary: Canary

    def endpoint(self, name: str, **body: Any) -> str:
        """All that a Gradio endpoint says."""
        asked = self.client.post(f"/gradio_api/call/v2/{name}", json=body)
        if not asked.is_success:
            return asked.text
        return self.client.get(f"/gradio_api/call/{name}/{asked.json()['event_id']}").text

    def refuses(self, *paths: str) -> None:
        for path in paths:
            status, body = raw_get(self.server, path)
            assert 400 <= status < 500, (path, status)
            assert is_quiet(body, self.canary), path

    def uploaded(self, name: str, data: bytes, kind: str) -> httpx.Response:
        sent = self.client.post("/gradio_api/upload", files={"files": (name, data, kind)})
        (path,) = sent.json()
        return self.client.get(f"/gradio_api/file={path}")


Replay = Callable[[Place], None]
REPLAYS: dict[str, Replay] = {}


def replays(*names: str) -> Callable[[Replay], Replay]:
    def keep(replay: Replay) -> Replay:
        REPLAYS.update(dict.fromkeys(names, replay))
        return replay

    return keep


def file_data(path: object, **more: Any) -> dict[str, Any]:
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}, **more}


# -- reading files -------------------------------------------------------------------------------


@replays("CVE-2023-51449", "CVE-2024-47164", "CVE-2025-23042", "13687")
def by_the_file_route(at: Place) -> None:
    there, data = at.canary.outside, at.canary.data
    for head in ("/file=", "/gradio_api/file=", "/gradio_api/file/", "/file/"):
        for path in (
            str(there), f"{data}/../{there.name}", f"{data.parent}/gradio/../{there.name}",
            str(there).upper(), f"{data}/kinora.db", f"{data}/KINORA.DB", f"{data}/secret",
            f"{data.parent}/./gradio/x/..//..//{there.name}", f"file://{there}",
            "/proc/self/environ",
        ):  # fmt: skip
            at.refuses(f"{head}{path}")


@replays("CVE-2024-0964", "CVE-2024-4941", "CVE-2024-47868")
def by_a_json_value(at: Place) -> None:
    there = at.canary.outside
    for field in ("loras", "prompt", "model", "negative_prompt"):
        for value in (file_data(there), [file_data(there)], {"a": file_data(there)}):
            said = at.endpoint("text_to_video", **{"prompt": "a", field: value})
            assert is_quiet(said.encode(), at.canary)
        said = at.endpoint("estimate", prompt=str(file_data("/etc/hostname")))
        assert "/gradio_api/file=" not in said
    copies = (at.canary.data.parent / "gradio").rglob("outside.txt")
    assert not list(copies), "Gradio copied it to where it hands files out"


@replays("CVE-2024-1728", "CVE-2024-51751")
def by_a_file_component(at: Place) -> None:
    for path in (at.canary.outside, at.canary.inside, "/etc/passwd", "../outside.txt"):
        for field in ("image", "video"):
            said = at.endpoint(f"{field}_to_video", **{field: file_data(path), "prompt": "a"})
            assert "event: complete" not in said
            assert is_quiet(said.encode(), at.canary)
            assert str(path) not in said, "it tells what it was asked for"


@replays("CVE-2024-47166")
def by_a_custom_component(at: Place) -> None:
    for up in ("..", "../..", "%2e%2e/%2e%2e"):
        at.refuses(f"/custom_component/x/client/component/{up}/outside.txt")
        at.refuses(f"/gradio_api/custom_component/x/client/component/{up}/outside.txt")


@replays("CVE-2026-28414")
def by_a_windows_path(at: Place) -> None:
    for path in (
        "C:\\\\Windows\\\\win.ini",
        "C:/Windows/win.ini",
        "\\\\\\\\host\\\\share",
        "//?/C:/x",
    ):
        at.refuses(f"/gradio_api/file={path}", f"/static/{path}", f"/assets/{path}")


@replays("GHSA-j36p-7w88-g82j")
def by_a_file_explorer(at: Place) -> None:
    for fn in ("ls", "preprocess", "__init__"):
        body = {"session_hash": "x", "component_id": 1, "fn_name": fn, "data": ["..", "/"]}
        for path in ("/gradio_api/component_server", "/component_server/"):
            assert at.client.post(path, json=body).status_code in (404, 405)


# -- fetching, and leading elsewhere -------------------------------------------------------------


@replays("CVE-2024-47167", "CVE-2024-48052", "safehttpx")
def by_an_address_for_a_file(at: Place) -> None:
    for url in (f"{EVIL}/a.png", "http://169.254.169.254/latest", "http://127.0.0.1:22/"):
        for data in (file_data(url), file_data("a", url=url), file_data(url, url=url)):
            said = at.endpoint("image_to_video", image=data, prompt="a")
            assert "event: complete" not in said


@replays("CVE-2026-28416", "CVE-2026-48545", "13593")
def by_the_proxy(at: Place) -> None:
    for url in (EVIL, "http://127.0.0.1:22", "https://huggingface.co/x", "https://a.hf.space/x"):
        for head in ("/proxy=", "/gradio_api/proxy=", "/gradio_api/file=", "/file="):
            at.refuses(f"{head}{url}", f"{head}{url.replace('https', 'HTTPS')}")


@replays("CVE-2024-4940", "CVE-2024-8021", "CVE-2026-28415")
def by_a_redirect(at: Place) -> None:
    for path in (
        "//evil.example", f"/file={EVIL}", f"/logout?_target_url={EVIL}", "//evil.example/%2f..",
        f"/login/huggingface?_target_url={EVIL}", f"/login/callback?_target_url={EVIL}",
        "/\\\\evil.example", f"/?__theme={EVIL}",
    ):  # fmt: skip
        answer = at.client.get(f"{at.server.url}{path}", follow_redirects=False)
        assert "evil" not in answer.headers.get("location", ""), path
        assert answer.status_code < 500, path


@replays("CVE-2024-47870", "CVE-2026-48710")
def by_the_host_header(at: Place) -> None:
    for name in ("Host", "X-Forwarded-Host", "X-Gradio-Server", "X-Forwarded-Proto"):
        at.client.get("/config", headers={name: "evil.example"})
    assert "evil.example" not in at.client.get("/config").text


# -- other sites, and what is shown --------------------------------------------------------------


@replays("CVE-2024-1727", "CVE-2024-47084", "CVE-2024-47165")
def by_another_sites_page(at: Place) -> None:
    for origin in (EVIL, "null", "http://localhost.evil.example", "http://127.0.0.1"):
        headers = {"Origin": origin, "Cookie": f"kinora_visitor={'a' * 32}"}
        for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/call/health"):
            answer = at.client.post(path, headers=headers, files={"files": ("a.png", b"x")})
            assert answer.status_code == 403, (origin, path)
            assert answer.headers.get("access-control-allow-origin") in (None, "")


@replays("CVE-2024-47872", "16 SVG")
def by_a_page_that_was_uploaded(at: Place) -> None:
    script = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>1</script></svg>"
    for name, kind in (
        ("a.svg", "image/svg+xml"),
        ("a.html", "text/html"),
        ("a.js", "text/javascript"),
    ):
        answer = at.uploaded(name, script, kind)
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"] == "application/octet-stream"


@replays("CVE-2025-48889", "CVE-2024-10624", "CVE-2024-10648", "CVE-2024-47871")
def by_parts_that_are_not_there(at: Place) -> None:
    config = at.client.get("/config").json()
    kinds = {each["type"] for each in config["components"]}
    kept_away = {"datetime", "audio", "dataframe", "fileexplorer", "downloadbutton", "flagging"}
    assert not kinds & kept_away
    assert not [each for each in config["dependencies"] if "flag" in str(each["api_name"])]
    assert not config.get("share_url")


# -- filling memory, disk and time ---------------------------------------------------------------


@replays("CVE-2024-8966", "CVE-2026-40347", "CVE-2026-42561", "CVE-2026-53539", "CVE-2025-54121")
def by_a_strange_form(at: Place) -> None:
    line = b"\r\n"
    part = (
        b'Content-Disposition: form-data; name="image"; filename="a.png"' + line * 2 + b"x" + line
    )
    bodies = [
        ("b" * 50_000, b"--" + b"b" * 50_000 + line + part),
        ("b", b"-" * 3_000_000 + line + b"--b" + line + part),
        ("b", b"--b" + line + part + b"--b--" + b"-" * 3_000_000),
        ("b", b"--b" + line + b"".join(b"h%d: x\r\n" % n for n in range(50_000)) + part + b"--b--"),
        ("b", (b"--b" + line + part) * 20_000 + b"--b--"),
        ("b", b"\r" * 2_000_000),
        ("", b"--" + line + part + b"----"),
    ]
    for path in ("/api/generate", "/gradio_api/upload", "/v1/videos"):
        for boundary, body in bodies:
            kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            answer = at.client.post(path, content=body, headers=kind)
            assert answer.status_code < 500, (path, len(boundary), answer.text)


@replays("CVE-2026-54283")
def by_a_million_fields(at: Place) -> None:
    body = b"&".join(b"a%d=1" % n for n in range(1_000_000))
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for path in ("/api/generate", "/v1/videos", "/generate"):
        assert 400 <= at.client.post(path, content=body, headers=kind).status_code < 500


@replays("CVE-2025-62727")
def by_a_million_ranges(at: Place) -> None:
    job_id = make(at.client)["job_id"]
    for ranges in ("0-," * 1_500 + "0-", ",".join(f"{n}-{n}" for n in range(0, 9_000, 2))):
        answer = at.client.get(f"/api/result/{job_id}", headers={"Range": f"bytes={ranges}"})
        assert answer.status_code == 200


@replays("CVE-2024-10569")
def by_a_zip_bomb(at: Place) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(30):
            archive.writestr(f"{n}.png", bytes(60_000_000))
    answer = at.client.post("/api/batches", files={"zip": ("a.zip", packed.getvalue())})
    assert answer.status_code in (413, 422)


@replays("CVE-2026-24486")
def by_a_file_name(at: Place) -> None:
    picture = saved(scene(), "PNG")
    for name in ("../../outside.png", "/var/outside.png", "..\\outside.png", "a\0.png", "a" * 400):
        sent = at.client.post("/gradio_api/upload", files={"files": (name, picture)})
        assert sent.status_code < 500
        if sent.is_success:
            assert Path(sent.json()[0]).resolve().is_relative_to(at.canary.data.parent / "gradio")


@replays("CVE-2026-42311", "CVE-2026-59203")
def by_a_picture_of_another_kind(at: Place) -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%ImageData: 9 9 8 3 0 1 1\n" * 50
    for data in (b"8BPS\0\1" + bytes(6) + b"\0\3" + b"\xff" * 5000, eps, saved(scene(), "EPS")):
        for path in ("/api/generate", "/generate"):
            answer = at.client.post(path, files={"image": ("a.png", data)})
            assert answer.status_code == 422
            assert answer.json()["error"] == "invalid_image"


# ------------------------------------------------------------------------------------------------

BY_VERSION = {
    "CVE-2024-47869": "a comparison in constant time; ours is hmac.compare_digest",
    "CVE-2026-111497": "brotli's floor",
    "CVE-2026-48817": "starlette's floor",
    "CVE-2026-48818": "starlette's floor",
    "CVE-2026-54059": "Pillow's floor",
    "CVE-2026-1839": "transformers' floor; no code of a repository is run",
    "CVE-2026-5241": "transformers' floor",
    "CVE-2026-9856": "transformers' floor",
    "CVE-2026-44513": "diffusers' floor; remote code is off",
    "CVE-2026-45804": "diffusers' floor; remote code is off",
    "CVE-2025-32434": "torch's floor; safetensors only",
    "CVE-2025-2999": "torch's floor",
}
"""Nothing that a request could say; tests/test_supply_chain.py holds the versions."""


@pytest.mark.slow
@pytest.mark.goal("G12")
@pytest.mark.parametrize("name", REPLAYS)
def test_a_known_hole_is_none_here(
    name: str, server: ApiServer, me: httpx.Client, canary: Canary, goal: Goal
) -> None:
    began = time.monotonic()
    REPLAYS[name](Place(server, me, canary))
    goal.time(f"{name}: all its requests", time.monotonic() - began, at_most=DONE_S)
    assert me.get("/health").is_success


@pytest.mark.slow
def test_a_head_without_end_is_cut_off(me: httpx.Client) -> None:
    """uvicorn answers 400 and hangs up. What a client still sends then resets the connection, so
    the answer does not always arrive."""
    kind = {"Content-Type": "multipart/form-data; boundary=" + "b" * 500_000}
    for path in ("/api/generate", "/gradio_api/upload", "/v1/videos"):
        try:
            status = me.post(path, content=b"x" * 70_000, headers=kind).status_code
        except httpx.TransportError:
            status = 400
        assert status == 400
    assert me.get("/health").is_success


@pytest.mark.goal("G12")
def test_every_advisory_is_replayed_or_held_by_a_version(goal: Goal) -> None:
    assert not set(REPLAYS) & set(BY_VERSION)
    goal.count("advisories replayed", len(REPLAYS), at_least=40)
    goal.count("advisories held by version floors", len(BY_VERSION), at_least=12)
