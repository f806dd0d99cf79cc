"""The models as the page offers them: tasks, whether each runs here, what must be downloaded.

Uses the cards, the planner and the Hub's cache on disk, and never the network. Behind Redis other
machines make the clips, so this machine's plan and cache do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from errors import split_sentence
from pipelines.models.cards import ModelCard
from pipelines.models.loras import list_names
from pipelines.planning import ClipShape, Machine, Planner
from pipelines.planning.allowed_models import AllowedModels, download_gb
from pipelines.request import FittedRequest, Task
from settings import Settings

LEVELS = ("runs", "slow", "no")
ABOUT_LENGTH = 110
UNUSED = "A GPU of a worker cannot be used; /health says why."


class Models:
    """The cards on this machine. Verdicts are cached per machine: the worker may report another
    device later than was detected."""

    def __init__(
        self, cards: Mapping[str, ModelCard], settings: Settings, planner: Planner | None = None
    ) -> None:
        self.cards = cards
        self.settings = settings
        self.planner = planner or Planner(settings)
        self.allowed = AllowedModels(cards, settings, self.planner)
        self._verdicts: dict[tuple[str, Machine], dict[str, Any]] = {}

    def offer(self, task: Task) -> dict[str, Any]:
        """For the picker: those that run here first, in the order of the cards' files."""
        cards = self.allowed.cards().values()
        rows = [self.row(card) for card in cards if task in card.tasks]
        rows.sort(key=lambda row: LEVELS.index(row["level"]))
        return {"models": rows, "any": self.settings.any_model}

    def row(self, card: ModelCard) -> dict[str, Any]:
        return {
            "id": card.id,
            "name": card.name,
            "about": first_sentence(card.about),
            "license": card.license,
            "gated": card.gated,
            "download_gb": self._to_fetch_gb(card),
            **self._verdict(card),
        }

    def _verdict(self, card: ModelCard) -> dict[str, Any]:
        if self._made_elsewhere:
            device = self.planner.device
            unused = f" {UNUSED}" if device and device.problem else ""
            return {"level": "runs", "verdict": f"Made by a worker elsewhere.{unused}"}
        key = (card.id, self.planner.machine)
        if key not in self._verdicts:
            verdict = self.planner.verdict(card)
            self._verdicts[key] = {"level": verdict.level, "verdict": verdict.sentence}
        return self._verdicts[key]

    def facts(self, card: ModelCard, task: Task) -> dict[str, Any]:
        """For the controls that the page's script draws."""
        rules = card.rules
        return {
            "id": card.id,
            "name": card.name,
            "prompt": rules.prompt,
            "negative_prompt": card.defaults.negative_prompt if rules.negative_prompt else "",
            "last_image": rules.last_image and task is Task.IMAGE_TO_VIDEO,
            "lora": rules.lora,
            "loras": list_names(self.settings),
            "lora_hub": self.settings.loras_from_hub,
        }

    def refuse_what_cannot_run(self, card: ModelCard, fitted: FittedRequest) -> None:
        """Raises KinoraError with an action: another model, or a smaller clip."""
        if self._made_elsewhere:
            return
        shape, task = ClipShape.of(fitted), fitted.task
        self.planner.refuse_what_cannot_run(card, self.allowed.cards(), shape, task)
        self.allowed.check(card, task, upscale=fitted.upscale)

    def before_it_starts(self, card: ModelCard) -> list[str]:
        """Notes to show before the clip is started, besides the estimate."""
        notes: list[str] = []
        gb = self._to_fetch_gb(card)
        if gb:
            terms = " Its terms must be accepted on the Hub first." if card.gated else ""
            notes.append(f"{card.name} is not here yet: {size_label(gb)} come first, once.{terms}")
        row = self.row(card)
        if row["level"] == "slow":
            notes.append(row["verdict"])
        return notes

    @property
    def _made_elsewhere(self) -> bool:
        return self.settings.executor_kind == "redis"

    def _to_fetch_gb(self, card: ModelCard) -> float | None:
        return None if self._made_elsewhere else download_gb(card)


def first_sentence(text: str) -> str:
    """One line about it: the first sentence, cut at a word where that is long."""
    line = split_sentence(" ".join(text.split()))[0].rstrip(".")
    if len(line) > ABOUT_LENGTH:
        line = line[:ABOUT_LENGTH].rsplit(" ", 1)[0] + " …"
    return line


def size_label(gb: float) -> str:
    return f"{gb:.0f} GB" if gb >= 10 else f"{gb:.1f} GB" if gb >= 0.95 else f"{gb * 1000:.0f} MB"
