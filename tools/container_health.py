"""The containers' health check: `python -m tools.container_health [serve|worker]`, exits 0 or 1.

A server must answer on its port; a worker must have sent a heartbeat to Redis in the last ten
seconds. Without an argument the role is taken from the container's command.
"""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from pathlib import Path

TIMEOUT_S = 3.0


def server_answers() -> bool:
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    url = f"http://127.0.0.1:{port}/health"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=TIMEOUT_S) as response:
            return response.status == 200
    except OSError:
        return False


def worker_is_registered() -> bool:
    """Whether Redis has a live worker of this host."""
    from redis.exceptions import RedisError

    from jobs.fleet.client import connect
    from jobs.fleet.protocol import RedisProtocol
    from settings import Settings

    address = Settings.load().redis_address
    if not address:
        return False
    try:
        workers = RedisProtocol(connect(address, timeout_s=TIMEOUT_S)).workers().values()
    except RedisError:
        return False
    return any(worker.host == socket.gethostname() for worker in workers)


def container_role() -> str:
    command = Path("/proc/1/cmdline").read_bytes().split(b"\0")
    return "worker" if b"worker" in command else "serve"


def main(role: str) -> int:
    healthy = worker_is_registered() if role == "worker" else server_answers()
    print(f"{role}: {'healthy' if healthy else 'no response'}")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else container_role()))
