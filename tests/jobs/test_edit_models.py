"""Edits with the server's models: which method was used, and what comes out. The networks are tiny
and random, loaded as a user's model is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from errors import Cancelled, ErrorCode, KinoraError
from jobs.job import Job, State
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.edit_models import edit_models
from jobs.workers.edit_process import MODULE
from jobs.workers.process import ProcessExecutor
from media.operations.edit_request import read_edit_request
from media.operations.frame_models import use_models
from media.operations.interpolate import Interpolate
from media.operations.operation import FrameOperation, FrameTools, Operation, StreamInfo
from media.operations.upscale import Upscale
from pipelines.models.cards import ModelCard
from pipelines.models.loading import LoadProgress
from settings import Settings
from tests.edit_networks import save_rife, save_upscaler
from tests.jobs.conftest import MakeJob, until
from tests.jobs.finished_clips import add_clip
from tests.media.reading import read
from tests.media.textures import HEIGHT, WIDTH, texture, view

INFO = StreamInfo(WIDTH, HEIGHT, Fraction(8), 8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_rife(folder / "rife.safetensors")
    save_upscaler(folder / "upscaler.safetensors", scale=2)
    save_upscaler(folder / "restorer.safetensors", scale=1)
    save_upscaler(folder / "large.safetensors", scale=4)
    (folder / "cut.safetensors").write_bytes((folder / "rife.safetensors").read_bytes()[:-9])
    (folder / "rife.pth").write_bytes(b"\x80\x04")
    return folder


def settings_with(**models: Path | str) -> Settings:
    return Settings.model_validate({name: str(file) for name, file in models.items()})


def ignore(_: LoadProgress) -> None:
    pass


def run(
    operation: Operation, settings: Settings, frames: list[np.ndarray]
) -> tuple[list[np.ndarray], list[str]]:
    """The frames that the model makes, and the sentences about it."""
    with edit_models([operation], settings, ignore) as learned:
        (used,) = use_models([operation], learned.models)
        assert isinstance(used, FrameOperation)
        tools = FrameTools(check=lambda: None, models=learned.models)
        made = list(used.change_frames(iter(frames), INFO, tools))
        assert len(made) == used.output(INFO).num_frames
    return made, [each.sentence for each in learned.adjustments]


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Five frames of a scene that moves, three of another."""
    first, second = texture(1, 12, 200), texture(2, 12, 200)
    return [
        *(view(first, 3 * n, 0) for n in range(5)),
        *(view(second, 0, 2 * n) for n in range(3)),
    ]


@pytest.mark.parametrize("operation", [Interpolate(times=2), Interpolate(fps=20)])
def test_a_model_makes_what_is_between_and_nothing_else(
    weights: Path, frames: list[np.ndarray], operation: Interpolate
) -> None:
    settings = settings_with(interpolation_model=weights / "rife.safetensors")
    made, sentences = run(operation, settings, frames)
    rate = operation.output(INFO).fps
    for number, frame in enumerate(made):
        at = number * INFO.fps / rate
        before = min(int(at), len(frames) - 1)
        if at == before or before + 1 in (5, len(frames)):
            assert (frame == frames[before]).all(), f"frame {number}"
        else:
            assert (frame != frames[before]).any(), "made by the model"
    assert sentences == ["The frames in between were made by the model rife.safetensors."]


@pytest.mark.parametrize(
    ("file", "times"),
    [("upscaler", 2), ("upscaler", 4), ("restorer", 2), ("large", 2), ("large", 4)],
)
def test_a_model_makes_frames_larger_and_keeps_their_tones(
    weights: Path, frames: list[np.ndarray], file: str, times: Any
) -> None:
    settings = settings_with(upscale_model=weights / f"{file}.safetensors")
    made, sentences = run(Upscale(times=times), settings, frames)
    assert sentences == [f"The clip was enlarged by the model {file}.safetensors."]
    assert [frame.shape for frame in made] == [(HEIGHT * times, WIDTH * times, 3)] * 8
    for frame, source in zip(made, frames, strict=False):
        tones = frame.mean((0, 1)) - source.mean((0, 1))
        assert np.abs(tones).max() < 2


def test_still_frames_stay_still(weights: Path, frames: list[np.ndarray]) -> None:
    settings = settings_with(upscale_model=weights / "upscaler.safetensors")
    made, _ = run(Upscale(times=2), settings, [frames[0]] * 8)
    assert all((frame == made[0]).all() for frame in made)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("missing.safetensors", "There is no file “missing.safetensors” here."),
        ("cut.safetensors", "The file of cut.safetensors is incomplete, damaged or of another"),
        ("rife.pth", "“rife.pth” is no safetensors file. Only those are loaded"),
        ("upscaler.safetensors", "upscaler.safetensors is another kind of model than it is said"),
    ],
)
def test_a_model_that_cannot_be_used_is_said_and_the_built_in_method_is_used(
    weights: Path, file: str, reason: str
) -> None:
    settings = settings_with(interpolation_model=str(weights / file))
    with edit_models([Interpolate()], settings, ignore) as learned:
        assert learned.models == {}
    (adjustment,) = learned.adjustments
    assert (adjustment.field, adjustment.asked) == ("interpolate", file)
    assert adjustment.used == "built-in"
    assert adjustment.sentence.startswith(
        "The frames in between were made by built-in motion compensation. The model is not used: "
        + reason
    )
    assert str(weights) not in adjustment.sentence


def test_without_a_model_it_says_that_the_built_in_method_was_used() -> None:
    with edit_models([Upscale(), Upscale(times=4)], settings_with(), ignore) as learned:
        pass
    (adjustment,) = learned.adjustments
    assert adjustment.sentence == "The clip was enlarged by the built-in resampler."
    assert use_models([Upscale()], learned.models) == (Upscale(),)


def test_who_chose_the_built_in_method_gets_it(weights: Path) -> None:
    settings = settings_with(
        interpolation_model=weights / "rife.safetensors",
        upscale_model=weights / "upscaler.safetensors",
    )
    chosen = [Interpolate(method="built-in"), Upscale(method="built-in")]
    with edit_models(chosen, settings, ignore) as learned:
        assert learned.models == {} and learned.adjustments == []
        both = [*chosen, Interpolate(), Upscale()]
    with edit_models(both, settings, ignore) as learned:
        used = use_models(both, learned.models)
    assert [each.name() for each in used] == [
        "interpolate", "upscale", "interpolate_with_model", "upscale_with_model"
    ]  # fmt: skip


@pytest.mark.parametrize("end", [Cancelled(), KinoraError(ErrorCode.TIMEOUT)])
def test_the_end_of_a_job_stops_the_loading(weights: Path, end: KinoraError) -> None:
    def stop(_: LoadProgress) -> None:
        raise end

    settings = settings_with(interpolation_model=weights / "rife.safetensors")
    with pytest.raises(KinoraError) as stopped, edit_models([Interpolate()], settings, stop):
        pass
    assert stopped.value is end


def test_a_package_that_does_not_fit_torch_fails_no_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision raises a RuntimeError beside another torch."""
    (tmp_path / "spandrel.py").write_text("raise RuntimeError('no operator torchvision::nms')")
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    settings = settings_with(upscale_model=tmp_path / "other.safetensors")
    with edit_models([Upscale()], settings, ignore) as learned:
        assert learned.models == {}
    assert "the installed version of torchvision" in learned.adjustments[0].sentence


@pytest.fixture
def service(
    tmp_path: Path, weights: Path, light_cards: dict[str, ModelCard]
) -> Iterator[JobService]:
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=tmp_path,
        interpolation_model=str(weights / "rife.safetensors"),
        upscale_model="owner/name/none.safetensors",
    )
    store = JobStore(f"sqlite:///{tmp_path / 'kinora.db'}")
    service = JobService(store, ProcessExecutor(settings, MODULE), light_cards, settings)
    service.start()
    yield service
    service.close(0)


@pytest.mark.slow
def test_a_worker_uses_the_model_and_says_which_it_was(
    service: JobService, make_job: MakeJob
) -> None:
    clip: Job = add_clip(service, make_job("visitor:me", prompt="a dog"), num_frames=6)
    edit = read_edit_request(
        {"clips": [clip.id], "operations": [{"op": "interpolate", "times": 2}, {"op": "upscale"}]}
    )
    job = service.submit_edit(edit, "visitor:me")
    until(lambda: service.get(job.id).state.ended)
    job = service.get(job.id)
    assert job.state is State.SUCCEEDED and job.result is not None, job.error
    interpolated, upscaled = job.result.adjustments[:2]
    assert interpolated.used == "rife.safetensors"
    assert upscaled.used == "built-in" and "owner/name" in upscaled.sentence
    assert "loading" in [event.kind for event in service.events(job.id)]
    made = read(service.clip_path(job.id))
    assert (made.width, made.height, made.rate, len(made.frames)) == (192, 128, 16, 12)
