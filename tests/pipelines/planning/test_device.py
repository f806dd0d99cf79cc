"""A GPU that torch cannot use is said to be one, and why; nothing is said where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.engine.torch_device import _try_torch, torch_device
from pipelines.models.cards import load_cards
from pipelines.planning import Device, Machine, Planner, device, this_machine
from pipelines.planning.device import (
    GpuList,
    _visible_gpus,
    describe_cuda_error,
    guess_device,
    list_gpus,
    probe_with_torch,
)
from settings import ROOT, Settings
from tests.pipelines.fake_gpu import A10G, nvidia_smi

TWO = f"{A10G}\n81559, NVIDIA H100 80GB HBM3"
ONE = GpuList(((22.5, "NVIDIA A10G"),))
CARDS = load_cards(ROOT / "presets" / "models")
Put = Callable[..., None]


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def put(says: str = A10G, status: int = 0) -> None:
        monkeypatch.setenv("PATH", nvidia_smi(tmp_path / "bin", says, status))

    return put


# -- what is listed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["NVIDIA A10G", "NVIDIA H100 80GB HBM3"]),
        ("0,1", ["NVIDIA A10G", "NVIDIA H100 80GB HBM3"]),
        ("0", ["NVIDIA A10G"]),
        ("1", ["NVIDIA H100 80GB HBM3"]),
        ("0,7,1", ["NVIDIA A10G"]),
        ("0,-1,1", ["NVIDIA A10G"]),
        ("GPU-5a1e", ["NVIDIA A10G", "NVIDIA H100 80GB HBM3"]),
        ("", []),
        ("-1", []),
        (" -1 ", []),
        ("NoDevFiles", []),
    ],
)
def test_gpus_that_are_hidden_are_not_there(
    visible: str | None, names: list[str], smi: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi(TWO)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [name for _, name in list_gpus().gpus] == names


@given(st.text(max_size=20) | st.lists(st.integers(-3, 4).map(str), max_size=4).map(",".join))
def test_whatever_says_which_gpus_are_visible_none_is_made_up(visible: str) -> None:
    there = [(1.0, "a"), (2.0, "b"), (3.0, "c")]
    assert set(_visible_gpus(there, visible)) <= set(there)


@pytest.mark.parametrize(
    ("says", "status", "listed"),
    [
        (A10G, 0, GpuList(((23028 / 1024, "NVIDIA A10G"),))),
        ("[N/A], NVIDIA GB10", 0, GpuList()),
        ("", 0, GpuList()),
        ("nonsense", 0, GpuList()),
        ("No devices were found", 6, GpuList()),
    ],
)
def test_what_nvidia_smi_says_is_read(says: str, status: int, listed: GpuList, smi: Put) -> None:
    smi(says, status)
    assert list_gpus() == listed


def test_a_driver_that_does_not_answer_is_a_fault_and_not_an_absence(smi: Put) -> None:
    smi(
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure", 9
    )
    listed = list_gpus()
    assert listed.is_any
    assert "couldn't communicate with the NVIDIA driver" in (listed.fault or "")
    assert "cannot use" in (_try_torch(listed).problem or "")


def test_where_there_is_no_gpu_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list_gpus() == GpuList()
    assert guess_device(GpuList()) == _try_torch(GpuList()) == Device()


# -- what torch says -----------------------------------------------------------------------------

TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 12090). Please update your GPU "
    "driver by downloading and installing a new version from the URL: "
    "http://www.nvidia.com/Download/index.aspx Alternatively, go to: https://pytorch.org to "
    "install a PyTorch version that has been compiled with your version of the CUDA driver."
)
NO_KERNEL = (
    "CUDA error: no kernel image is available for execution on the device\nSearch for "
    "`cudaErrorNoKernelImageForDevice' in https://docs.nvidia.com/cuda/ for more information.\n"
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)
REASONS = {
    TOO_OLD: "driver for CUDA 12.9 is too old",
    TOO_OLD.replace("12090", "11040"): "driver for CUDA 11.4 is too old",
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU": "give it",
    "No CUDA GPUs are available": "does not show it",
    NO_KERNEL: "no code for this GPU",
    "Torch not compiled with CUDA enabled": "built without CUDA",
    "CUDA driver initialization failed, you might not have a CUDA gpu.": "(CUDA driver",
    "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env "
    "variable CUDA_VISIBLE_DEVICES after program start. Setting the available devices to be "
    "zero.": "CUDA unknown error",
    "Error 804: forward compatibility was attempted on non supported HW": "do not go together",
    "libnvidia-ml.so: cannot open /usr/lib/nvidia/libnvidia-ml.so": "cannot open …)",
    "": "CUDA cannot be used (RuntimeError)",
}


@pytest.mark.parametrize("said", REASONS, ids=[reason[:20] for reason in REASONS.values()])
def test_each_way_in_which_cuda_fails_is_a_short_sentence(said: str) -> None:
    reason = describe_cuda_error(RuntimeError(said))
    assert REASONS[said] in reason
    assert len(reason) < 200
    assert "http" not in reason
    assert "/" not in reason
    assert "\n" not in reason


@given(st.text(max_size=400))
def test_whatever_cuda_says_is_kept_to_a_line(said: str) -> None:
    reason = describe_cuda_error(RuntimeError(said))
    assert len(reason) < 300
    assert "\n" not in reason


class Cuda:
    """A driver, by what of torch.cuda a worker asks: the hardware that is not here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **fails: Exception) -> None:
        self.fails = fails
        monkeypatch.setattr(torch.cuda, "init", self.init)
        monkeypatch.setattr(torch.cuda, "get_device_properties", self.properties)
        monkeypatch.setattr(torch, "ones", self.ones)

    def init(self) -> None:
        if "init" in self.fails:
            raise self.fails["init"]

    def properties(self, _number: int) -> Any:
        made = type("Properties", (), {"name": "NVIDIA A10G", "total_memory": 24 * 2**30})
        return made()

    def ones(self, *_: Any, **__: Any) -> torch.Tensor:
        if "sum" in self.fails:
            raise self.fails["sum"]
        return torch.zeros(8)


def test_a_gpu_that_computes_is_what_is_computed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nvidia-smi is missing, as in a container with little in it."""
    Cuda(monkeypatch)
    for listed in (ONE, GpuList()):
        assert _try_torch(listed) == Device("NVIDIA A10G", 24.0)


@pytest.mark.parametrize(
    ("where", "error", "part"),
    [
        (
            "init",
            RuntimeError(TOO_OLD),
            "(NVIDIA A10G) that PyTorch cannot use: its driver for CUDA",
        ),
        ("sum", RuntimeError(NO_KERNEL), "no code for this GPU"),
        ("sum", RuntimeError("CUDA error: unknown error"), "CUDA error: unknown error"),
    ],
)
def test_a_gpu_that_does_not_compute_is_the_cpu_with_the_reason(
    where: str, error: Exception, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cuda(monkeypatch, **{where: error})
    found = _try_torch(ONE)
    assert (found.kind, found.vram_gb) == ("cpu", None)
    assert part in (found.problem or "")


def test_a_gpu_that_is_full_at_the_moment_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Cuda(monkeypatch, sum=torch.cuda.OutOfMemoryError("CUDA out of memory."))
    assert _try_torch(ONE) == Device("NVIDIA A10G", 24.0)


def test_a_gpu_that_was_hidden_on_purpose_is_no_problem(
    smi: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Cuda(monkeypatch, init=RuntimeError("No CUDA GPUs are available"))
    assert _try_torch(list_gpus()) == Device()


@pytest.mark.skipif("+cpu" not in torch.__version__, reason="this torch was built for a GPU")
def test_a_torch_without_cuda_beside_a_gpu_is_found_before_and_after_it_is_tried(
    smi: Put, caplog: pytest.LogCaptureFixture
) -> None:
    smi()
    torch_device.cache_clear()
    try:
        tried = torch_device()
        torch_device()
    finally:
        torch_device.cache_clear()
    assert "(NVIDIA A10G) that PyTorch cannot use" in (tried.problem or "")
    assert "built without CUDA" in (tried.problem or "")
    assert guess_device(list_gpus()) == tried == probe_with_torch()
    warned = [record.getMessage() for record in caplog.records]
    assert warned == [f"{tried.problem} Clips are made on the CPU."]


def test_a_process_that_asks_in_vain_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.sys, "executable", "/nowhere/python")
    assert probe_with_torch() is None


# -- what follows from it ------------------------------------------------------------------------

WORKSTATION = Machine(ram_gb=64, free_disk_gb=500, cpu_count=16, gpu_name="A10G", vram_gb=22.5)
WITHOUT = Device(problem="There is an NVIDIA GPU (A10G) that PyTorch cannot use: it is old.")


def planner(machine: Machine, device: Device | None) -> Planner:
    settings = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
    return Planner(settings, machine, device=lambda: device)


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.id)
def test_every_plan_is_the_one_of_what_the_worker_computes_on(card: Any) -> None:
    """Whatever it looked like before: as if the machine had been like that from the start."""
    bare = WORKSTATION.with_device(WITHOUT)
    told, known = planner(WORKSTATION, WITHOUT), planner(bare, None)
    assert told.verdict(card) == known.verdict(card)
    assert told.plan(card).device_name == "cpu"
    assert told.describe(card)["gpu_problem"] == WITHOUT.problem
    gained = planner(bare, Device("A10G", 22.5))
    assert gained.verdict(card) == planner(WORKSTATION, None).verdict(card)
    assert gained.plan(card).device_name == "cuda"


def test_the_verdict_that_people_read_does_not_keep_it_quiet() -> None:
    pocket = CARDS["pocket"]
    told = planner(WORKSTATION, WITHOUT).verdict(pocket).sentence
    assert told == "Runs here on the CPU. The GPU here cannot be used; /health says why."
    assert planner(WORKSTATION, None).verdict(pocket).sentence == "Runs here on the GPU (A10G)."
    bare = WORKSTATION.with_device(Device())
    assert planner(bare, Device()).verdict(pocket).sentence == "Runs here on the CPU."


def test_on_zerogpu_no_gpu_is_looked_for(smi: Put) -> None:
    smi()
    lent = this_machine(Settings(_env_file=None, zero_gpu=True))  # pyright: ignore
    assert (lent.gpu_name, lent.gpu_problem) == ("ZeroGPU", None)


def test_a_device_is_json_both_ways() -> None:
    assert Device(**json.loads(json.dumps(vars(WITHOUT)))) == WITHOUT


@pytest.mark.parametrize("redis", [None, "redis://elsewhere:6379/0"])
def test_the_page_follows_the_report_when_it_comes(redis: str | None) -> None:
    """Also that of workers elsewhere; what the page kept from before is not shown any more."""
    from ui.model_picker import Models

    settings = Settings(_env_file=None, redis_url=redis)  # pyright: ignore
    reported: list[Device | None] = [None]
    judge = Planner(settings, WORKSTATION, device=lambda: reported[0])
    models = Models(CARDS, settings, judge)
    before = models.row(CARDS["pocket"])["verdict"]
    assert "cannot be used" not in before
    reported[0] = WITHOUT
    after = models.row(CARDS["pocket"])["verdict"]
    assert "cannot be used; /health says why." in after
    reported[0] = Device("A10G", 22.5)
    assert models.row(CARDS["pocket"])["verdict"] == before
