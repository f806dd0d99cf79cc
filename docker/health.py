"""Is what this container runs well? `python docker/health.py [serve|worker]`, exit status 0 or 1.

A server answers on its port; a worker has shown a sign of life in Redis within ten seconds. Without
a word it looks at what the container was started with. Knows addresses and names; no model.
"""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ANSWERS_S = 3.0


def server_answers() -> bool:
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    url = f"http://127.0.0.1:{port}/health"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=ANSWERS_S) as answer:
            return answer.status == 200
    except OSError:
        return False


def a_worker_of_this_machine_lives() -> bool:
    from redis.exceptions import RedisError

    from jobs.fleet.client import connect
    from jobs.fleet.protocol import RedisProtocol
    from settings import Settings

    address = Settings.load().redis_address
    if not address:
        return False
    try:
        cards = RedisProtocol(connect(address, timeout_s=ANSWERS_S)).workers().values()
    except RedisError:
        return False
    return any(card.host == socket.gethostname() for card in cards)


def started_as() -> str:
    words = Path("/proc/1/cmdline").read_bytes().split(b"\0")
    return "worker" if b"worker" in words else "serve"


def main(role: str) -> int:
    well = a_worker_of_this_machine_lives() if role == "worker" else server_answers()
    print(f"{role}: {'well' if well else 'does not answer'}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else started_as()))
