"""Which models visitors of a Space may use.

On a Space a model must not need a download or run slowly, because one visitor would keep all others
waiting. On ZeroGPU it must have been loaded before launch, because loading counts against the
visitor's GPU quota, again for each clip. Anywhere else every model is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard, find_by_repository
from pipelines.models.selection import preload_models
from pipelines.planning import Planner
from pipelines.request import Task
from settings import Settings, env_name

MOSTLY_CACHED = 0.9
"""The share of a card's `disk_gb`, itself an estimate, from which a model counts as downloaded."""
SETTING = "allow_heavy_models"


class AllowedModels:
    """The check for every way a clip can be requested. Reads the Hub's cache, never the network."""

    def __init__(
        self, cards: Mapping[str, ModelCard], settings: Settings, planner: Planner
    ) -> None:
        self._cards = cards
        self._settings = settings
        self._planner = planner
        self._slow: dict[str, bool] = {}

    def cards(self) -> dict[str, ModelCard]:
        """The installed cards that are allowed, in their order."""
        return {id_: card for id_, card in self._cards.items() if self.allows(card)}

    def allows(self, card: ModelCard) -> bool:
        return self._why_not(card) is None

    def unknown_model(self, name: str) -> KinoraError:
        """The error for a model that no card describes. On a Space that includes ids of the Hub."""
        names = ", ".join(card.name for card in self.cards().values())
        sentence = f"There is no model called “{name}” here."
        if "/" in name:
            sentence = (
                f"“{name}” is not offered on this Space: it would have to be downloaded first."
            )
        error = self._refusal(f"{sentence} Offered here: {names}.", "model", None)
        return KinoraError(ErrorCode.UNKNOWN_MODEL, error.message, details=error.details)

    @property
    def is_limited(self) -> bool:
        return not self._allows_all

    def check(self, card: ModelCard, task: Task | None = None, *, upscale: bool = False) -> None:
        """Raises KinoraError(MODEL_REFUSED) for a card that is not allowed, with the first allowed
        one as its action."""
        why = self._why_not(card)
        if why is None and upscale:
            why = self._why_not_upscaled(card)
            if why:
                action = {"label": "Make it without upscaling", "set": {"upscale": False}}
                raise self._refusal(why, "upscale", action)
        if why is None:
            return
        others = [x for x in self.cards().values() if task is None or task in x.tasks]
        names = f" Offered here: {', '.join(x.name for x in others[:3])}." if others else ""
        action = (
            {"label": f"Use {others[0].name}", "set": {"model": others[0].id}} if others else None
        )
        raise self._refusal(f"{why}{names}", "model", action)

    # -- inside ----------------------------------------------------------------------------------

    @cached_property
    def _allows_all(self) -> bool:
        # behind Redis other machines make the clips, so no visitor waits for the Space's GPU
        return self._settings.heavy_models or self._settings.executor_kind == "redis"

    @cached_property
    def _preloaded(self) -> set[str]:
        """Ids of the models that are loaded at the start: allowed, as the operator chose them."""
        cards = self._cards
        try:
            names = [name for name, _task in preload_models(cards, self._settings)]
        except KinoraError:
            return set()
        found = [cards.get(name) or find_by_repository(name, cards.values()) for name in names]
        return {card.id for card in found if card} | set(names)

    def _why_not(self, card: ModelCard) -> str | None:
        if self._allows_all or card.id in self._preloaded:
            return None
        if self._settings.zero_gpu:
            return (
                f"{card.name} is not offered on this Space: "
                "it was not loaded before the Space started."
            )
        if download_gb(card) is not None or any(map(_is_missing, card.parts.values())):
            return (
                f"{card.name} is not offered on this Space: it would have to be downloaded first."
            )
        # remembered, as a verdict reads safetensors headers and this is called for every card
        if card.id not in self._slow:
            self._slow[card.id] = self._planner.verdict(card).level == "slow"
        if self._slow[card.id]:
            return f"{card.name} is not offered on this Space: it is too slow here."
        return None

    def _why_not_upscaled(self, card: ModelCard) -> str | None:
        if self._allows_all or card.latent_upsampler is None:
            return None
        if self._settings.zero_gpu:
            return (
                f"Upscaling with {card.name} is not offered on this Space: "
                "its second model is not loaded before launch."
            )
        if _is_missing(card.latent_upsampler):
            return (
                f"Upscaling with {card.name} is not offered on this Space: "
                "its second model would have to be downloaded."
            )
        return None

    def _refusal(self, sentence: str, field: str, action: dict[str, object] | None) -> KinoraError:
        setting = env_name(SETTING)
        return KinoraError(
            ErrorCode.MODEL_REFUSED,
            f"{sentence} The owner of this Space can allow it with {setting}=true.",
            details={"field": field, "setting": setting},
            action=action,
        )


def download_gb(card: ModelCard) -> float | None:
    """Gigabytes still to be downloaded; None where the files are on this machine.

    An estimate from the size of the cache folder, so what is nearly complete counts as complete."""
    if card.is_local:
        return None
    left = card.needs.disk_gb - _cached_gb(card.repo)
    return round(left, 2) if left > card.needs.disk_gb * (1 - MOSTLY_CACHED) else None


def _is_missing(part: str) -> bool:
    """Whether nothing of a part is cached: `owner/name[/folder][@revision]`."""
    repo = "/".join(part.partition("@")[0].split("/")[:2])
    return part[0] not in "./" and _cached_gb(repo) == 0


def _cached_gb(repo: str) -> float:
    from huggingface_hub.constants import HF_HUB_CACHE

    blobs = Path(HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "blobs"
    try:
        with os.scandir(blobs) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.is_file()) / 1e9
    except OSError:
        return 0.0
