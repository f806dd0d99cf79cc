"""The command line as people and scripts use it: a real process, a real (tiny) model.

Most are forks (`tests.forks`); the first clip and the server start from nothing.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from PIL import Image

from settings import ROOT
from tests.forks import Forks
from tests.ports import free_port
from tests.unsigned import without_credentials

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tiny_env: dict[str, str], forks: Forks) -> Run:
    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return forks.run_text(list(arguments), tiny_env | env)

    return run


@pytest.fixture
def run_from_nothing(tiny_env: dict[str, str]) -> Run:
    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "app.py", *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=tiny_env | env,
            timeout=300,
        )

    return run


def frames_of(path: str | Path) -> list[bytes]:
    with av.open(str(path)) as clip:
        return [frame.to_ndarray(format="rgb24").tobytes() for frame in clip.decode(video=0)]


# -- generate ------------------------------------------------------------------------------------


def test_generate_prints_one_json_object_and_makes_that_clip(run_from_nothing: Run) -> None:
    words = ("generate", "a dog in the snow", "--seed", "3", "--width", "70", "--json")
    done = run_from_nothing(*words)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert (told["seed"], told["model"]) == (3, "pocket")
    assert (told["width"], told["height"], told["frames"], told["fps"]) == (64, 64, 9, 8)
    assert {"load", "denoise", "decode", "encode", "total"} <= told["seconds"].keys()
    assert any("70" in sentence and "64" in sentence for sentence in told["adjustments"])
    with av.open(told["path"]) as clip:
        stream = clip.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (64, 64, 8)
    assert len(frames_of(told["path"])) == 9
    assert "Sampling" in done.stderr
    assert "\x1b" not in done.stderr, "no terminal tricks where there is no terminal"


def test_without_json_the_path_is_all_that_is_printed(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "mine.webm"
    done = run("generate", "a dog", "--frames", "5", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out)
    assert len(frames_of(out)) == 5
    assert "Seed " in done.stderr
    beside = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert beside == {"mine.webm", "mine.webm.c2pa"}, "a WebM has its credentials in a file"


def test_a_picture_becomes_the_first_frame(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "wide picture.png"
    Image.new("RGB", (300, 200), (200, 30, 60)).save(picture)
    done = run("generate", "--image", str(picture), "--seed", "1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["task"] == "i2v"
    assert (told["width"], told["height"]) == (96, 64), "the clip has the picture's shape"


def test_the_same_seed_gives_the_same_file(run: Run, tmp_path: Path) -> None:
    files = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for file in files:
        done = run("generate", "a rocket", "--seed", "7", "--frames", "5", "--out", str(file))
        assert done.returncode == 0, done.stderr
    assert without_credentials(files[0]) == without_credentials(files[1])


def test_a_word_for_word_prompt_survives_the_way(run: Run) -> None:
    prompt = 'ein “Hund” — 犬 🐕; $(rm -rf /) "quoted" \\ <b>'
    done = run("generate", "--json", "--frames", "5", "--steps", "1", "--", prompt)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["prompt"] == prompt
    checked = run("verify", told["path"], "--json")
    assert json.loads(checked.stdout)["comment"]["settings"]["prompt"] == prompt


def test_the_clip_joins_the_others_in_the_database(run: Run, tiny_env: dict[str, str]) -> None:
    done = run("generate", "a dog", "--frames", "5", "--steps", "1", "--json")
    told = json.loads(done.stdout)
    with sqlite3.connect(Path(tiny_env["KINORA_DATA_DIR"]) / "kinora.db") as database:
        rows = database.execute("select id, owner, state from jobs").fetchall()
    assert rows == [(told["id"], "cli", "succeeded")]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_discards_and_leaves_nothing(
    tiny_env: dict[str, str], forks: Forks, stop: signal.Signals
) -> None:
    words = ["generate", "a dog", "--steps", "50", "--frames", "33", "--json"]
    process = forks.start(words, tiny_env)
    for line in process.stderr:
        if b"Sampling" in line:
            break
    process.send_signal(stop)
    status, stdout, stderr = process.communicate(timeout=60)
    assert status == 128 + stop
    assert stdout == b""
    assert b"Discarded." in stderr
    assert b"Traceback" not in stderr
    data = Path(tiny_env["KINORA_DATA_DIR"])
    assert not any((data / "jobs").glob("*/*"))
    with sqlite3.connect(data / "kinora.db") as database:
        assert database.execute("select state from jobs").fetchall() == [("cancelled",)]


def test_a_failure_is_a_sentence_and_status_1(run: Run, tmp_path: Path, tiny_repo: Path) -> None:
    from tests import tiny

    tiny.write_card(tmp_path / "cards", tmp_path / "no-weights-here")
    done = run("generate", "a dog", "--json", KINORA_MODELS_DIR=str(tmp_path / "cards"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "not on this machine" in done.stderr
    assert "Traceback" not in done.stderr
    assert str(tmp_path) not in done.stderr


# -- bad input: a sentence on standard error, status 2, nothing made -----------------------------

BAD = {
    "no prompt": (["generate"], "prompt is empty"),
    "blank prompt": (["generate", "  \n "], "prompt is empty"),
    "endless prompt": (["generate", "dog " * 1000], "“Prompt”"),
    "no steps": (["generate", "x", "--steps", "0"], "--steps"),
    "steps in words": (["generate", "x", "--steps", "ten"], "--steps"),
    "too many steps": (["generate", "x", "--steps", "51"], "50"),
    "negative seed": (["generate", "x", "--seed", "-2"], "--seed"),
    "huge seed": (["generate", "x", "--seed", str(2**32)], "--seed"),
    "half a seed": (["generate", "x", "--seed", "1.5"], "--seed"),
    "guidance is no number": (["generate", "x", "--guidance", "nan"], "--guidance"),
    "infinite guidance": (["generate", "x", "--guidance", "inf"], "--guidance"),
    "too wide": (["generate", "x", "--width", "4096"], "128"),
    "negative height": (["generate", "x", "--height", "-64"], "--height"),
    "too many frames": (["generate", "x", "--frames", "500"], "30 s is the longest clip"),
    "too long": (["generate", "x", "--duration", "31"], "31 s"),
    "frames against duration": (["generate", "x", "--frames", "9", "--duration", "3"], "empty"),
    "no fps": (["generate", "x", "--fps", "0"], "--fps"),
    "unknown model": (["generate", "x", "--model", "nope"], "pocket"),
    "unknown format": (["generate", "x", "--format", "avi"], "--format"),
    "unknown quality": (["generate", "x", "--quality", "best"], "--quality"),
    "out into nowhere": (["generate", "x", "--out", "/nowhere/at/all.mp4"], "--out"),
    "out is a folder": (["generate", "x", "--out", "presets"], "--out"),
    "out of another kind": (["generate", "x", "--out", "clip.mov"], ".mp4"),
    "out against format": (["generate", "x", "--out", "a.gif", "--format", "mp4"], "--format"),
    "no such picture": (["generate", "x", "--image", "nowhere.png"], "nowhere.png"),
    "picture is a folder": (["generate", "x", "--image", "."], "picture"),
    "picture is text": (["generate", "x", "--image", "README.md"], "picture"),
    "unknown option": (["generate", "x", "--bogus"], "--bogus"),
    "two prompts": (["generate", "a", "dog"], "unexpected"),
    "unknown command": (["genrate", "x"], "genrate"),
    "verify nothing": (["verify", "nowhere.mp4"], "nowhere.mp4"),
}


@pytest.mark.parametrize("arguments, says", BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_at_once(
    run: Run, tiny_env: dict[str, str], arguments: list[str], says: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (Path(tiny_env["KINORA_DATA_DIR"]) / "jobs").exists()


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("KINORA_MAX_QUEUE", "many", "KINORA_MAX_QUEUE"),
        ("TORCH_DTYPE", "int4", "TORCH_DTYPE"),
        ("VIDEO_QUALITY_PRESET", "best", "VIDEO_QUALITY_PRESET"),
        ("DATABASE_URL", "not a database", "DATABASE_URL"),
        ("DATABASE_URL", "sqlite:////proc/none/kinora.db", "DATABASE_URL"),
        ("KINORA_DATA_DIR", "/proc/none", "KINORA_DATA_DIR"),
        ("KINORA_MODELS_DIR", "/nowhere", "model card"),
    ],
)
@pytest.mark.parametrize("command", [["generate", "x"], []], ids=["generate", "serve"])
def test_a_bad_setting_is_named(
    run: Run, command: list[str], name: str, value: str, says: str
) -> None:
    done = run(*command, **{name: value})
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


# -- the other commands --------------------------------------------------------------------------


def test_models_says_what_is_here_and_whether_it_runs(run: Run) -> None:
    done = run("models")
    assert done.returncode == 0, done.stderr
    assert "pocket" in done.stdout
    assert "64x64" in done.stdout
    (card,) = json.loads(run("models", "--json").stdout)
    assert card["id"] == "pocket"
    assert card["here"]["fits"] is True
    assert "Plan: CPU" in done.stdout or "Plan: GPU" in done.stdout


def test_models_tells_of_one_that_is_too_large_and_of_the_nearest_that_fits(
    run: Run, tmp_path: Path, tiny_repo: Path
) -> None:
    from tests import tiny

    tiny.write_card(tmp_path, tiny_repo)
    needs = {"ram_gb": 4000, "disk_gb": 1}
    tiny.write_card(tmp_path, Path("owner/huge"), id="huge", name="Huge", needs=needs)
    done = run("models", KINORA_MODELS_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Huge needs 4000 GB" in done.stdout
    assert "The nearest that runs here is Tiny." in done.stdout
    refused = run("generate", "a dog", "--model", "huge", KINORA_MODELS_DIR=str(tmp_path))
    assert refused.returncode == 2
    assert "The nearest that runs here is Tiny." in refused.stderr


def test_models_shows_the_plan_of_another_profile(run: Run) -> None:
    plain, small = (
        json.loads(run("models", "--json", *options).stdout)[0]["here"]["plan"]
        for options in ([], ["--profile", "small"])
    )
    assert plain["tiles"] == 0
    assert small["tiles"] == 4
    wrong = run("models", "--profile", "huge")
    assert wrong.returncode == 2
    assert "--profile is fast, balanced or small" in wrong.stderr


def test_verify_says_who_signed_a_clip_and_with_which_settings(run: Run, tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    run("generate", "a dog", "--seed", "5", "--frames", "5", "--steps", "1", "--out", str(clip))
    done = run("verify", str(clip))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid" in done.stdout and "this Kinora" in done.stdout
    assert "generated by AI" in done.stdout and "model pocket" in done.stdout
    assert '"seed": 5' in done.stdout

    changed = tmp_path / "changed.mp4"
    changed.write_bytes(clip.read_bytes().replace(b'"seed":5', b'"seed":6'))
    other = tmp_path / "other.mp4"
    other.write_bytes(b"not a video")
    done = run("verify", str(changed), str(other), str(clip), "--json")
    assert done.returncode == 1, "0 is kept for valid signatures alone"
    found = json.loads(done.stdout)
    assert [each["signed"] for each in found] == [False, False, True]
    assert [each["provenance"]["state"] for each in found][::2] == ["changed", "valid"]
    assert found[0]["comment"]["settings"]["seed"] == 6


def test_the_credentials_of_a_webm_come_with_it(run: Run, tmp_path: Path) -> None:
    clip = tmp_path / "a.webm"
    done = run("generate", "a dog", "--frames", "5", "--steps", "1", "--out", str(clip))
    assert done.returncode == 0, done.stderr
    assert clip.with_name("a.webm.c2pa").is_file()
    done = run("verify", str(clip))
    assert done.returncode == 0, done.stdout
    clip.with_name("a.webm.c2pa").unlink()
    assert run("verify", str(clip)).returncode == 1


def test_help_names_every_option(run: Run) -> None:
    text = run("generate", "--help").stdout
    size = ["width", "height", "frames", "duration", "fps"]
    for option in ["image", "model", "negative", "seed", "steps", "guidance", *size, "out", "json"]:
        assert f"--{option}" in text


# -- serve ---------------------------------------------------------------------------------------


def test_serve_is_the_default_and_a_stop_is_no_failure(tiny_env: dict[str, str]) -> None:
    import httpx

    env = tiny_env | {"GRADIO_SERVER_PORT": str(free_port())}
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=env,
    )
    try:
        page = wait_for_page(f"http://127.0.0.1:{env['GRADIO_SERVER_PORT']}/", process)
        assert "Kinora" in page
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{env['GRADIO_SERVER_PORT']}/")


def test_a_port_in_use_is_a_sentence(run: Run) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run(GRADIO_SERVER_PORT=port, GRADIO_NUM_PORTS="1")
    assert done.returncode == 1
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def wait_for_page(url: str, process: subprocess.Popen[str], seconds: float = 120) -> str:
    import httpx

    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        try:
            return httpx.get(url).text
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the page does not answer")
