from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from errors import KinoraError
from pipelines.engine.families import FAMILIES
from pipelines.models.cards import ROOT, ModelCard, load_cards
from pipelines.models.rules import RULES, Steps
from tests import tiny

PRESETS = ROOT / "presets" / "models"


def test_every_preset_is_a_valid_card() -> None:
    cards = load_cards(PRESETS)
    assert "pocket" in cards
    for name, card in cards.items():
        assert name == card.id
        assert card.license


def test_every_family_with_rules_has_a_module() -> None:
    assert set(RULES) == set(FAMILIES)


def test_a_card_may_override_its_familys_rules(tiny_cards: dict[str, ModelCard]) -> None:
    assert tiny_cards["pocket"].rules.frames == Steps(of=2, plus=1)
    assert RULES["ltx"].frames == Steps(of=8, plus=1)


def test_a_repo_may_be_a_folder_or_a_hub_id(tiny_cards: dict[str, ModelCard]) -> None:
    card = tiny_cards["pocket"]
    assert card.is_local
    assert card.local_path is not None
    hub = card.model_copy(update={"repo": "Lightricks/LTX-Video"})
    assert not hub.is_local
    assert hub.local_path is None


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("defaults", "width", 60),
        ("defaults", "num_frames", 10),
        ("defaults", "num_frames", 99),
        ("defaults", "fps", 60),
        ("limits", "max_width", 100),
        ("limits", "max_frames", 32),
        ("limits", "unheard_of", 1),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(
    tmp_path: Path, part: str, key: str, value: int
) -> None:
    tiny.write_card(tmp_path, tmp_path, **{part: {**dict(tiny.CARD[part]), key: value}})  # pyright: ignore
    with pytest.raises(KinoraError, match=r"pocket\.yaml"):
        load_cards(tmp_path)


def test_two_cards_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tiny.write_card(tmp_path, tmp_path)
    (tmp_path / "other.yaml").write_text(path.read_text())
    with pytest.raises(KinoraError, match="Two model cards"):
        load_cards(tmp_path)


def test_a_card_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("id: [")
    with pytest.raises(KinoraError, match=r"broken\.yaml"):
        load_cards(tmp_path)


def test_yaml_in_a_card_can_run_nothing(tmp_path: Path) -> None:
    (tmp_path / "evil.yaml").write_text("id: !!python/object/apply:os.getcwd []")
    with pytest.raises(KinoraError, match=r"evil\.yaml"):
        load_cards(tmp_path)
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load("!!python/object/apply:os.getcwd []")
