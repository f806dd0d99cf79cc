"""From packed weights to presets/: the folders, the cards, and the examples' seeds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.models.cards import ROOT, ModelCard, load_cards
from training import choose_examples, ship
from training.choose_examples import ExamplePrompt, choose_seed, score
from training.evaluation.verdict import Verdict
from training.storybook.places import PLACES
from training.storybook.subjects import SUBJECTS
from training.world.motions import MOTIONS
from training.world.render import RenderedClip

CARDS = ROOT / "presets" / "models"
NAMES = (ship.POCKET, ship.STUDENT)


@pytest.mark.parametrize("name", NAMES)
def test_the_cards_in_use_are_those_of_the_world_in_use(name: str) -> None:
    card = (CARDS / f"{name}.yaml").read_text()
    assert ship.update_card(card, []) == card


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "presets" / "models").mkdir(parents=True, exist_ok=True)
        shutil.copy(CARDS / f"{name}.yaml", tmp_path / "presets" / "models")
        (tmp_path / "presets" / name).mkdir()
        (tmp_path / "presets" / name / "README.md").write_text(f"the card of {name}")
        (tmp_path / "presets" / name / "old.safetensors").write_bytes(b"old")
        weights = tmp_path / "made" / name
        weights.mkdir(parents=True)
        (weights / "new.safetensors").write_bytes(b"new")
    return tmp_path / "presets"


def run(presets: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> dict[str, ModelCard]:
    made = presets.parent / "made"
    arguments: list[object] = ["--weights", made / ship.POCKET, "--student", made / ship.STUDENT]
    monkeypatch.setattr(
        "sys.argv", ["ship", *map(str, arguments), "--presets", str(presets), *more]
    )
    ship.main()
    return load_cards(presets / "models")


def test_another_world_is_put_into_both_cards(
    presets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = {
        name: [{"prompt": example.prompt, "seed": 3} for example in choose_examples.EXAMPLES]
        for name in NAMES
    }
    (presets.parent / "examples.json").write_text(json.dumps(examples))
    monkeypatch.setattr(ship, "SIDE", 256)
    monkeypatch.setattr(ship, "FRAMES", 25)
    monkeypatch.setattr(ship, "FPS", 12)
    monkeypatch.setattr(ship, "ARCHITECTURE", replace(ship.ARCHITECTURE, time=4))
    monkeypatch.setattr(ship, "SUBJECT_NAMES", [subject.name for subject in SUBJECTS])
    monkeypatch.setattr(ship, "PLACE_NAMES", [place.name for place in PLACES])
    chosen = ["--examples", str(presets.parent / "examples.json")]
    before = load_cards(CARDS)
    cards = run(presets, monkeypatch, *chosen)
    for name, card in cards.items():
        assert card.knows["subjects"] == tuple(subject.name for subject in SUBJECTS)
        assert card.knows["places"] == tuple(place.name for place in PLACES)
        assert card.knows["motions"] == before[name].knows["motions"]
        assert (card.defaults.width, card.defaults.height) == (256, 256)
        assert (card.defaults.num_frames, card.defaults.fps) == (25, 12)
        assert (card.limits.max_width, card.limits.max_frames) == (256, 25)
        assert [(shape.label, shape.width) for shape in card.shapes] == [("1:1", 256)]
        assert len(card.examples) == len(choose_examples.EXAMPLES) >= 8
        assert card.defaults.num_inference_steps == before[name].defaults.num_inference_steps
        text = (presets / "models" / f"{name}.yaml").read_text()
        assert "# Its vocabulary is the words above" in text
        assert max(map(len, text.splitlines())) <= ship.LINE_WIDTH
        folder = presets / name
        assert (folder / "README.md").read_text() == f"the card of {name}"
        assert (folder / "new.safetensors").exists() and not (folder / "old.safetensors").exists()
    again = {path: path.read_text() for path in (presets / "models").iterdir()}
    run(presets, monkeypatch, *chosen)
    assert again == {path: path.read_text() for path in (presets / "models").iterdir()}


def test_a_card_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="the card has fps 0 times"):
        ship.replace_value("width: 3\n", "fps", 8)


def test_the_examples_show_what_the_storybook_has() -> None:
    names = [{each.name for each in kind} for kind in (SUBJECTS, PLACES, MOTIONS)]
    for example in choose_examples.EXAMPLES:
        for name, known in zip(
            (example.subject, example.place, example.motion), names, strict=True
        ):
            assert name in known, example
        place = next(place for place in PLACES if place.name == example.place)
        assert any(words in example.prompt for words in place.words), example
    assert len({example.motion for example in choose_examples.EXAMPLES}) >= 7


def test_the_seed_is_taken_whose_clip_shows_what_the_prompt_says(
    films: dict[str, list[RenderedClip]],
) -> None:
    clips = films["left"]
    wanted = clips[3]
    example = ExamplePrompt(wanted.caption, wanted.subject.name, wanted.place.name, "left")

    def judge(pixels: np.ndarray) -> Verdict:
        clip = next(clip for clip in clips if clip.pixels is pixels)
        return Verdict(clip.subject.name, clip.place.name, clip.motion.name)

    seed, best = choose_seed(example, range(6), lambda seed: clips[seed].pixels, judge)
    assert seed == 3 and best > 3.6
    assert best == score(example, wanted.pixels, judge(wanted.pixels))
