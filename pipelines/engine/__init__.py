"""From a request to frames: the only room that imports torch or diffusers, and never from here."""

from __future__ import annotations

import os

# OpenMP's threads wait for each other by spinning, which on a busy machine made sampling four times
# slower than waiting asleep does. A short spin keeps the idle machine as fast as it was. libgomp
# reads this when torch is first imported, so it stands here, before any of that.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

# Code that comes with a model is never run, whatever anybody passes to diffusers, which reads this
# when it is first imported.
os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"] = "1"
