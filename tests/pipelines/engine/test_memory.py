"""Memory: what a model takes is known before it comes, and what has gone is given back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import T5Config, T5EncoderModel

from pipelines.engine.memory import count_parameters
from settings import ROOT
from tests import tiny

CHILD = """
import gc, json, os, sys
from pathlib import Path
import psutil
from pipelines.models.cards import load_cards
from pipelines.engine.manager import PipelineManager
from pipelines.request import Task
from settings import Settings

data, models, at_once = sys.argv[1:]
settings = Settings(_env_file=None, data_dir=Path(data), models_dir=Path(models), previews=False,
                    torch_dtype="float32", max_loaded_models=int(at_once))
manager = PipelineManager(load_cards(settings.models_dir), settings)
me = psutil.Process()

def status(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024

def touch(loaded):
    size = 0
    for part in loaded.weights.components.values():
        for each in getattr(part, "parameters", list)():
            each.data.add_(0)
            size += each.nbytes
    return size

manager.get("small", Task.TEXT_TO_VIDEO)
told = {"before": status("VmRSS")}
loaded = manager.get("one", Task.TEXT_TO_VIDEO)
told["size"] = touch(loaded)
del loaded
told["one"] = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
loaded = manager.get("two", Task.TEXT_TO_VIDEO)
touch(loaded)
del loaded
told |= {"two": status("VmRSS"), "peak": status("VmHWM"), "held": manager.loaded()}
manager.close()
told["closed"] = status("VmRSS")
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Path:
    """Two cards of about 200 MB, and the tiny one."""
    folder = tmp_path_factory.mktemp("memory")
    models = folder / "cards"
    repo = tiny.build(folder / "repo")
    torch.manual_seed(0)
    config = T5Config(vocab_size=128, d_model=1024, d_kv=64, d_ff=4096, num_layers=4, num_heads=16)
    T5EncoderModel(config).save_pretrained(repo / "text_encoder")
    tiny.write_card(models, repo, id="one")
    tiny.write_card(models, repo, id="two")
    tiny.write_card(models, tiny_repo, id="small")
    return models


def run(models: Path, data: Path, at_once: int) -> dict[str, int]:
    command = [sys.executable, "-c", CHILD, str(data), str(models), str(at_once)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_switching_models_frees_the_old_one_before_the_new_one_comes(
    two_models: Path, tmp_path: Path
) -> None:
    told = run(two_models, tmp_path, 1)
    size = told["size"]
    assert size > 150e6
    assert told["one"] - told["before"] > 0.8 * size
    assert told["held"] == ["two"]
    assert told["two"] < told["one"] + 0.25 * size
    assert told["peak"] < told["one"] + 0.6 * size, "both were in memory at once"
    assert told["closed"] < told["before"] + 0.25 * size


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_as_many_models_stay_as_fit(two_models: Path, tmp_path: Path) -> None:
    told = run(two_models, tmp_path, 3)
    assert told["held"] == ["small", "one", "two"]
    assert told["two"] > told["one"] + 0.8 * told["size"]


def test_a_header_tells_the_numbers_and_a_short_file_is_noticed(
    tiny_repo: Path, tmp_path: Path
) -> None:
    weights = tiny_repo / "vae" / "diffusion_pytorch_model.safetensors"
    from diffusers import AutoencoderKLLTXVideo

    vae = AutoencoderKLLTXVideo.from_pretrained(tiny_repo / "vae")
    state = vae.state_dict()
    assert count_parameters(weights) == sum(tensor.numel() for tensor in state.values())
    for length in (4, 100, weights.stat().st_size - 1):
        short = tmp_path / "short.safetensors"
        short.write_bytes(weights.read_bytes()[:length])
        with pytest.raises(ValueError):
            count_parameters(short)
