"""The worker for edits in a fleet: python -m tests.jobs.edit_worker"""

from __future__ import annotations

import logging

from jobs.fleet.worker import RedisWorker
from jobs.workers.edit_process import EditBackend
from settings import Settings


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s worker: %(message)s")
    settings = Settings.load()
    RedisWorker(settings, EditBackend(settings), ["pocket"]).run()


if __name__ == "__main__":
    main()
