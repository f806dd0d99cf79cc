"""Makes a data folder with the code of an earlier version, for tests/jobs/test_old_data_folders.py.

    git archive VERSION | tar x -C CHECKOUT
    python tests/data_folders/make.py CHECKOUT tests/data_folders/data-folder-VERSION.tar.xz

Runs `app.py` of that checkout with the tests' tiny model and uses only what every version has: the
HTTP API, the page's uploads and the names of settings. The archive has the folder as `data/` and,
in `facts.json`, the ids of what is in it.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

VISITOR = "0123456789abcdef0123456789abcdef"
API_KEY = "an-api-key-of-the-tests"  # pragma: allowlist secret
IDEMPOTENCY_KEY = "one-request"
SMALL = {"width": 32, "height": 32, "num_frames": 5}
REQUEST = {"prompt": "a dog", "seed": 3, **SMALL}
PAGE = {"Cookie": f"kinora_visitor={VISITOR}", "X-Kinora": "1"}
UP_S = 240.0


@contextmanager
def server(checkout: Path, work: Path, **settings: str) -> Iterator[httpx.Client]:
    """The app of that checkout, killed at the end as a crash would."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environment = os.environ | {
        "KINORA_DATA_DIR": str(work / "data"),
        "KINORA_MODELS_DIR": str(work / "models"),
        "KINORA_MAX_JOBS_PER_VISITOR": "10",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(work / "gradio"),
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1",
    }
    with (work / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=checkout,
            env=environment | settings,
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
            wait(lambda: answers(http), "the server does not answer")
            yield http
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health").is_success
    except httpx.TransportError:
        return False


def wait(condition: Any, otherwise: str) -> None:
    ends = time.monotonic() + UP_S
    while not condition():
        if time.monotonic() > ends:
            raise RuntimeError(otherwise)
        time.sleep(0.1)


def body_of(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise RuntimeError(f"{response.request.url}: {response.text}")
    return response.json()


def generate(http: httpx.Client, headers: dict[str, str], **changes: Any) -> str:
    sent = http.post("/api/generate", json=REQUEST | changes, headers=headers)
    return body_of(sent)["job_id"]


def wait_for(http: httpx.Client, job_id: str, state: str, headers: dict[str, str]) -> None:
    def has_ended() -> bool:
        job = body_of(http.get(f"/api/jobs/{job_id}", headers=headers))
        if job["state"] != state and job["state"] in ("succeeded", "failed", "cancelled"):
            raise RuntimeError(f"{job_id} is {job}")
        return job["state"] == state

    wait(has_ended, f"{job_id} did not become {state}")


def make(checkout: Path, work: Path) -> dict[str, Any]:
    """Returns the facts about what was made in `work / "data"`."""
    facts: dict[str, Any] = {"visitor": VISITOR, "idempotency_key": IDEMPOTENCY_KEY}
    # 1. Uploads, finished clips, a batch, an idempotency key, a clip that was removed.
    with server(checkout, work) as http:
        drawn = io.BytesIO()
        Image.new("RGB", (96, 64), (200, 80, 40)).save(drawn, "PNG")
        sent = {**PAGE, "Content-Type": "image/png"}
        picture = http.post("/kinora/pictures", content=drawn.getvalue(), headers=sent)
        facts["picture"] = body_of(picture)["id"]
        facts["succeeded"] = generate(http, PAGE)
        facts["with_picture"] = generate(http, PAGE, image=facts["picture"])
        once = PAGE | {"Idempotency-Key": IDEMPOTENCY_KEY}
        facts["once"] = generate(http, once, seed=4)
        batch = {"prompts": ["a rocket", "a dog in snow"], "seed": 5, **SMALL}
        accepted = body_of(http.post("/api/batches", json=batch, headers=PAGE))
        facts["batch"], facts["batch_jobs"] = (
            accepted["batch_id"],
            [job["job_id"] for job in accepted["jobs"]],
        )
        removed = generate(http, PAGE, seed=6)
        for job_id in (facts["succeeded"], facts["with_picture"], facts["once"], removed):
            wait_for(http, job_id, "succeeded", PAGE)
        for job_id in facts["batch_jobs"]:
            wait_for(http, job_id, "succeeded", PAGE)
        http.delete(f"/api/jobs/{removed}", headers=PAGE).raise_for_status()
        clip = http.get(f"/api/result/{facts['succeeded']}", headers=PAGE).raise_for_status()
        sent = {**PAGE, "Content-Type": "video/mp4"}
        facts["video"] = body_of(http.post("/kinora/videos", content=clip.content, headers=sent))[
            "id"
        ]

    # 2. A clip of a program with a key; one that fails after sampling, for ffmpeg does not run.
    settings = {"KINORA_API_KEYS": f"tests:{API_KEY}", "IMAGEIO_FFMPEG_EXE": "/bin/false"}
    with server(checkout, work, **settings) as http:
        program = {"Authorization": f"Bearer {API_KEY}"}
        facts["failed"] = generate(http, program, seed=7)
        wait_for(http, facts["failed"], "failed", program)

    # 3. A clip that was discarded, and one that waits for the model when the server is killed.
    with server(checkout, work) as http:
        facts["cancelled"] = generate(http, PAGE, seed=8, num_inference_steps=50)
        facts["queued"] = generate(http, PAGE, seed=9)
        http.post(f"/api/jobs/{facts['cancelled']}/cancel", headers=PAGE).raise_for_status()
        wait_for(http, facts["cancelled"], "cancelled", PAGE)
        facts["queued_is"] = body_of(http.get(f"/api/jobs/{facts['queued']}", headers=PAGE))[
            "state"
        ]
    facts["made_at"] = time.time()
    return facts


def without_cache(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """`cache/` may be deleted at any time, and would be most of the archive."""
    member.uname = member.gname = ""
    member.uid = member.gid = 0
    return None if member.name.startswith("data/cache") else member


def main(checkout: Path, archive: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="kinora-") as folder:
        work = Path(folder)
        tiny = (
            "import sys; from pathlib import Path; from tests import tiny\n"
            "work = Path(sys.argv[1])\n"
            "tiny.write_card(work / 'models', tiny.build(work / 'pipeline'))"
        )
        subprocess.run([sys.executable, "-c", tiny, str(work)], cwd=checkout, check=True)
        try:
            facts = make(checkout, work)
        except Exception:  # whatever failed, the server's log says why
            print((work / "server.log").read_text()[-4000:], file=sys.stderr)
            raise
        (work / "facts.json").write_text(json.dumps(facts, indent=1))
        time.sleep(2)  # the killed server's worker sees the closed pipe
        with tarfile.open(archive, "w:xz", preset=9) as packed:
            packed.add(work / "facts.json", "facts.json")
            packed.add(work / "data", "data", filter=without_cache)
    print(json.dumps(facts, indent=1), archive.stat().st_size)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
