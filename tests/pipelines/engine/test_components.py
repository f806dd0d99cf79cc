from __future__ import annotations

from pathlib import Path

import diffusers
import pytest

from pipelines.engine.components import find_files
from pipelines.models.generic_card import generic_card
from pipelines.models.hub import Hub
from pipelines.models.repository import read_index
from settings import Settings
from tests.zoo.any.build import Builder
from tests.zoo.any.folders import folders


@pytest.mark.filterwarnings("ignore")
def test_a_component_that_the_index_leaves_out_is_not_missing(tmp_path: Path) -> None:
    """The safety checker of Text2Video-Zero is required by its class, and null in its index."""
    folder = Builder(tmp_path).build(folders()["t2v-zero"])
    index = read_index((folder / "model_index.json").read_bytes(), "zero")
    assert "safety_checker" in index.left_out
    card = generic_card("zero", index, {}).model_copy(update={"repo": str(folder)})
    settings = Settings(_env_file=None, data_dir=tmp_path)  # pyright: ignore[reportCallIssue]
    of = diffusers.TextToVideoZeroPipeline
    files = find_files(card, [of], None, Hub(settings), lambda _progress: None)
    assert "safety_checker" not in {each.name for each in files.components}
