"""`make bench`: waiting times in seconds, and the whole job against plain diffusers.

    python -m bench [page] [generate] [clip] [overhead] [scaling] [signing] [gallery]
        [near-copies] [operations] [watermark] [--rounds N]

Exit status 1 if a figure misses its bound.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from bench import (
    cold_generate,
    first_clip,
    gallery_pages,
    near_copies,
    operations,
    overhead,
    page_start,
    scaling,
    signing_time,
    watermark,
)

MEASURES = {
    "page": page_start.measure,
    "generate": cold_generate.measure,
    "clip": first_clip.measure,
    "overhead": overhead.measure,
    "scaling": scaling.measure,
    "signing": signing_time.measure,
    "gallery": gallery_pages.measure,
    "near-copies": near_copies.measure,
    "watermark": watermark.measure,
    "operations": operations.measure,
}
QUIET_LOAD = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "gradio"))
    print(f"{os.cpu_count()} CPUs, Python {platform.python_version()}, {versions}")
    load = os.getloadavg()[0]
    if load > QUIET_LOAD:
        print(f"The machine is busy (load {load:.1f}): the seconds below are too high.")

    missed = False
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.names or MEASURES:
            for each in MEASURES[name](Path(temporary) / name, arguments.rounds):
                print(each, flush=True)
                missed = missed or not each.holds
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
