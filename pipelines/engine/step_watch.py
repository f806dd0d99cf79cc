"""Reports the steps of a run, draws previews, and ends the run when that is requested.

Hooked into the scheduler's `step`, which every pipeline calls, not all of them on their own
scheduler; into the progress bar; and into the components, so that a cancel waits for no step.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch.nn import Module, ModuleList

from pipelines.control import Control
from pipelines.engine.patching import own_class, replaced_method
from pipelines.engine.preview import PreviewStream
from pipelines.engine.skipping import skip_calls
from pipelines.engine.step_count import Step, StepCount
from pipelines.engine.x0 import StepState, step_state, x0_estimate


class FinishedEarly(BaseException):
    """Leaves the pipeline's loop with the predicted clean latents (x0). A BaseException, so that no
    `except Exception` of a pipeline can swallow it."""

    def __init__(self, x0: torch.Tensor) -> None:
        super().__init__()
        self.x0 = x0


class Discarded(BaseException):
    """Leaves the pipeline's loop without a result. A BaseException for the same reason."""


@dataclass
class StepWatch:
    """Called around every step.

    "Finish now" leaves the loop with x0, or, where the pipeline decodes by itself, lets the loop
    run to its end with x0 in place of the latents and without evaluating the model (`skipping`).
    Later rounds, which make other parts of the clip, are then finished after one step each.
    """

    control: Control
    on_step: Callable[[Step], None]
    stream: PreviewStream | None
    unpack: Callable[[torch.Tensor], torch.Tensor]
    decodes_itself: bool = False
    """The pipeline decodes as well, so its loop must end by itself."""
    count: StepCount = field(default_factory=StepCount)
    declared_steps: Callable[[], int | None] = lambda: None
    skipping: bool = False
    finished_early: bool = False
    is_sampling: bool = False
    """The pipeline's loop has begun."""
    began: float = field(default_factory=time.perf_counter)
    loop_began: float = 0.0
    last_step_at: float = 0.0
    _open_bar: object | None = None
    """Identifies the pipeline's progress bar that is not closed yet."""
    _copies: dict[int, tuple[Any, torch.Tensor | None]] = field(default_factory=dict)
    """Copies of the scheduler that were stepped, in that order, with their newest x0."""
    _finished_copies: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.loop_began = self.last_step_at = self.began

    def check(self) -> None:
        """Raises Discarded after a cancel."""
        if self.control.cancelled():
            raise Discarded

    def begin_round(self) -> None:
        """Called when the timesteps are set: the prompt is encoded, the loop begins."""
        self.check()
        if self.count.index == 0:  # later rounds belong to the loop
            self.loop_began = self.last_step_at = time.perf_counter()
        self.is_sampling, self.skipping = True, False
        self._finished_copies.clear()
        self.count.begin_round()

    def before_step(self, state: StepState) -> None:
        self.check()
        self.count.before_step(state)

    def after_step(
        self, state: StepState, output: torch.Tensor, sample: torch.Tensor
    ) -> torch.Tensor | None:
        """What replaces the step's result where the rest of the round is skipped, else None. Raises
        FinishedEarly or Discarded where the run ends here."""
        if self.skipping:
            self.count.skip_call(state.scheduler)
            self.skipping = not self.count.round_is_over
            return sample
        if not self.count.count_call(state.scheduler, self.declared_steps()):
            self.check()  # the first call of a second-order step
            return None
        x0 = self._complete_step(lambda: x0_estimate(state, output, sample))
        if x0 is None:
            return None
        # nothing is left to skip after the last step of a round
        self.finished_early, self.skipping = True, not self.count.round_is_over
        return x0

    @property
    def follows_copies(self) -> bool:
        """The steps of the scheduler's copies count, or are to be skipped."""
        return self.skipping or bool(self._finished_copies) or not self.count.by_scheduler

    def after_copy_step(
        self, copied: Any, state: StepState, output: torch.Tensor, sample: torch.Tensor
    ) -> torch.Tensor | None:
        """As `after_step`, for a copy of the scheduler: LTX-2 steps one for the sound beside its
        own, SkyReels-V2's diffusion forcing one for each latent frame and none of its own."""
        if id(copied) in self._finished_copies:
            return sample
        finish = self.skipping or (
            not self.count.by_scheduler
            and self.decodes_itself
            and self.count.index > 0  # before the first step, that of its own may be still to come
            and self._is_finish_requested()
        )
        x0 = x0_estimate(state, output, sample)
        self._copies[id(copied)] = copied, x0
        if not finish or x0 is None:
            return None
        self._finished_copies[id(copied)] = copied
        return x0

    def bar_opened(self, total: int | None, is_loop: bool) -> object:
        """Returns what `bar_closed` is to be called with."""
        self.count.open_bar(total, is_loop)
        self._open_bar = object()
        return self._open_bar

    def bar_advanced(self) -> None:
        """Called when the pipeline's progress bar advances: a step, where only copies of the
        scheduler are stepped."""
        self.check()
        if self.count.by_scheduler or not self._copies or self.skipping:
            return
        self.count.count_bar()
        x0 = self._complete_step(self._joined_x0)
        if x0 is not None and self._copies.keys() <= self._finished_copies.keys():
            self.finished_early = self.skipping = True

    def bar_closed(self, bar: object) -> None:
        if bar is not self._open_bar:  # tqdm closes a bar again when it is garbage collected
            return
        self._open_bar = None
        self.count.close_bar()
        self.skipping = False
        if not self.count.by_scheduler:  # the next bar is another round, with other copies
            self._copies.clear()
            self._finished_copies.clear()

    def _complete_step(self, estimate: Callable[[], torch.Tensor | None]) -> torch.Tensor | None:
        """Reports one inference step and draws its preview. Returns its x0 where the run is to be
        finished with it; raises FinishedEarly for a pipeline that does not decode."""
        now = time.perf_counter()
        seconds, self.last_step_at = now - self.last_step_at, now
        index = self.count.index
        self.on_step(Step(index, self.count.total, seconds))
        self.check()
        finish = self._is_finish_requested()
        show = self.stream is not None and self.stream.is_due(
            index, last=finish or index >= self.count.total, step_seconds=seconds
        )
        x0 = estimate() if finish or show else None
        if x0 is None:  # not needed, or not known: then "finish now" has no effect
            return None
        if show and self.stream is not None:
            self.stream.submit(index, lambda: self.unpack(x0))
        if finish and not self.decodes_itself:
            raise FinishedEarly(x0)
        return x0 if finish else None

    def _is_finish_requested(self) -> bool:
        # the last step ends by itself
        return self.control.finish_now() and self.count.index < self.count.total

    def _joined_x0(self) -> torch.Tensor | None:
        """Of all copies: [B, C, F, H, W] where each steps one latent frame [B, C, H, W]."""
        found = [x0 for _, x0 in self._copies.values() if x0 is not None]
        if len(found) < len(self._copies) or len({x0.shape for x0 in found}) != 1:
            return None
        return torch.stack(found, dim=2) if found[0].ndim == 4 else found[0]


@contextmanager
def watch_steps(pipe: Any, watch: StepWatch) -> Iterator[None]:
    """Calls `watch` while the pipeline samples. Raises RuntimeError where another run uses it."""
    with ExitStack() as hooks:
        scheduler = pipe.scheduler
        # Text2Video-Zero continues with a copy, which would stay watched after the run
        hooks.callback(setattr, pipe, "scheduler", scheduler)
        hooks.enter_context(watch_scheduler(scheduler, watch, lambda: pipe.scheduler))
        hooks.enter_context(_watch_progress_bar(pipe, watch))
        parts = {id(each): each for each in pipe.components.values() if isinstance(each, Module)}
        hooks.enter_context(_check_in_modules([*parts.values()], watch))
        if watch.decodes_itself:
            for each in parts.values():
                if isinstance(each, ModelMixin):  # the denoisers: the rest is from transformers
                    hooks.enter_context(skip_calls(each, watch))
        yield


@contextmanager
def watch_scheduler(
    scheduler: Any, watch: StepWatch, current: Callable[[], Any] | None = None
) -> Iterator[None]:
    """Calls `watch` around `step` and after `set_timesteps` of this scheduler and its copies.

    `current` returns the one that the pipeline holds, where it may have replaced it by a copy.

    By a class of its own, which a deep copy keeps: pipelines that copy their scheduler step the
    copies for other things, or instead of it. Raises RuntimeError where another run uses the
    scheduler.
    """
    original = type(scheduler)
    signature = inspect.signature(original.step)
    own = current or (lambda: scheduler)

    @functools.wraps(original.set_timesteps)
    def set_timesteps(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original.set_timesteps(self, *args, **kwargs)
        if self is own():
            watch.begin_round()
        return result

    @functools.wraps(original.step)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not own() and not watch.follows_copies:
            return original.step(self, *args, **kwargs)
        arguments = signature.bind(self, *args, **kwargs).arguments
        state = step_state(self, arguments["timestep"], arguments.get("per_token_timesteps"))
        tensors = arguments["model_output"], arguments["sample"]
        if self is own():
            watch.before_step(state)
            result = original.step(self, *args, **kwargs)
            replacement = watch.after_step(state, *tensors)
        else:
            result = original.step(self, *args, **kwargs)
            replacement = watch.after_copy_step(self, state, *tensors)
        return result if replacement is None else _replace_sample(result, replacement)

    with own_class(scheduler, {"step": step, "set_timesteps": set_timesteps}):
        yield


def _replace_sample(stepped: Any, sample: torch.Tensor) -> Any:
    """The result of `scheduler.step` with another sample: the first of a tuple, or
    `prev_sample`."""
    if isinstance(stepped, tuple):
        return (sample.to(stepped[0].dtype), *stepped[1:])
    stepped.prev_sample = sample.to(stepped.prev_sample.dtype)
    return stepped


@contextmanager
def _watch_progress_bar(pipe: Any, watch: StepWatch) -> Iterator[None]:
    """Nearly every pipeline of diffusers advances `pipe.progress_bar` with each step."""
    make_bar = pipe.progress_bar

    def progress_bar(*args: Any, **kwargs: Any) -> Any:
        bar = make_bar(*args, **kwargs)
        if not hasattr(bar, "total") or not hasattr(bar, "iterable"):  # no bar of tqdm
            return bar
        opened = watch.bar_opened(bar.total, is_loop=bar.iterable is not None)
        advance, close = bar.update, bar.close

        def update(n: float | None = 1) -> bool | None:
            result = advance(n)
            watch.bar_advanced()
            return result

        def close_bar() -> None:
            close()
            watch.bar_closed(opened)

        bar.update, bar.close = update, close_bar
        return bar

    with replaced_method(pipe, "progress_bar", progress_bar):
        yield


@contextmanager
def _check_in_modules(modules: list[Module], watch: StepWatch) -> Iterator[None]:
    """A cancel ends the run before the next block of any component, the VAE's included: a step, or
    a pipeline's own decoding, may take minutes."""

    def check(_module: Module, _inputs: object) -> None:
        watch.check()

    parts = {id(each): each for module in modules for each in _interruptible(module)}
    hooks = [each.register_forward_pre_hook(check) for each in parts.values()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _interruptible(module: Module) -> Iterator[Module]:
    """The module, its parts, and the blocks of its lists at any depth. None that is compiled: a
    hook would be traced with it, and compiled again in the next run."""

    def inside(parent: Module) -> Iterator[Module]:
        for child in parent.children():
            if child._compiled_call_impl is None:
                if parent is module or isinstance(parent, ModuleList):
                    yield child
                yield from inside(child)

    if module._compiled_call_impl is None:
        yield module
        yield from inside(module)
