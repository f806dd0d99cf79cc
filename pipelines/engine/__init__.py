"""Makes frames from a fitted request. The only package of the app that imports torch or
diffusers."""

from __future__ import annotations

import os

# OpenMP threads wait for each other by spinning, which made sampling four times slower on a busy
# machine than sleeping does. A short spin keeps the speed on an idle one. libgomp reads this when
# torch is first imported, so it has to be set here, before any module of this package is.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

# diffusers must not run code from a model's repository, whatever arguments a call has. It reads
# this when it is first imported.
os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"] = "1"
