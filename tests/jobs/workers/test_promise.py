"""A clip that is not what was promised says so: in the result, in the file, on the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from jobs.job import Job, State, new_id
from jobs.workers.promise import made_otherwise, note_differences
from jobs.workers.run import run_job
from media.metadata import read_comment
from pipelines.engine.manager import PipelineManager
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.request import Adjustment, FittedRequest, GenerationRequest, Task
from pipelines.sound import Sound
from settings import Settings
from tests import tiny
from tests.media.reading import read
from tests.zoo import Specimen, card, ltx2, wan
from ui.job_view import surprises

CARD = ModelCard.model_validate(tiny.CARD | {"repo": "./nowhere"})
SOUND = Sound(np.zeros((1, 100), np.float32), 16000)


def fitted(**fields: Any) -> FittedRequest:
    asked = {"prompt": "a dog", "width": 64, "height": 96, "num_frames": 9, "fps": 8, **fields}
    return fit(GenerationRequest.model_validate(asked), CARD, Limits())


def differences(
    request: FittedRequest,
    shape: tuple[int, int, int],
    of: ModelCard = CARD,
    sound: Sound | None = None,
    before: tuple[Adjustment, ...] = (),
) -> dict[str, Adjustment]:
    changes = list(before)
    note_differences(request, of, np.zeros((*shape, 3), np.uint8), sound, changes)
    return {each.field: each for each in changes[len(before) :]}


def test_a_clip_as_promised_is_no_news() -> None:
    assert differences(fitted(), (9, 96, 64)) == {}
    assert made_otherwise(fitted(), np.zeros((9, 96, 64, 3), np.uint8)) == {}
    twice = fitted().model_copy(update={"upscale": True})
    assert differences(twice, (9, 192, 128)) == {}


def test_another_length_is_said_with_both_lengths() -> None:
    found = differences(fitted(), (33, 96, 64))
    assert found.keys() == {"num_frames"}
    assert (found["num_frames"].asked, found["num_frames"].used) == (9, 33)
    assert found["num_frames"].sentence == (
        "The clip has 33 frames (4.1 s) instead of 9 (1.1 s): Tiny sets the length itself."
    )


def test_another_size_is_said_by_its_sides() -> None:
    found = differences(fitted(), (9, 144, 64))
    assert {name: (each.asked, each.used) for name, each in found.items()} == {"height": (96, 144)}
    assert found["height"].sentence == "The height is 144 instead of 96: Tiny sets the size itself."
    both = differences(fitted(), (9, 144, 144))
    assert both.keys() == {"width", "height"}


def test_sound_that_was_promised_and_not_made_is_said_once() -> None:
    loud = CARD.model_copy(update={"family": "ltx2"})
    assert loud.rules.sound
    assert differences(fitted(), (9, 96, 64), loud).keys() == {"sound"}
    assert differences(fitted(), (9, 96, 64), loud, SOUND) == {}
    said = Adjustment(field="sound", asked="with sound", used="without sound", sentence="It is.")
    assert differences(fitted(), (9, 96, 64), loud, before=(said,)) == {}


# -- real pipelines ------------------------------------------------------------------------------


class Nobody:
    def cancelled(self) -> bool:
        return False

    def finish_now(self) -> bool:
        return False


class Run:
    """A tiny pipeline under a card that says too little of it, as a person may write one."""

    def __init__(self, specimen: Specimen, class_name: str, folder: Path) -> None:
        specimen.build(folder / "repo")
        data = card(
            "generic",
            ["t2v"],
            name="Tiny",
            classes={"t2v": class_name},
            limits={"min_frames": 1},
            frames={"of": 1},
            takes={"last_image": False},
        )
        card_file = folder / "cards" / "tiny.yaml"
        card_file.parent.mkdir()
        card_file.write_text(yaml.safe_dump(data | {"id": "tiny", "repo": str(folder / "repo")}))
        self.settings = Settings(
            _env_file=None,  # pyright: ignore[reportCallIssue]
            data_dir=folder / "data",
            models_dir=folder / "cards",
            torch_dtype="float32",
        )
        self.folder, cards = folder, load_cards(folder / "cards")
        self.card, self.manager = cards["tiny"], PipelineManager(cards, self.settings)

    def __call__(self, **fields: Any) -> tuple[Job, Path]:
        asked = {"prompt": "a dog", "seed": 1, "num_inference_steps": 2, **fields}
        request = GenerationRequest.model_validate(asked)
        job = Job(
            id=new_id(), owner="visitor", state=State.SUCCEEDED, request=request,
            fitted=fit(request, self.card, Limits()), created_at=0.0,
        )  # fmt: skip
        place = self.folder / job.id
        given = (lambda _event: None, Nobody(), place, self.folder, self.settings)
        result = run_job(job, self.manager, *given)
        return job.model_copy(update={"result": result}), place / result.clip


def has_sound(clip: Path) -> bool:
    with av.open(str(clip)) as file:
        return bool(file.streams.audio)


def test_a_pipeline_that_makes_another_length_is_seen_in_every_place(tmp_path: Path) -> None:
    """Wan makes 4 k + 1 frames whatever it is asked for."""
    run = Run(wan.SPECIMENS[0], "WanPipeline", tmp_path)
    job, clip = run(num_frames=8)
    assert job.fitted.num_frames == 8, "else nothing is shown here"
    assert job.result is not None
    made = job.result.num_frames
    assert made in (5, 9)

    [said] = [each for each in job.result.adjustments if each.field == "num_frames"]
    assert (said.asked, said.used) == (8, made)
    assert said.sentence in surprises(job)
    file = read(clip)
    assert len(file.frames) == made
    assert abs(file.duration_s - made / job.fitted.fps) < 0.1
    comment = read_comment(clip)
    assert comment is not None
    assert comment["made"] == {"num_frames": made, "width": 32, "height": 32, "fps": 8}
    assert comment["settings"]["num_frames"] == 8, "what makes this clip again"

    job, clip = run(num_frames=9)
    assert job.result is not None
    assert not job.result.adjustments
    comment = read_comment(clip)
    assert comment is not None
    assert "made" not in comment


@pytest.mark.slow
def test_the_sound_of_an_unknown_pipeline_is_in_the_file_or_said(tmp_path: Path) -> None:
    run = Run(ltx2.SPECIMENS[0], "LTX2Pipeline", tmp_path)
    job, clip = run()
    assert job.result is not None
    assert has_sound(clip)
    assert not [each for each in job.result.adjustments if each.field == "sound"]

    pipe = run.manager.get("tiny", Task.TEXT_TO_VIDEO).pipe
    pipe.vocoder.register_to_config(output_sampling_rate=None)
    pipe.audio_vae.register_to_config(sample_rate=None)
    job, clip = run()
    assert job.result is not None
    assert not has_sound(clip)
    [said] = [each for each in job.result.adjustments if each.field == "sound"]
    assert said.used == "without sound"
    assert said.sentence in surprises(job)
