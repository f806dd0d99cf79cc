"""What `make space` uploads, started as a Space starts it, makes a clip."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import httpx
import pytest

from tests.ports import free_port
from tools.space.stage import make_stage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(kinora: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` with the environment of a Space and nothing of ours: no repository round it,
    no PYTHONPATH, no setting."""
    place = tmp_path_factory.mktemp("space")
    (place / "app").mkdir()
    (place / "home").mkdir()
    make_stage(kinora, place / "app")
    port = free_port()
    env = {
        "HOME": str(place / "home"),
        "PATH": os.environ["PATH"],
        "SPACE_ID": "you/kinora",
        "SPACE_HOST": "you-kinora.hf.space",
        "SPACE_AUTHOR_NAME": "you",
        "SPACE_REPO_NAME": "kinora",
        "SYSTEM": "spaces",
        "GRADIO_SERVER_NAME": "0.0.0.0",  # noqa: S104
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SSR_MODE": "True",  # the Hub sets it
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "2",
    }
    log = place / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=place / "app", env=env, stdout=file, stderr=file
        )
    url = f"http://127.0.0.1:{port}"
    try:
        ends = time.monotonic() + 180
        while True:
            assert process.poll() is None and time.monotonic() < ends, log.read_text()
            try:
                if httpx.get(f"{url}/health", timeout=5).json()["status"] == "READY":
                    break
            except (httpx.TransportError, KeyError, ValueError):
                pass
            time.sleep(0.3)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def test_the_staged_tree_makes_a_real_clip_through_gradio_client(
    running: str, tmp_path: Path
) -> None:
    from gradio_client import Client

    client = Client(running, download_files=str(tmp_path), verbose=False)
    clip, _used = client.predict(
        prompt="a dog running in the snow", seed=3, api_name="/text_to_video"
    )
    with av.open(clip["video"] if isinstance(clip, dict) else clip) as file:
        frames = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    assert len(frames) == 17
    assert frames[0].std() > 5, "an empty picture"
    assert abs(frames[0].astype(int) - frames[-1]).mean() > 1, "nothing moves"


def test_server_side_rendering_is_off_though_the_hub_switches_it_on(running: str) -> None:
    """Its front end would answer in the place of /health and of every address of ours."""
    assert httpx.get(f"{running}/health").headers["content-type"].startswith("application/json")
    assert httpx.get(f"{running}/api/models").headers["content-type"].startswith("application/json")
