"""`python app.py` as a ZeroGPU Space runs it: real `spaces`, real forks, no GPU.

    python -m tests.jobs.zerogpu_space      serves until it is stopped, as app.py does

`spaces` looks for CUDA parts of torch that a CPU build does not have, so torch is hidden while it
is imported: everything of it works then but the tensors' way to the GPU. With a CUDA build of
torch, which needs no GPU for this, KINORA_TEST_CUDA_TORCH=1 runs that part too. Also played is the
hardware: the GPU's name, and KINORA_TEST_LARGE_GB for the memory of half of it.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = "Model: \t\t NVIDIA RTX PRO 6000 Blackwell Server Edition\n"

if __name__ == "__main__":
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    real_torch = bool(os.environ.get("KINORA_TEST_CUDA_TORCH"))
    if not real_torch:
        sys.modules["torch"] = None  # type: ignore[assignment]
    import spaces  # noqa: F401
    from spaces.zero import config

    if not real_torch:
        del sys.modules["torch"]

    config._read_gpu_information = lambda: MODEL
    config.get_config.cache_clear()

    from pipelines.planning import machine

    name, large_gb, xlarge_gb = machine.ZERO_GPU
    machine.ZERO_GPU = (name, float(os.environ.get("KINORA_TEST_LARGE_GB", large_gb)), xlarge_gb)

    sys.argv = ["app.py"]
    runpy.run_path(str(ROOT / "app.py"), run_name="__main__")
