"""The same clip with plain diffusers: one pipeline call and `export_to_video`, none of our code.

python bench/bare.py FOLDER < a line of JSON arguments per clip > a line of seconds per clip
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import LTXPipeline
from diffusers.utils import export_to_video


def main(folder: str) -> None:
    pipe = LTXPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    print("ready", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for line in sys.stdin:
            arguments = json.loads(line)
            started = time.perf_counter()
            generator = torch.Generator().manual_seed(arguments.pop("seed"))
            output: Any = pipe(**arguments, generator=generator)
            path = str(Path(temporary) / "clip.mp4")
            export_to_video(output.frames[0], path, arguments["frame_rate"])
            print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
