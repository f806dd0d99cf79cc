"""Pictures, clips and LoRAs from the command line: a real process, a real (tiny) model."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests import zoo
from tests.forks import Forks
from tests.media.formats import sample
from tests.zoo import ltx

Run = Callable[..., subprocess.CompletedProcess[str]]
SPECIMEN = next(s for s in ltx.SPECIMENS if "v2v" in s.card["tasks"])


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model that ends on a picture, works over a clip, takes LoRAs and can enlarge."""
    folder = tmp_path_factory.mktemp("inputs")
    SPECIMEN.build(folder / "repo")
    ltx.build_upsampler(folder / "upsampler")
    able = replace(SPECIMEN, card=SPECIMEN.card | {"latent_upsampler": "../upsampler"})
    zoo.write_card(able, folder / "cards", folder / "repo")
    return folder / "cards"


@pytest.fixture
def run(tiny_env: dict[str, str], models_dir: Path, forks: Forks) -> Run:
    ours = {
        "KINORA_MODELS_DIR": str(models_dir),
        "DEFAULT_TEXT_TO_VIDEO_MODEL": SPECIMEN.name,
        "DEFAULT_IMAGE_TO_VIDEO_MODEL": SPECIMEN.name,
        "KINORA_LORA_HUB": "false",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forks.run_text(list(arguments), tiny_env | ours)

    return run


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "card.mp4"
    card = "testsrc=size=128x64:rate=8:duration=2"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "lavfi", "-i"]
    subprocess.run([*command, card, "-pix_fmt", "yuv420p", path], check=True)
    return path


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    from diffusers import LTXPipeline

    from tests.pipelines.models.test_loras import make_lora

    folder = tmp_path_factory.mktemp("lora")
    pipe = LTXPipeline.from_pretrained(models_dir.parent / "repo")
    return make_lora(pipe, folder / "oil.safetensors", 1)


def test_a_clip_is_worked_over_with_a_lora(
    run: Run, clip: Path, lora: Path, tiny_env: dict[str, str]
) -> None:
    shelf = Path(tiny_env["KINORA_DATA_DIR"]) / "loras"
    shelf.mkdir(parents=True)
    (shelf / "oil.safetensors").write_bytes(lora.read_bytes())
    done = run(
        "generate", "in oil", "--video", str(clip), "--strength", "0.6", "--lora", "oil:0.5",
        "--frames", "9", "--seed", "1", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["task"], told["strength"], told["frames"]) == ("v2v", 0.6, 9)
    assert told["loras"] == [{"source": "oil", "weight": 0.5}]


def test_a_clip_is_made_twice_as_large(run: Run) -> None:
    done = run("generate", "a dog", "--upscale", "--seed", "1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["upscale"], told["width"], told["height"]) == (True, 128, 128)


def test_a_clip_begins_and_ends_on_pictures(run: Run, tmp_path: Path) -> None:
    """Of any format, whatever they are called."""
    (tmp_path / "first.jpg").write_bytes(sample("HEIF", "RGB", 6, (64, 64)).data)
    (tmp_path / "last").write_bytes(sample("AVIF", "RGB", 1, (64, 64)).data)
    done = run(
        "generate", "it turns", "--image", str(tmp_path / "first.jpg"),
        "--last-image", str(tmp_path / "last"), "--seed", "1", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["task"] == "i2v"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--video", "nowhere.mp4"], "There is no clip nowhere.mp4"),
        (["--video", "README.md"], "This clip cannot be read. Use an MP4 or WebM"),
        (["--lora", "oil:much"], "“much” in “oil:much” is no weight"),
        (["--lora", "watercolour"], "There is no LoRA called “watercolour” here"),
        (["--lora", "oil:9"], "The weight of a LoRA must be a number between -4 and 4"),
        (["--sampler", "euler"], "does not sample with “euler”"),
        (["--motion", "0"], "“Motion” (motion_bucket_id) cannot be used"),
    ],
)
def test_bad_inputs_are_refused_at_once(run: Run, arguments: list[str], says: str) -> None:
    done = run("generate", "a dog", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Loading the model" not in done.stderr
    assert "Traceback" not in done.stderr


def test_models_tells_what_each_takes(run: Run) -> None:
    (row,) = json.loads(run("models", "--json").stdout)
    assert row["rules"]["last_image"] is True
    assert row["rules"]["samplers"] == []
    assert row["rules"]["upscale"] is True
