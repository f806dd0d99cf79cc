"""Example prompts and pictures of a tab, and the route that serves the pictures."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.models.cards import Example, ModelCard
from pipelines.request import Task
from settings import ROOT
from web.files import send_file

FOLDER = ROOT / "presets" / "examples"
PREFIX = "/kinora/examples"


def examples_of(card: ModelCard, task: Task) -> tuple[Example, ...]:
    """The card's own examples for a task; for image to video else the pictures for all models."""
    wants_picture = task is Task.IMAGE_TO_VIDEO
    own = tuple(each for each in card.examples if bool(each.image) == wants_picture)
    return own or (_pictures() if wants_picture else ())


def picture_of(example: Example) -> Path | None:
    return FOLDER / example.image if example.image else None


def view(example: Example) -> dict[str, Any]:
    """For the page; the picture's address is relative to the page, as Gradio's own are."""
    return {
        "prompt": example.prompt,
        "picture": f"{PREFIX[1:]}/{example.image}" if example.image else None,
    }


def route() -> Route:
    return Route(f"{PREFIX}/{{name:str}}", _send)


@lru_cache(maxsize=1)
def _pictures() -> tuple[Example, ...]:
    entries: Any = yaml.safe_load((FOLDER / "pictures.yaml").read_text(encoding="utf-8"))
    return tuple(Example.model_validate(entry) for entry in entries)


async def _send(request: Request) -> Response:
    name = request.path_params["name"]
    # only what is in the folder is served: no name leads out of it
    found = next((path for path in FOLDER.glob("*.webp") if path.name == name), None)
    return Response(status_code=404) if found is None else send_file(request, found)
