"""Everything there is to know of one folder: what Kinora offers for it, and what comes of that."""

from __future__ import annotations

import inspect
import re
import time
from pathlib import Path
from typing import Any

from tests.pipelines.any.clip import FRAMES, SIDE, STEPS, Clip
from tests.pipelines.any.findings import Report
from tests.pipelines.any.kinora import Kinora, KinoraError
from tests.pipelines.any.plain import has_true_guidance
from tests.pipelines.any.second import SecondClip
from tests.pipelines.any.truth import LEAST_FRAMES, LEAST_STEPS, rate_of, truth_of
from tests.zoo.any.build import Folder


def examine(
    kinora: Kinora, folder: Folder, path: Path, classes: list[type[Any]], half: Kinora | None = None
) -> Report:
    import diffusers

    began = time.process_time()
    report = Report(folder.name, folder.of)
    of: type[Any] = getattr(diffusers, folder.of)
    card = offered(kinora, folder.name, folder.name, folder.of, report)
    if card is not None:
        _defaults(card, of, report)
        for task in card.tasks:
            Clip(kinora, card, task, of, path, report, classes, half).examine()
            SecondClip(kinora, card, task, of, path, report, classes, None).examine()
        kinora.forget(card)
    report.seconds = time.process_time() - began
    return report


def offered(kinora: Kinora, name: str, folder: str, class_name: str, report: Report) -> Any:
    """The card, or None where the folder is refused; says where that is not the truth."""
    truth = truth_of(folder, class_name)
    report.examined.add("tasks")
    try:
        card = kinora.card(name)
    except KinoraError as error:
        report.sentence = error.message
        report.examined.add("sentence")
        said = error.message.replace(class_name, "").replace(name, "")  # names prove nothing
        if truth.unless is None or not re.search(truth.unless, said, re.I):
            sentence = error.message.replace(f"local/{name}", "it")
            report.say("C", "tasks", f"refused: “{sentence}”; true is: {truth.words}")
        return None
    tasks = {task.value for task in card.tasks}
    report.family, report.offers = card.family, ",".join(task.value for task in card.tasks)
    must, may = set(truth.must.split()), set(truth.may.split())
    if not (must and must <= tasks <= must | may):
        kind = "A" if must else "C"
        report.say(kind, "tasks", f"offers {report.offers}; true is: {truth.words}")
    return card


def _defaults(card: Any, of: type[Any], report: Report) -> None:
    parameters = inspect.signature(of.__call__).parameters
    d, rate = card.defaults, rate_of(report.folder, of)
    report.examined.add("limits")
    if rate is not None and rate != d.fps:
        report.say("F", "fps", f"{d.fps} frames per second; the class says {rate}")
    for name, value in (
        ("num_inference_steps", d.num_inference_steps),
        ("guidance_scale", d.guidance_scale),
    ):
        own = getattr(parameters.get(name), "default", None)
        if name == "guidance_scale" and has_true_guidance(of):
            own = parameters["true_cfg_scale"].default
        if isinstance(own, int | float) and not isinstance(own, bool) and own != value:
            report.say(
                "A" if card.family != "generic" else "F", name, f"{value}; the class says {own}"
            )
    m = card.limits
    least = max(LEAST_FRAMES.get(report.class_name, FRAMES), _chunk_frames(of))
    if max(m.min_width, m.min_height) > SIDE or m.min_frames > least or m.max_width < SIDE:
        report.say("A", "limits", f"{m.min_width}x{m.min_height}, {m.min_frames} frames at least")
    if not m.min_steps <= LEAST_STEPS.get(report.class_name, STEPS) <= m.max_steps:
        report.say("A", "steps-limits", f"{m.min_steps} to {m.max_steps} steps only")
    if _can_be_guided(of) and not card.rules.guidance:
        report.say("A", "takes-guidance", "the class is guided, which is not offered")
    if "negative_prompt" in parameters and not card.rules.negative_prompt:
        own = getattr(parameters.get("true_cfg_scale"), "default", None)
        if own is None or own > 1:
            report.say("A", "takes-negative_prompt", "the class takes one, which is not offered")


def _chunk_frames(of: type[Any]) -> int:
    """Fewer frames than one chunk cannot be had; of a VAE that compresses four times, as these.
    FramePack's also has the latent frame of the picture."""
    parameters = inspect.signature(of.__call__).parameters
    pictures = {"num_latent_frames_per_chunk": 0, "latent_window_size": 1}
    latents = [parameters[n].default + more for n, more in pictures.items() if n in parameters]
    return max(((each - 1) * 4 + 1 for each in latents), default=0)


def _can_be_guided(of: type[Any]) -> bool:
    """By an argument, or by a guider of its own."""
    names = {*inspect.signature(of.__call__).parameters, *inspect.signature(of.__init__).parameters}
    return bool(names & {"guidance_scale", "true_cfg_scale", "guider"})
