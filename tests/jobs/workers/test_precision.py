"""A clip whose model had to be stored with less precision reports it."""

from __future__ import annotations

import json
from pathlib import Path

from jobs.job import Result
from jobs.lifecycle import MANIFEST
from jobs.workers.run import run_job
from pipelines.engine.manager import PipelineManager
from pipelines.models.cards import ModelCard
from pipelines.planning import Machine
from settings import Settings
from tests.jobs.conftest import MakeJob
from tests.jobs.workers.test_run import Person


def test_a_clip_with_reduced_weights_says_so(
    tiny_cards: dict[str, ModelCard], tiny_settings: Settings, make_job: MakeJob, tmp_path: Path
) -> None:
    settings = tiny_settings.model_copy(update={"previews": False})

    def result_on(ram_gb: float, folder: Path) -> Result:
        machine = Machine(ram_gb=ram_gb, free_disk_gb=100)
        manager = PipelineManager(tiny_cards, settings, machine=machine)
        pictures = tmp_path / "pictures"
        args = (manager, lambda _event: None, Person(), folder, pictures, settings)
        try:
            return run_job(make_job(), *args)
        finally:
            manager.close()

    assert result_on(2, tmp_path / "roomy").adjustments == ()

    (change,) = result_on(0.9, tmp_path / "tight").adjustments
    assert (change.field, change.asked, change.used) == ("precision", "float32", "float8")
    assert change.sentence.startswith("Not enough memory for this clip with Tiny in float32")
    kept = json.loads((tmp_path / "tight" / MANIFEST).read_text())
    assert kept["adjustments"][0]["field"] == "precision"
