"""The colours of a long clip: the included model, made to drift.

Its decoder is changed so that every window comes out brighter, with more contrast and less blue
than what it starts from; so each starts from a picture that is further away from the first one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jobs.job import Job, State, new_id
from jobs.workers.run import run_job
from media import colour_match
from pipelines.engine.manager import PipelineManager
from pipelines.models.cards import load_cards
from pipelines.models.fit import Limits, fit
from pipelines.request import GenerationRequest
from settings import ROOT, Settings
from tests.jobs.workers.test_run import Person
from tests.media.reading import read
from tests.media.seams import seam_ratio, window_colours

pytestmark = pytest.mark.slow

GAIN, SHIFT = 1.04, (0.05, 0.03, -0.04)
"""Of pixels from -1 to 1, in each window."""
LAST = "decoder.conv_out.conv"
"""The layer that makes the pixels."""
REQUEST = GenerationRequest(
    prompt="a fish swimming to the left in the ocean", seed=3, num_frames=97,
    num_inference_steps=4, quality="high", model="pocket",
)  # fmt: skip


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineManager]:
    folder = tmp_path_factory.mktemp("drifting")
    repo = shutil.copytree(ROOT / "presets" / "pocket", folder / "repo")
    index = json.loads(next((repo / "vae").glob("*.index.json")).read_text(encoding="utf-8"))
    for name in ("weight", "bias"):
        key = f"{LAST}.{name}"
        file = repo / "vae" / index["weight_map"][key]
        tensors = load_file(file)
        values = tensors[key].astype(np.float32) * GAIN
        if name == "bias":  # a value for each pixel of a patch, one colour after the other
            values += np.repeat(np.array(SHIFT, np.float32), len(values) // 3)
        tensors[key] = values.astype(tensors[key].dtype)
        save_file(tensors, file, metadata={"format": "pt"})
    text = (ROOT / "presets" / "models" / "pocket.yaml").read_text(encoding="utf-8")
    (folder / "cards").mkdir()
    card = text.replace("repo: presets/pocket", f"repo: {repo}")
    (folder / "cards" / "pocket.yaml").write_text(card, encoding="utf-8")
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "data",
        models_dir=folder / "cards",
        previews=False,
    )
    manager = PipelineManager(load_cards(folder / "cards"), settings)
    yield manager
    manager.close()


def make(manager: PipelineManager, folder: Path) -> tuple[np.ndarray, float, float]:
    """The frames, and how far the mean and the contrast of the windows are from the first one's at
    most, in shares of them."""
    fitted = fit(REQUEST, manager.cards["pocket"], Limits())
    assert fitted.parts == 6
    job = Job(
        id=new_id(), owner="me", state=State.RUNNING, request=REQUEST, fitted=fitted, created_at=0.0
    )
    run_job(job, manager, lambda _: None, Person(), folder, folder / "pictures", manager.settings)
    frames = read(folder / "clip.mp4").frames
    (mean, contrast), *others = window_colours(frames, fitted.divide())
    return (
        frames,
        max(float(np.abs(m / mean - 1).max()) for m, _ in others),
        max(float(np.abs(c / contrast - 1).max()) for _, c in others),
    )


def test_colours_and_contrast_stay_within_one_percent_over_six_windows(
    drifting: PipelineManager, tmp_path: Path
) -> None:
    frames, mean, contrast = make(drifting, tmp_path)
    ratio = seam_ratio(frames, fit(REQUEST, drifting.cards["pocket"], Limits()).divide())
    assert mean < 0.01
    assert contrast < 0.01
    assert ratio <= 1.5


def test_it_would_drift_by_itself(
    drifting: PipelineManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no correction is allowed to be of any strength."""
    monkeypatch.setattr(colour_match, "MOST_GAIN", 1.0)
    monkeypatch.setattr(colour_match, "MOST_SHIFT", 0.0)
    _, mean, contrast = make(drifting, tmp_path)
    assert mean > 0.1
    assert contrast > 0.01
