"""Whether a model can run here, in a sentence, and which one to use instead.

Knows cards, plans and the machine. Nothing is downloaded or loaded to find out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard
from pipelines.models.selection import same_repository
from pipelines.planning.demand import ClipShape
from pipelines.planning.device import Device
from pipelines.planning.machine import Machine, this_machine
from pipelines.planning.plan import USABLE, Plan, PlanOptions, Profile, gigabytes, plan_for
from pipelines.planning.sizes import sizes_of
from pipelines.planning.speed import SpeedGuess, guess_pace
from pipelines.request import Task
from settings import Settings

Level = Literal["runs", "slow", "no"]
SLOW_S = 600.0
UNUSED = "The GPU here cannot be used; /health says why."
SURE = 4.0
"""A guess of the time may be this many times too high."""


@dataclass(frozen=True)
class Verdict:
    """`no`: it cannot run here at all. `slow`: it can, but hardly anybody would wait for it."""

    level: Level
    sentence: str
    plan: Plan
    nearest: str | None = None
    """Where the level is `no`: the card that does most of the same and runs here."""
    code: ErrorCode = ErrorCode.TOO_LARGE

    @property
    def fits(self) -> bool:
        return self.level != "no"


class Planner:
    """Plans and verdicts for one machine and one operator's wishes."""

    def __init__(
        self,
        settings: Settings,
        machine: Machine | None = None,
        device: Callable[[], Device | None] = lambda: None,
    ) -> None:
        """`device` is what the worker says that it computes on, once it has said so: what is
        guessed here without torch may be wrong."""
        self._settings = settings
        self._machine = machine
        self._device = device
        self.wishes = PlanOptions.of(settings)

    @property
    def device(self) -> Device | None:
        """What the worker has said that it computes on."""
        return self._device()

    @property
    def machine(self) -> Machine:
        device = self.device
        return self._as_it_looks if device is None else self._as_it_looks.computing_on(device)

    @cached_property
    def _as_it_looks(self) -> Machine:
        """Looked at when it is first asked for: it takes a moment where there is a GPU."""
        return self._machine or this_machine(self._settings)

    def plan(self, card: ModelCard, shape: ClipShape | None = None) -> Plan:
        return plan_for(card, self.machine, self.wishes, shape)

    def pace(self, card: ModelCard, shape: ClipShape | None = None) -> SpeedGuess:
        return guess_pace(card, sizes_of(card), shape or ClipShape.default(card), self.machine)

    def verdict(
        self,
        card: ModelCard,
        cards: Mapping[str, ModelCard] | None = None,
        shape: ClipShape | None = None,
        task: Task | None = None,
    ) -> Verdict:
        """For the clip the card makes by default, or for one of that shape."""
        shape = shape or ClipShape.default(card)
        plan, machine = self.plan(card, shape), self.machine
        found = self._why_not(card, plan, shape)
        if found:
            code, sentence = found
            nearest = self._nearest(card, cards or {}, task)
            if nearest:
                sentence = f"{sentence} The nearest that runs here is {nearest.name}."
            return Verdict("no", sentence, plan, nearest.id if nearest else None, code)
        seconds = self.pace(card, shape).total(shape.steps)
        where = f"on the GPU ({machine.gpu_name})" if plan.device_name == "cuda" else "on the CPU"
        if plan.gpu_size == "xlarge":
            where += ", a whole one, which takes twice the quota"
        unused = f" {UNUSED}" if machine.gpu_problem else ""
        if seconds > SLOW_S and plan.device_name == "cpu":
            sentence = f"Runs here {where}, slowly: a clip may take {_long(seconds)}.{unused}"
            return Verdict("slow", sentence, plan)
        return Verdict("runs", f"Runs here {where}.{unused}", plan)

    def refuse_what_cannot_run(
        self,
        card: ModelCard,
        cards: Mapping[str, ModelCard],
        shape: ClipShape | None = None,
        task: Task | None = None,
    ) -> None:
        """A KinoraError whose button offers the nearest model that runs here, or a smaller clip."""
        verdict = self.verdict(card, cards, shape, task)
        if verdict.fits:
            return
        action: dict[str, Any] | None = None
        if shape and shape != ClipShape.default(card) and self.verdict(card, cards, task=task).fits:
            d = card.defaults
            size = {"width": d.width, "height": d.height, "num_frames": d.num_frames}
            action = {
                "label": f"Use {d.width}x{d.height}, {d.num_frames} frames",
                "set": size | {"duration_s": None},
            }
        elif verdict.nearest:
            nearest = cards[verdict.nearest]
            action = {"label": f"Use {nearest.name}", "set": {"model": nearest.id}}
        raise KinoraError(verdict.code, verdict.sentence, details={"field": "model"}, action=action)

    def describe(
        self, card: ModelCard, cards: Mapping[str, ModelCard] | None = None
    ) -> dict[str, Any]:
        """The verdict and what it rests on, for people and programs."""
        verdict, machine = self.verdict(card, cards), self.machine
        return {
            "model": card.id,
            "fits": verdict.fits,
            "level": verdict.level,
            "verdict": verdict.sentence,
            "nearest": verdict.nearest,
            "plan": verdict.plan.as_dict(),
            "seconds_guess": round(self.pace(card).total(card.defaults.num_inference_steps), 1),
            "ram_gb": round(machine.ram_gb, 1),
            "vram_gb": None if machine.vram_gb is None else round(machine.vram_gb, 1),
            "gpu_problem": machine.gpu_problem,
            "cpu_count": machine.cpu_count,
            "here": card.local_path is not None,
        }

    def _why_not(
        self, card: ModelCard, plan: Plan, shape: ClipShape
    ) -> tuple[ErrorCode, str] | None:
        machine = self.machine
        if not plan.fits:
            vram_gb = machine.xlarge_vram_gb or machine.vram_gb or 0.0
            if plan.device_name == "cuda" and plan.vram_gb > vram_gb * USABLE:
                piecewise = "" if plan.offload == "none" else ", even moved there piece by piece"
                sentence = (
                    f"{card.name} needs {gigabytes(plan.vram_gb)} on the GPU{piecewise}; "
                    f"this one has {vram_gb:.0f} GB."
                )
            else:
                sentence = (
                    f"{card.name} needs {gigabytes(plan.ram_gb)} of memory; "
                    f"this machine has {machine.ram_gb:.1f} GB."
                )
            return ErrorCode.TOO_LARGE, sentence
        if card.local_path is None and card.needs.disk_gb > machine.free_disk_gb:
            return ErrorCode.OUT_OF_DISK, (
                f"{card.name} is a download of {card.needs.disk_gb:g} GB; "
                f"{machine.free_disk_gb:.1f} GB of the disk are free."
            )
        seconds = self.pace(card, shape).total(shape.steps)
        allowed_s = self._settings.request_timeout_s
        if seconds / SURE > allowed_s:
            return ErrorCode.TOO_LARGE, (
                f"{card.name} would take about {_long(seconds)} here; "
                f"{_long(allowed_s)} is the longest one clip may take."
            )
        return None

    def _nearest(
        self, card: ModelCard, cards: Mapping[str, ModelCard], task: Task | None
    ) -> ModelCard | None:
        """Of those that run here and can do the task: the same family, then the largest."""
        wanted = {task} if task else set(card.tasks)
        levels: dict[str, Level] = {}
        for other in cards.values():
            if other.id != card.id and wanted & set(other.tasks):
                levels[other.id] = self.verdict(other).level
        found = [cards[i] for i, level in levels.items() if level != "no"]
        return max(
            found,
            key=lambda c: (
                levels[c.id] == "runs",
                wanted <= set(c.tasks),
                c.family == card.family,
                sizes_of(c).total,
            ),
            default=None,
        )


def parse_profile(name: str) -> Profile:
    if name not in ("fast", "balanced", "small"):
        raise KinoraError(
            ErrorCode.INVALID_INPUT, f"--profile is fast, balanced or small, not {name}."
        )
    return name


def _long(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} days"


NONE_AT_ALL = (
    "No model here can work over a given clip. Add the card of one that can, or send the Hub id of "
    "one as “model”."
)


def over_a_clip(cards: Mapping[str, ModelCard], planner: Planner, usual: ModelCard | None) -> str:
    """The usual model if it can, else one that runs well, and rather a relative of it, or one on
    this disk."""
    able = [card for card in cards.values() if Task.VIDEO_TO_VIDEO in card.tasks]
    if not able:
        raise _none(NONE_AT_ALL, able)
    levels = {card.id: planner.verdict(card, task=Task.VIDEO_TO_VIDEO).level for card in able}
    here = [card for card in able if levels[card.id] != "no"]
    if not here:
        names = ", ".join(card.name for card in able)
        sentence = "No model that runs on this machine can work over a given clip. These can: "
        raise _none(f"{sentence}{names}.", able)

    def rank(card: ModelCard) -> tuple[bool, ...]:
        runs = levels[card.id] == "runs"
        return card == usual, runs, same_repository(card, usual), card.local_path is not None

    return max(here, key=rank).id


def _none(sentence: str, able: list[ModelCard]) -> KinoraError:
    details = {"field": "model", "models": [card.id for card in able]}
    return KinoraError(ErrorCode.TASK_NOT_SUPPORTED, sentence, details=details)
