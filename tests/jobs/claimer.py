"""One of many processes that claim from one store.

python -m tests.jobs.claimer URL        "go" claims until nothing is left, then one line of ids
"""

from __future__ import annotations

import sys

from jobs.store import JobStore


def main(url: str) -> None:
    store = JobStore(url)
    print("ready", flush=True)
    for _ in sys.stdin:
        ids: list[str] = []
        while job := store.claim():
            ids.append(job.id)
        print(*ids, flush=True)
    store.close()


if __name__ == "__main__":
    main(sys.argv[1])
