"""A process with HF_ENDPOINT set, as an operator would set it, that runs the tests' commands.

huggingface_hub reads its environment when it is imported, so the tests talk to this child over its
standard input and output, a JSON object a line: {"act": name, ...} -> {"value": ...} or
{"error": {...}}. Retries are fast here.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from errors import KinoraError
from pipelines.models.cards import load_cards
from pipelines.models.catalog import Catalog
from pipelines.models.download import RetryPolicy
from pipelines.models.hub import Hub
from pipelines.request import Task
from settings import Settings

PATIENCE = RetryPolicy(tries=4, first_wait_s=0.01, longest_wait_s=0.1, timeout_s=2.0)


def settings_of(data_dir: str, models_dir: str, **more: Any) -> Settings:
    return Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=Path(data_dir),
        models_dir=Path(models_dir),
        previews=False,
        torch_dtype="float32",
        **more,
    )


def get(model: str, task: str, settings: dict[str, Any], callers: int = 1) -> dict[str, Any]:
    """Through the manager, as a job does; several callers at once where wanted."""
    from pipelines.engine.manager import PipelineManager

    made = settings_of(**settings)
    hub = Hub(made, PATIENCE)
    manager = PipelineManager(Catalog(load_cards(made.models_dir), made, hub), made, hub)
    told: list[Any] = []
    with ThreadPoolExecutor(callers) as pool:
        waiting = [
            pool.submit(manager.get, model, Task(task), told.append if n == 0 else None)
            for n in range(callers)
        ]
        loaded = [each.result() for each in waiting]
    try:
        return {
            "class": type(loaded[0].pipe).__name__,
            "revision": loaded[0].card.revision,
            "same": len({id(each.weights) for each in loaded}) == 1,
            "told": [vars(progress) for progress in told],
        }
    finally:
        manager.close()


def fetch(repo: str, settings: dict[str, Any], stop_after: int | None = None) -> dict[str, Any]:
    """Everything a repository has, without loading it; given up after so many bytes."""
    hub = Hub(settings_of(**settings), PATIENCE)
    told: list[tuple[int, int]] = []

    def report(done: int, total: int) -> None:
        told.append((done, total))
        if stop_after is not None and done >= stop_after:
            raise InterruptedError

    listing = hub.listing(repo)
    try:
        folder = hub.fetch(listing, list(listing.files), report)
    except InterruptedError:
        return {"stopped": True, "told": told}
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {"files": found, "told": told, "folder": str(folder)}


def card(name: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    made = settings_of(**settings)
    catalog = Catalog(load_cards(made.models_dir), made, Hub(made, PATIENCE))
    found = catalog.find(name)
    return found and found.model_dump(mode="json")


class After:
    """A person who discards the clip once so much of it was heard of."""

    def __init__(self, events: int) -> None:
        self.left = events

    def cancelled(self) -> bool:
        return self.left <= 0

    def finish_now(self) -> bool:
        return False


def discard(model: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A job that is discarded while its model is on the way."""
    from jobs.event_types import WorkerEvent, to_json
    from jobs.job import Job, State
    from jobs.workers.run import run_job
    from pipelines.engine.manager import PipelineManager
    from pipelines.models.fit import Limits, fit
    from pipelines.preview import Preview
    from pipelines.request import GenerationRequest

    made = settings_of(**settings)
    hub = Hub(made, PATIENCE)
    catalog = Catalog(load_cards(made.models_dir), made, hub)
    request = GenerationRequest(prompt="a dog", model=model, seed=1)
    fitted = fit(request, catalog[model], Limits())
    job = Job(
        id="a" * 32,
        owner="me",
        state=State.RUNNING,
        request=request,
        fitted=fitted,
        created_at=time.time(),
    )
    person, heard = After(2), []

    def emit(event: WorkerEvent) -> None:
        assert not isinstance(event, Preview)
        heard.append([event.kind, to_json(event)])
        person.left -= 1

    began = time.monotonic()
    manager = PipelineManager(catalog, made, hub)
    try:
        run_job(job, manager, emit, person, made.data_dir, made.data_dir, made)
    except KinoraError as error:
        return {"code": error.code.value, "heard": heard, "seconds": time.monotonic() - began}
    return {"code": None, "heard": heard}


def upsampler(settings: dict[str, Any]) -> dict[str, Any]:
    """The model, and then what enlarges its clips."""
    from pipelines.engine.manager import PipelineManager

    made = settings_of(**settings)
    hub = Hub(made, PATIENCE)
    manager = PipelineManager(Catalog(load_cards(made.models_dir), made, hub), made, hub)
    told: list[Any] = []
    try:
        loaded = manager.get("pocket", Task.TEXT_TO_VIDEO)
        manager.load_upsampler(loaded, told.append)
        found = loaded.weights.components["latent_upsampler"]
        return {"class": type(found).__name__, "told": [vars(progress) for progress in told]}
    finally:
        manager.close()


def modules() -> list[str]:
    return sorted({name.split(".")[0] for name in sys.modules})


ACTS = {
    "get": get,
    "fetch": fetch,
    "card": card,
    "discard": discard,
    "upsampler": upsampler,
    "modules": modules,
}


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        began = time.perf_counter()
        try:
            answer: dict[str, Any] = {"value": ACTS[asked.pop("act")](**asked)}
        except KinoraError as error:
            answer = {"error": error.as_dict()}
        except Exception:  # goes to the test, whole
            answer = {"crash": traceback.format_exc()}
        answer["seconds"] = time.perf_counter() - began
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
