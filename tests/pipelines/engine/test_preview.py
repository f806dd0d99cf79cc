from __future__ import annotations

import io
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.engine import latent_rgb
from pipelines.engine.decode import decode
from pipelines.engine.denoise import SampledLatents, denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.latent_rgb import (
    PreviewMap,
    calibration,
    fit_map,
    group_means,
    preview_map_for,
)
from pipelines.engine.latent_rgb_clips import synthetic_clips
from pipelines.engine.loaded import Loaded
from pipelines.engine.manager import PipelineManager
from pipelines.engine.preview import BUDGET, PreviewStream, draw_strip
from pipelines.models.cards import ROOT, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.preview import Preview
from pipelines.request import GenerationRequest, Task
from settings import Settings
from tests.pipelines.engine.test_denoise import StopRequests

POCKET = ROOT / "presets" / "pocket"


@pytest.fixture(scope="module")
def loaded(tiny_manager: PipelineManager) -> Loaded:
    return tiny_manager.get("pocket", Task.TEXT_TO_VIDEO)


@pytest.fixture(scope="module")
def tiny_map(loaded: Loaded) -> PreviewMap:
    assert loaded.preview_map is not None
    return loaded.preview_map


def shuffled_map(loaded: Loaded) -> PreviewMap:
    """Fitted on the same pixels and latents, matched wrongly: what knowing nothing gives."""
    pixels, latents = calibration(loaded.family, loaded.pipe)
    order = np.random.default_rng(0).permutation(len(pixels))
    return fit_map(pixels, [latents[i] for i in order])


def small(clip: np.ndarray, latent_frames: int, height: int, width: int) -> np.ndarray:
    """uint8 [F, H, W, 3] as the previews see it: one picture per latent frame, scaled down."""
    channels_first = clip.transpose(3, 0, 1, 2).astype(np.float32)
    means = group_means(channels_first, latent_frames)
    count = means.shape[1]
    boxes = means.reshape(3, count, height, means.shape[2] // height, width, -1).mean((3, 5))
    return boxes.transpose(1, 2, 3, 0)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(np.float64) - b).mean()))


def test_the_map_shows_what_was_encoded_and_a_shuffled_map_does_not(
    loaded: Loaded, tiny_map: PreviewMap
) -> None:
    unseen = synthetic_clips(frames=9, side=64, count=6, seed=99)
    shuffled = shuffled_map(loaded)
    right, wrong = [], []
    for clip in unseen:
        encoded = loaded.family.encode(loaded.pipe, torch.from_numpy(clip)[None])
        latents = encoded[0].detach().float().numpy()
        shown = tiny_map.pictures(latents)
        _, height, width, _ = shown.shape
        target = small((clip.transpose(1, 2, 3, 0) + 1) * 127.5, len(shown), height, width)
        right.append(psnr(shown, target))
        wrong.append(psnr(shuffled.pictures(latents), target))
    # random weights throw most of a picture away, so this is no judge of beauty: the trained
    # model's test is below
    assert np.mean(right) > np.mean(wrong) + 2, (right, wrong)


def test_on_the_pocket_model_the_last_preview_resembles_the_clip(tmp_path: Path) -> None:
    cards = load_cards(ROOT / "presets" / "models")
    manager = PipelineManager(cards, Settings(data_dir=tmp_path))
    model = manager.get("pocket", Task.TEXT_TO_VIDEO)
    shuffled = shuffled_map(model)
    for example in cards["pocket"].examples[:2]:
        asked = GenerationRequest(prompt=example.prompt, seed=example.seed)
        request = fit(asked, model.card, Limits())
        previews: list[Preview] = []
        sampled = denoise(
            model, request, Inputs(), StopRequests(), lambda _s: None, previews.append
        )
        clip = decode(model, sampled, request)
        last = previews[-1]
        sheet = np.asarray(Image.open(io.BytesIO(last.jpeg)))
        pictures = np.stack(np.split(sheet, last.frames, axis=1))
        cell = 8
        height, width = request.height // cell, request.width // cell
        target = small(clip, last.frames, height, width)
        shown = np.stack(
            [
                np.asarray(Image.fromarray(p).resize((width, height), Image.Resampling.BOX))
                for p in pictures
            ]
        )
        assert isinstance(sampled, SampledLatents)
        latents = sampled.latents[0].float().numpy()
        nothing = shuffled.pictures(latents)
        blind = np.stack(
            [
                np.asarray(Image.fromarray(p).resize((width, height), Image.Resampling.BOX))
                for p in nothing
            ]
        )
        assert psnr(shown, target) > 20
        assert psnr(shown, target) > psnr(blind, target) + 6


@pytest.mark.parametrize(
    ("frames", "latent_frames", "groups"),
    [
        (9, 3, [[0], [1, 2, 3, 4], [5, 6, 7, 8]]),  # causal: the first picture alone
        (8, 2, [[0], [1, 2, 3, 4, 5, 6, 7]]),
        (12, 3, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]),  # Allegro
        (88, 22, [[*range(4 * n, 4 * n + 4)] for n in range(22)]),
        (16, 16, [[n] for n in range(16)]),  # a picture VAE
        (1, 1, [[0]]),
    ],
)
def test_each_latent_frame_stands_for_the_frames_it_holds(
    frames: int, latent_frames: int, groups: list[list[int]]
) -> None:
    numbered = np.broadcast_to(
        np.arange(frames, dtype=float)[None, :, None, None], (3, frames, 2, 2)
    )
    means = group_means(numbered, latent_frames)
    assert means.shape == (3, latent_frames, 2, 2)
    assert means[0, :, 0, 0].tolist() == [float(np.mean(group)) for group in groups]


def test_the_map_is_fitted_once_and_read_from_disk_afterwards(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = preview_map_for(loaded.family, loaded.pipe, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]
    monkeypatch.delattr(latent_rgb, "calibration")
    second = preview_map_for(loaded.family, loaded.pipe, tmp_path)
    assert np.array_equal(first.rest, second.rest)
    assert np.array_equal(first.lead, second.lead)


def test_a_damaged_map_on_disk_is_fitted_again(loaded: Loaded, tmp_path: Path) -> None:
    first = preview_map_for(loaded.family, loaded.pipe, tmp_path)
    next(tmp_path.iterdir()).write_bytes(b"PK\x03\x04 not really")
    second = preview_map_for(loaded.family, loaded.pipe, tmp_path)
    assert np.array_equal(first.rest, second.rest)


def test_other_weights_are_another_map(loaded: Loaded, tmp_path: Path) -> None:
    preview_map_for(loaded.family, loaded.pipe, tmp_path)
    bias = next(p for n, p in loaded.pipe.vae.named_parameters() if n.endswith("bias"))
    before = bias.detach().clone()  # in bfloat16, adding and subtracting 1 loses digits
    with torch.no_grad():
        bias += 1
        try:
            preview_map_for(loaded.family, loaded.pipe, tmp_path)
        finally:
            bias.copy_(before)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_model_whose_map_cannot_be_fitted_still_works(
    loaded: Loaded, caplog: pytest.LogCaptureFixture
) -> None:
    weights = replace(loaded.weights, cache_dir=Path("/dev/null/x"), _map=None, _map_tried=False)
    assert weights.preview_map() is None or weights.preview_map() is not None
    broken = replace(loaded.weights, pipes={}, _map=None, _map_tried=False)
    assert broken.preview_map() is None
    assert "Fitting the preview map failed" in caplog.text


@pytest.mark.parametrize(
    ("shape", "size"),
    [((9, 64, 64), (192, 192)), ((5, 60, 104), (192, 111)), ((3, 400, 800), (320, 160))],
)
def test_a_strip_holds_every_frame_at_a_pleasant_size(
    shape: tuple[int, int, int], size: tuple[int, int]
) -> None:
    preview = draw_strip(4, np.zeros((*shape, 3), np.uint8), clip_seconds=2.0)
    image = Image.open(io.BytesIO(preview.jpeg))
    assert (preview.width, preview.height) == size
    assert image.size == (size[0] * shape[0], size[1])
    assert preview.frames == shape[0]
    assert preview.frames / preview.fps == pytest.approx(2.0)


def test_frames_in_a_strip_do_not_bleed_into_each_other() -> None:
    pictures = np.zeros((2, 64, 64, 3), np.uint8)
    pictures[1] = 255
    preview = draw_strip(1, pictures, 1.0)
    sheet = np.asarray(Image.open(io.BytesIO(preview.jpeg))).astype(int)
    assert sheet[:, : preview.width - 8].max() < 16
    assert sheet[:, preview.width + 8 :].min() > 239


def busy(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def run_stream(tiny_map: PreviewMap, steps: int, step_s: float, cost_s: float) -> list[int]:
    """Pretends to sample `steps` steps while each preview costs `cost_s` of CPU."""
    drawn: list[int] = []
    latents = torch.zeros(1, 16, 2, 2, 2)
    draw_strip(
        1, np.zeros((2, 16, 16, 3), np.uint8), 1.0
    )  # a process's first is dearer than the rest

    def deliver(preview: Preview) -> None:
        busy(cost_s)
        drawn.append(preview.index)

    with PreviewStream(tiny_map, deliver, 1.0) as stream:
        for index in range(1, steps + 1):
            time.sleep(step_s)
            if stream.is_due(index, last=index == steps, step_seconds=step_s):
                stream.submit(index, lambda: latents)
    return drawn


def test_dear_previews_are_left_out_but_never_the_first_and_the_last(tiny_map: PreviewMap) -> None:
    assert run_stream(tiny_map, steps=10, step_s=0.03, cost_s=0.02) == [1, 10]


def test_cheap_previews_are_shown_at_a_calm_rate(tiny_map: PreviewMap) -> None:
    drawn = run_stream(tiny_map, steps=12, step_s=0.12, cost_s=0.0)
    assert drawn[0] == 1
    assert drawn[-1] == 12
    assert len(drawn) > 4
    assert BUDGET <= 0.03


def test_only_the_newest_preview_waits(tiny_map: PreviewMap) -> None:
    gate, drawn = threading.Event(), []
    latents = torch.zeros(1, 16, 2, 2, 2)

    def deliver(preview: Preview) -> None:
        gate.wait(5)
        drawn.append(preview.index)

    with PreviewStream(tiny_map, deliver, 1.0) as stream:
        stream.submit(1, lambda: latents)
        while stream._pending is not None:
            time.sleep(0.001)
        for index in (2, 3, 4):
            stream.submit(index, lambda: latents)
        gate.set()
    assert drawn == [1, 4]


def test_latents_that_cannot_be_had_end_the_previews_quietly(
    tiny_map: PreviewMap, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> torch.Tensor:
        raise KeyError("start")

    with PreviewStream(tiny_map, lambda _p: None, 1.0) as stream:
        stream.submit(1, missing)
        assert not stream.is_due(2, last=True, step_seconds=1.0)
    assert "previews are off" in caplog.text
