"""What survives when a training is stopped: time spent, averaged weights, a whole checkpoint."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from training import loop
from training.loop import Clock, Ema, Every, log_metrics, psnr, save_checkpoint


class Time:
    """Seconds that pass when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: self.now))


def factor_at(spent_s: float, budget_s: float = 3600) -> float:
    clock = Clock(budget_s)
    clock.spent_s = spent_s
    return clock.lr_factor


@given(st.floats(300, 1e6), st.floats(0, 1.5))
def test_the_learning_rate_is_positive_and_never_above_its_peak(budget: float, at: float) -> None:
    assert 0 < factor_at(budget * at, budget) <= 1


def test_the_learning_rate_rises_stays_and_falls_without_a_jump() -> None:
    factors = [factor_at(second) for second in range(3700)]
    assert factors[0] == pytest.approx(0.05)
    assert set(factors[60:2300]) == {1.0}
    assert all(b >= a for a, b in pairwise(factors[:60]))
    assert all(b <= a for a, b in pairwise(factors[60:]))
    assert max(abs(b - a) for a, b in pairwise(factors)) < 0.02
    assert factors[-1] == pytest.approx(0.02)


def test_a_clock_counts_training_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(monkeypatch)
    clock = Clock(100)
    time.now += 30
    clock.tick()
    assert (clock.spent_s, clock.is_over) == (30, False)
    time.now += 8 * 3600  # the laptop slept
    clock.tick()
    assert (clock.spent_s, clock.is_over) == (90, False)
    time.now += 15
    clock.tick()
    assert clock.is_over
    assert clock.progress == 1


def test_a_clock_goes_on_from_where_it_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(monkeypatch)
    clock = Clock(100)
    clock.spent_s = 70
    time.now += 10
    clock.tick()
    assert clock.spent_s == 80
    assert clock.lr_factor == factor_at(80, 100)


def test_every_is_true_once_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(monkeypatch)
    due = Every(120)
    seen = []
    for _ in range(10):
        time.now += 60
        seen.append(due())
    assert seen == [False, True] * 5


def test_averaged_weights_follow_slowly_and_arrive() -> None:
    layer = nn.Linear(3, 2)
    ema = Ema(layer, 0.9)
    start = ema.values["weight"].clone()
    with torch.no_grad():
        layer.weight.add_(1)
    ema.update(layer)
    moved = (ema.values["weight"] - start).mean().item()
    assert moved == pytest.approx(9 / 11), "young at first"
    for _ in range(200):
        ema.update(layer)
    torch.testing.assert_close(ema.values["weight"], layer.weight.detach())


def test_old_averages_keep_most_of_themselves() -> None:
    layer = nn.Linear(3, 2)
    ema = Ema(layer, 0.9)
    ema.steps = 10_000
    before = ema.values["weight"].clone()
    with torch.no_grad():
        layer.weight.add_(1)
    ema.update(layer)
    torch.testing.assert_close(ema.values["weight"], before + 0.1)


def test_averages_are_copies_in_single_precision_that_load_back() -> None:
    layer = nn.Linear(3, 2).bfloat16()
    ema = Ema(layer, 0.9)
    with torch.no_grad():
        layer.weight.zero_()
    assert ema.values["weight"].dtype == torch.float32
    assert ema.values["weight"].any()
    nn.Linear(3, 2).load_state_dict(ema.values)


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "run" / "state.pt"
    save_checkpoint(path, {"model": nn.Linear(2, 2).state_dict(), "spent_s": 12.5, "step": 3})
    state = torch.load(path, weights_only=True)
    assert (state["spent_s"], state["step"]) == (12.5, 3)
    assert [p.name for p in path.parent.iterdir()] == ["state.pt"]


class Interrupting:
    """Stops whoever writes it down."""

    def __reduce__(self) -> str:
        raise KeyboardInterrupt


def test_a_checkpoint_interrupted_while_it_is_written_leaves_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"step": 2, "big": torch.zeros(1000), "stop": Interrupting()})
    assert torch.load(path, weights_only=True) == {"step": 1}


def test_the_log_is_a_line_of_json_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_metrics(tmp_path / "run", step=1, loss=0.123456789)
    log_metrics(tmp_path / "run", step=2, loss=0.1)
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 0.12346},
        {"step": 2, "loss": 0.1},
    ]
    assert capsys.readouterr().out.splitlines() == lines


def test_psnr_in_decibels() -> None:
    grey = torch.full((4, 4), 0.5)
    assert psnr(grey, grey + 0.1) == pytest.approx(20, abs=1e-3)
    assert psnr(grey, grey) == pytest.approx(100)
