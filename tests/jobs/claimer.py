"""One of many processes that claim from one store.

    python -m tests.jobs.claimer URL

For each "go" it claims until nothing is left, and says the ids in one line; before them, how often
it was told that the database cannot be reached (SQLite is not fair: who asks may be passed over
for half a minute), and asked again.
"""

from __future__ import annotations

import sys

from errors import ErrorCode, KinoraError
from jobs.store import JobStore


def main(url: str) -> None:
    store = JobStore(url)
    print("ready", flush=True)
    for _ in sys.stdin:
        again, ids = claim_all(store)
        print(again, *ids, flush=True)
    store.close()


def claim_all(store: JobStore) -> tuple[int, list[str]]:
    again, ids = 0, []
    while True:
        try:
            job = store.claim()
        except KinoraError as error:
            if error.code is not ErrorCode.UNAVAILABLE:
                raise
            again += 1
            continue
        if job is None:
            return again, ids
        ids.append(job.id)


if __name__ == "__main__":
    main(sys.argv[1])
