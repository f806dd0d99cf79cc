"""A server to be killed: submits clips, and says so only when they were accepted.

    python -m tests.jobs.harness HOW_MANY      submit that many, then work until killed
    python -m tests.jobs.harness 0             work until nothing is left, then end

Configured by the environment, as the app is. One line per fact: "accepted ID", "ready", "idle".
"""

from __future__ import annotations

import sys
import time

from app import executor_for
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import load_cards
from pipelines.request import GenerationRequest
from settings import Settings


def main(how_many: int) -> None:
    settings = Settings.load()
    service = JobService(
        JobStore(settings.database_url),
        executor_for(settings),
        load_cards(settings.models_dir),
        settings,
    )
    with service:
        for seed in range(how_many):
            request = GenerationRequest(prompt="a dog", seed=seed, num_inference_steps=20)
            print("accepted", service.submit(request, f"visitor:{seed % 3}").id, flush=True)
        while service.health()["state"] == "starting":
            time.sleep(0.02)
        print("ready", flush=True)
        while how_many or service._store.servers():
            time.sleep(0.1)
        print("idle", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
