from __future__ import annotations

import subprocess
import sys

from pipelines.cards import ROOT, ModelCard, Needs
from pipelines.placement import describe


def test_a_card_is_described_in_a_sentence(tiny_cards: dict[str, ModelCard]) -> None:
    told = describe(tiny_cards["pocket"])
    assert told["fits"] is True
    assert told["verdict"].startswith("Runs here")
    assert told["here"] is True


def test_a_model_larger_than_the_machine_is_told_so(tiny_cards: dict[str, ModelCard]) -> None:
    card = tiny_cards["pocket"].model_copy(update={"needs": Needs(ram_gb=100_000, disk_gb=1)})
    told = describe(card)
    assert told["fits"] is False
    assert "Needs 100000 GB" in told["verdict"]


def test_the_light_half_imports_no_torch() -> None:
    code = (
        "import sys, settings, errors, pipelines.request, pipelines.cards, pipelines.fit,"
        " pipelines.placement, pipelines.families;"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
