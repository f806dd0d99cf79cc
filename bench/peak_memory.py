"""Peak memory of real-size model parts, counted on fake tensors.

    python -m bench.peak_memory

Runs the real modules under FakeTensorMode and counts the bytes alive at once. The figures in
`pipelines/planning/traits.py` are from here. Takes a minute and 2 GB, and no GPU.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GIB = 2**30
Call = Callable[[Any], Any]


class Counter(TorchDispatchMode):
    """Counts the peak of bytes alive at once, without the module's weights."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        weights = [*module.parameters(), *module.buffers()]
        self._live: dict[int, Any] = {id(s): s for s in (w.untyped_storage() for w in weights)}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._track(tensor.untyped_storage())
        return out

    def _track(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key not in self._live:
            self.now += size
            self.peak = max(self.peak, self.now)
            self._live[key] = weakref.ref(storage, partial(self._release, key, size))

    def _release(self, key: int, size: int, _reference: object) -> None:
        self._live.pop(key, None)
        self.now -= size


def peak_of(make: Callable[[], Any], call: Call, dtype: torch.dtype) -> int:
    """Peak bytes of a call, in addition to the weights."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        torch.set_default_dtype(dtype)
        try:
            module = make().eval()
        finally:
            torch.set_default_dtype(torch.float32)
        with Counter(module) as counter:
            call(module)
    return counter.peak


def ltx_decoder(width: int, height: int, frames: int) -> int:
    import diffusers

    make: Any = diffusers.AutoencoderKLLTXVideo
    shape = (1, 128, (frames - 1) // 8 + 1, height // 32, width // 32)
    return peak_of(make, partial(_decode, shape), torch.bfloat16)


def wan_decoder(width: int, height: int, frames: int) -> int:
    from diffusers import AutoencoderKLWan

    shape = (1, 16, (frames - 1) // 4 + 1, height // 8, width // 8)
    return peak_of(AutoencoderKLWan, partial(_decode, shape), torch.float32)


def ltx_step(width: int, height: int, frames: int) -> int:
    """One step with guidance, as one batch of two. Two blocks peak as high as twenty-eight."""
    from diffusers import LTXVideoTransformer3DModel

    f, h, w = (frames - 1) // 8 + 1, height // 32, width // 32

    def call(model: Any) -> None:
        model(
            hidden_states=_zeros(2, f * h * w, 128),
            encoder_hidden_states=_zeros(2, 128, 4096),
            timestep=torch.ones(2),
            encoder_attention_mask=torch.ones(2, 128),
            num_frames=f,
            height=h,
            width=w,
            rope_interpolation_scale=(1 / 3, 32.0, 32.0),
            return_dict=False,
        )

    return peak_of(partial(LTXVideoTransformer3DModel, num_layers=2), call, torch.bfloat16)


def wan_step(width: int, height: int, frames: int) -> int:
    from diffusers import WanTransformer3DModel

    shape = (1, 16, (frames - 1) // 4 + 1, height // 8, width // 8)

    def call(model: Any) -> None:
        model(
            hidden_states=_zeros(*shape),
            timestep=torch.ones(1),
            encoder_hidden_states=_zeros(1, 512, 4096),
            return_dict=False,
        )

    make = partial(
        WanTransformer3DModel,
        num_layers=2,
        num_attention_heads=12,
        attention_head_dim=128,
        ffn_dim=8960,
    )
    return peak_of(make, call, torch.bfloat16)


def _decode(shape: tuple[int, ...], vae: Any) -> None:
    vae.decode(torch.zeros(shape, dtype=torch.get_default_dtype()).to(vae.dtype))


def _zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, dtype=torch.bfloat16)


def main() -> None:
    for name, count, shape in (
        ("LTX 2B, a step", ltx_step, (704, 480, 97)),
        ("LTX, decoding", ltx_decoder, (704, 480, 97)),
        ("Wan 1.3B, a step", wan_step, (832, 480, 81)),
        ("Wan, decoding", wan_decoder, (832, 480, 81)),
    ):
        width, height, frames = shape
        print(f"{name:<20} {width}x{height}, {frames} frames  {count(*shape) / GIB:6.2f} GB")


if __name__ == "__main__":
    main()
