"""A server for the tests that kill servers. It reads commands and prints what it has done.

    python -m tests.jobs.scripted_server

    in    "submit KEY"    submits a clip with that key      "drain"   ends when no job is left
    out   "opening", "started NAME", "submitting KEY", "accepted KEY ID", "event KIND ID", "idle"

Configured by the environment, as the app is; its worker's engine is a fake.
"""

from __future__ import annotations

import os
import sys
import time

from jobs.event_types import Event
from jobs.job import IdempotencyKey
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.process import ProcessExecutor
from pipelines.models.cards import load_cards
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.fake_engine_worker import MODULE


def say(*words: object) -> None:
    """A whole line in one write: `print` makes two, and two threads say things here."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def tell(event: Event) -> None:
    say("event", event.kind, event.job_id)


def main() -> None:
    settings = Settings.load()
    say("opening")
    store = JobStore(settings.database_url)
    store.subscribe(tell)
    executor = ProcessExecutor(settings, MODULE)
    with JobService(store, executor, load_cards(settings.models_dir), settings) as service:
        say("started", store.server)
        for line in sys.stdin:
            match line.split():
                case ["submit", key]:
                    submit(service, key)
                case _:
                    break
        while service._store.servers():
            time.sleep(0.02)
        say("idle")


def submit(service: JobService, key: str) -> None:
    number = int(key)
    request = GenerationRequest(prompt="a dog", seed=number, num_inference_steps=5)
    say("submitting", key)
    job = service.submit(request, f"visitor:{number % 3}", idempotency_key=IdempotencyKey(key, key))
    say("accepted", key, job.id)


if __name__ == "__main__":
    main()
