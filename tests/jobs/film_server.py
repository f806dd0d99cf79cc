"""A server that makes one film, for the tests that kill it.

    python -m tests.jobs.film_server

    out   "film ID"   "event KIND N": the Nth event of that kind, of whichever job

Configured by the environment, as the app is: with Redis its workers are a fleet.
"""

from __future__ import annotations

import os
import sys
from collections import Counter

from jobs.event_types import Event
from jobs.film import FilmRequest
from jobs.fleet.dispatcher import RedisExecutor
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.process import ProcessExecutor
from pipelines.models.cards import load_cards
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.film_worker import MODULE

STEPS = 12
OWNER = "visitor:films"
FADE_S = 0.5
FILM = FilmRequest.model_validate(
    {
        "shots": [
            {"prompt": "a dog"},
            {"prompt": "it runs", "cut": "continue"},
            {"prompt": "a cat", "cut": "crossfade"},
        ],
        "settings": GenerationRequest(
            num_inference_steps=STEPS, width=96, height=64, fps=8, duration_s=1
        ),
        "crossfade_s": FADE_S,
    }
)


def film_service(settings: Settings) -> JobService:
    """As the app builds it, with workers that need no model."""
    is_fleet = settings.executor_kind == "redis"
    executor = RedisExecutor(settings) if is_fleet else ProcessExecutor(settings, MODULE)
    cards = load_cards(settings.models_dir)
    return JobService(JobStore(settings.database_url), executor, cards, settings)


def main() -> None:
    seen: Counter[str] = Counter()

    def say(*words: object) -> None:
        """A whole line in one write: several threads say things here."""
        os.write(1, (" ".join(map(str, words)) + "\n").encode())

    def tell(event: Event) -> None:
        seen[event.kind] += 1
        say("event", event.kind, seen[event.kind])

    with film_service(Settings.load()) as service:
        service._store.subscribe(tell)
        say("film", service.submit_film(FILM, OWNER).film.id)
        sys.stdin.read()


if __name__ == "__main__":
    main()
