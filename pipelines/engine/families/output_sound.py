"""The sound in the output of any pipeline that decodes by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.sound import Sound

OUTPUTS = ("audio", "sound", "audios")
"""What pipelines call their sound."""
RATES = ("output_sampling_rate", "sampling_rate", "sample_rate")
"""Settings of vocoders and audio decoders, the surest first: a vocoder may raise the rate."""
SOUND_PARTS = ("vocoder", "audio", "sound")
"""Words in the names of those components."""


def has_sound(output: Any) -> bool:
    return _samples(output) is not None


def sound_of(pipe: Any, output: Any) -> Sound | None:
    """The sound of the first clip; None where there is none, or its rate is not known."""
    samples, rate_hz = _samples(output), _rate_hz(pipe)
    if samples is None or rate_hz is None:
        return None
    first = samples[0] if samples.ndim > 1 else samples
    channels = first if first.ndim == 2 else first[None]
    if channels.shape[0] > channels.shape[1]:  # [samples, channels]
        channels = channels.T
    return Sound(np.ascontiguousarray(channels, np.float32), rate_hz)


def _samples(output: Any) -> np.ndarray | None:
    """[B, channels, samples] or [B, samples], as the pipeline returns it."""
    import torch

    found = next((v for n in OUTPUTS if (v := getattr(output, n, None)) is not None), None)
    if isinstance(found, list | tuple) and found:
        found = torch.stack(list(found)) if isinstance(found[0], torch.Tensor) else found
    if isinstance(found, torch.Tensor):
        found = found.float().cpu().numpy()
    samples = None if found is None else np.asarray(found)
    return samples if samples is not None and samples.size and samples.ndim <= 3 else None


def _rate_hz(pipe: Any) -> int | None:
    named = sorted(
        (place, component)
        for component in pipe.components
        for place, word in enumerate(SOUND_PARTS)
        if word in component
    )
    for rate in RATES:
        for _, component in named:
            config = getattr(getattr(pipe, component), "config", None)
            if isinstance(value := getattr(config, rate, None), int | float):
                return int(value)
    return None
