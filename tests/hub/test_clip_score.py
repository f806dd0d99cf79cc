"""A CLIP score by a tiny random model that comes from a Hub, through the command line."""

from __future__ import annotations

import json
import os
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from media.encode import encode
from media.small_frames import read_small_frames
from settings import ROOT
from tests.hub.server import TestHub

PROMPT = "a red square"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clip_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of two tiny encoders; its tokenizer spells every word."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    letters = [*string.ascii_lowercase, *(f"{c}</w>" for c in string.ascii_lowercase)]
    vocab = {w: n for n, w in enumerate(["<|startoftext|>", "<|endoftext|>", *letters])}
    CLIPTokenizer(vocab=vocab, merges=[], model_max_length=32).save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    ).save_pretrained(folder)
    sides = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    sides |= {"num_hidden_layers": 1}
    words = {"vocab_size": len(vocab), "max_position_embeddings": 32, "eos_token_id": 1}
    config = CLIPConfig(
        text_config=sides | words,
        vision_config=sides | {"image_size": 16, "patch_size": 8},
        projection_dim=8,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "clip.mp4"
    frames = np.zeros((6, 32, 48, 3), np.uint8)
    for n, frame in enumerate(frames):
        frame[8:24, 4 + 3 * n : 20 + 3 * n, 0] = 255
    encode(frames, path, fps=8, comment=json.dumps({"settings": {"prompt": PROMPT}}))
    return path


def evaluate(film: Path, tmp_path: Path, hub: TestHub, model: str, *more: str) -> Any:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "KINORA_"))}
    env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "KINORA_CLIP_MODEL": model}
    return subprocess.run(
        [sys.executable, "app.py", "evaluate", str(film), "--json", *more],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=env,
        check=False,
    )


def test_the_score_is_that_of_transformers_alone(
    clip_model: Path, film: Path, tmp_path: Path, hub: TestHub
) -> None:
    hub.add("somebody/tiny-clip", clip_model)
    done = evaluate(film, tmp_path, hub, "somebody/tiny-clip")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["frames"] == 6
    assert found["clip_model"] == "somebody/tiny-clip"
    assert found["clip_score"] == pytest.approx(plain_score(clip_model, film), abs=0.02)


def plain_score(folder: Path, film: Path) -> float:
    """The mean over all frames, computed with the encoders one by one."""
    import torch
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(folder)
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    words = AutoTokenizer.from_pretrained(folder)(PROMPT, return_tensors="pt")
    pictures = [Image.fromarray(frame) for frame in read_small_frames(film, 336, 10)]
    with torch.no_grad():
        text = model.text_projection(model.text_model(**words).pooler_output)[0]
        cosines = []
        for picture in pictures:
            pixels = processor(images=picture, return_tensors="pt")
            image = model.visual_projection(model.vision_model(**pixels).pooler_output)[0]
            cosines.append(float(torch.dot(image, text) / image.norm() / text.norm()))
    return 100 * max(0.0, float(np.mean(cosines)))


def test_another_prompt_has_another_score(
    clip_model: Path, film: Path, tmp_path: Path, hub: TestHub
) -> None:
    scores = [
        json.loads(evaluate(film, tmp_path, hub, str(clip_model), f"--prompt={words}").stdout)[0]
        for words in (PROMPT, "zzz zz")
    ]
    assert scores[0]["clip_score"] != scores[1]["clip_score"]
    assert scores[0]["flicker"] == scores[1]["flicker"]


def test_a_pickle_is_refused(film: Path, tmp_path: Path, hub: TestHub, clip_model: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    for path in clip_model.iterdir():
        name = path.name.replace("model.safetensors", "pytorch_model.bin")
        (folder / name).write_bytes(path.read_bytes())
    hub.add("somebody/pickled-clip", folder)
    done = evaluate(film, tmp_path / "home", hub, "somebody/pickled-clip")
    assert done.returncode == 2
    assert "pickle" in done.stderr
    assert "Traceback" not in done.stderr
