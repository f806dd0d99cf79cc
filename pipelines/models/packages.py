"""Python packages that only some models need, so that they are not required."""

from __future__ import annotations

from importlib.util import find_spec

from pipelines.models.cards import ModelCard
from pipelines.models.failures import Reason, failure


def check_packages(card: ModelCard) -> None:
    """Raises KinoraError(MODEL_REFUSED) where a package that the card's family needs is not
    installed. Imports nothing."""
    missing = [name for name in card.rules.packages if find_spec(name) is None]
    if missing:
        raise failure(Reason.MISSING_PACKAGE, card.name, " and ".join(missing))
