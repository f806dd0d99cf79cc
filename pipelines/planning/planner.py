"""Decides whether a model can run here, and which one to use instead.

Nothing is downloaded or loaded for it.
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
from pipelines.planning.sizes import model_sizes
from pipelines.planning.speed import SpeedGuess, guess_speed
from pipelines.request import Task
from settings import Settings

Level = Literal["runs", "slow", "no"]
SLOW_S = 600.0
UNUSED = "The GPU here cannot be used; /health says why."
GUESS_TOLERANCE = 4.0
"""The guess of the time may be this many times too high before a model is refused for it."""


@dataclass(frozen=True)
class PlanVerdict:
    """`no`: it cannot run here at all. `slow`: a clip takes longer than `SLOW_S` seconds."""

    level: Level
    sentence: str
    plan: Plan
    nearest: str | None = None
    """For `no`: the id of the most similar card that runs here."""
    code: ErrorCode = ErrorCode.TOO_LARGE

    @property
    def fits(self) -> bool:
        return self.level != "no"


class Planner:
    """Plans and verdicts for one machine and one operator's options."""

    def __init__(
        self,
        settings: Settings,
        machine: Machine | None = None,
        device: Callable[[], Device | None] = lambda: None,
    ) -> None:
        """`device` returns the device that the worker has reported, None before that: what is
        guessed here without torch may be wrong."""
        self._settings = settings
        self._machine = machine
        self._device = device
        self.options = PlanOptions.of(settings)

    @property
    def device(self) -> Device | None:
        """The device that the worker has reported."""
        return self._device()

    @property
    def machine(self) -> Machine:
        device = self.device
        return (
            self._detected_machine if device is None else self._detected_machine.with_device(device)
        )

    @cached_property
    def _detected_machine(self) -> Machine:
        # lazily, because nvidia-smi takes a moment
        return self._machine or this_machine(self._settings)

    def plan(self, card: ModelCard, shape: ClipShape | None = None) -> Plan:
        return plan_for(card, self.machine, self.options, shape)

    def speed(self, card: ModelCard, shape: ClipShape | None = None) -> SpeedGuess:
        return guess_speed(card, model_sizes(card), shape or ClipShape.default(card), self.machine)

    def verdict(
        self,
        card: ModelCard,
        cards: Mapping[str, ModelCard] | None = None,
        shape: ClipShape | None = None,
        task: Task | None = None,
    ) -> PlanVerdict:
        """The verdict for a clip of that shape, by default the card's own.

        `cards` are the candidates for `nearest`, `task` what they must be able to do."""
        shape = shape or ClipShape.default(card)
        plan, machine = self.plan(card, shape), self.machine
        found = self._why_not(card, plan, shape)
        if found:
            code, sentence = found
            nearest = self._nearest(card, cards or {}, task)
            if nearest:
                sentence = f"{sentence} The nearest that runs here is {nearest.name}."
            return PlanVerdict("no", sentence, plan, nearest.id if nearest else None, code)
        seconds = self.speed(card, shape).total(shape.steps)
        unused = f" {UNUSED}" if machine.gpu_problem else ""
        if plan.device_name == "cpu":
            if seconds <= SLOW_S:
                return PlanVerdict("runs", f"Runs here on the CPU.{unused}", plan)
            sentence = f"Runs here on the CPU, slowly: a clip may take {_format_duration(seconds)}."
            return PlanVerdict("slow", f"{sentence}{unused}", plan)
        sentence = f"Runs here on the GPU ({machine.gpu_name})."
        if plan.gpu_size == "xlarge":
            sentence = (
                f"Runs here on the GPU ({machine.gpu_name}), a whole one, which takes twice the "
                "quota."
            )
        return PlanVerdict("runs", f"{sentence}{unused}", plan)

    def refuse_what_cannot_run(
        self,
        card: ModelCard,
        cards: Mapping[str, ModelCard],
        shape: ClipShape | None = None,
        task: Task | None = None,
    ) -> None:
        """Raises KinoraError(TOO_LARGE or OUT_OF_DISK) for a verdict of `no`; its action is the
        nearest model that runs here, or the card's default size."""
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
        """The verdict with the plan and the machine behind it, as JSON."""
        verdict, machine = self.verdict(card, cards), self.machine
        return {
            "model": card.id,
            "fits": verdict.fits,
            "level": verdict.level,
            "verdict": verdict.sentence,
            "nearest": verdict.nearest,
            "plan": verdict.plan.as_dict(),
            "seconds_guess": round(self.speed(card).total(card.defaults.num_inference_steps), 1),
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
                needed = gigabytes(plan.vram_gb)
                sentence = (
                    f"{card.name} needs {needed} on the GPU; this one has {vram_gb:.0f} GB."
                    if plan.offload == "none"
                    else f"{card.name} needs {needed} on the GPU, even moved there piece by piece; "
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
        seconds = self.speed(card, shape).total(shape.steps)
        allowed_s = self._settings.request_timeout_s
        # only what is hopeless is refused: the guess may be far too high
        if seconds / GUESS_TOLERANCE > allowed_s:
            return ErrorCode.TOO_LARGE, (
                f"{card.name} would take about {_format_duration(seconds)} here; "
                f"{_format_duration(allowed_s)} is the longest one clip may take."
            )
        return None

    def _nearest(
        self, card: ModelCard, cards: Mapping[str, ModelCard], task: Task | None
    ) -> ModelCard | None:
        """Of the cards that run here and can do the task: fast ones first, then those of the same
        tasks and family, then the largest."""
        tasks = {task} if task else set(card.tasks)
        levels: dict[str, Level] = {}
        for other in cards.values():
            if other.id != card.id and tasks & set(other.tasks):
                levels[other.id] = self.verdict(other).level
        found = [cards[i] for i, level in levels.items() if level != "no"]
        return max(
            found,
            key=lambda c: (
                levels[c.id] == "runs",
                tasks <= set(c.tasks),
                c.family == card.family,
                model_sizes(c).total,
            ),
            default=None,
        )


def parse_profile(name: str) -> Profile:
    if name not in ("fast", "balanced", "small"):
        raise KinoraError(
            ErrorCode.INVALID_INPUT, f"--profile is fast, balanced or small, not {name}."
        )
    return name


def _format_duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} days"


NO_VIDEO_MODEL = (
    "No model here can work over a given clip. Add the card of one that can, or send the Hub id of "
    "one as “model”."
)


def default_video_to_video_model(
    cards: Mapping[str, ModelCard], planner: Planner, usual: ModelCard | None
) -> str:
    """The id of `usual` if it can work over a clip, else of a model that runs well, preferably of
    the same repository or on this disk.

    Raises KinoraError(TASK_NOT_SUPPORTED) where no card can, or none that runs here."""
    able = [card for card in cards.values() if Task.VIDEO_TO_VIDEO in card.tasks]
    if not able:
        raise _unsupported(NO_VIDEO_MODEL, able)
    levels = {card.id: planner.verdict(card, task=Task.VIDEO_TO_VIDEO).level for card in able}
    runnable = [card for card in able if levels[card.id] != "no"]
    if not runnable:
        names = ", ".join(card.name for card in able)
        sentence = "No model that runs on this machine can work over a given clip. These can: "
        raise _unsupported(f"{sentence}{names}.", able)

    def rank(card: ModelCard) -> tuple[bool, ...]:
        runs = levels[card.id] == "runs"
        return card == usual, runs, same_repository(card, usual), card.local_path is not None

    return max(runnable, key=rank).id


def _unsupported(sentence: str, able: list[ModelCard]) -> KinoraError:
    details = {"field": "model", "models": [card.id for card in able]}
    return KinoraError(ErrorCode.TASK_NOT_SUPPORTED, sentence, details=details)
