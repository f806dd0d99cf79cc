"""Kandinsky 6: video and sound from one transformer, with the prompts and the VAE of Kandinsky 5.

A picture is appended as a further latent frame, which is dropped at the end. The sound is stepped
by a copy of the scheduler, which the step hook does not see, so its predicted clean latents (x0)
are computed from what the transformer takes and returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs
from pipelines.engine.families.kandinsky5 import Kandinsky5
from pipelines.request import FittedRequest, Task
from pipelines.sound import Sound

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard


class Kandinsky6(Kandinsky5):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "Kandinsky6TI2VAPipeline",
        Task.IMAGE_TO_VIDEO: "Kandinsky6TI2VAPipeline",
    }

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        return super().call_arguments(card, fitted, inputs) | {"frame_rate": float(fitted.fps)}

    @contextmanager
    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> Iterator[None]:
        """Records the sound's latents, their timestep and their velocities: with the prompt, and
        with guidance also with the negative one."""

        def record(
            _module: Any, _args: tuple[Any, ...], inputs: dict[str, Any], output: tuple[Any, ...]
        ) -> None:
            sample = inputs.get("audio_hidden_states")
            if sample is None:  # without sound the transformer returns the video's velocity alone
                return
            velocity = output[1]
            if sample is run.get("sound_sample"):
                run["sound_negative"] = velocity
            else:
                run["sound_sample"], run["sound_velocity"] = sample, velocity
                run["sound_timestep"] = inputs["timestep"]
                run.pop("sound_negative", None)

        hook = pipe.transformer.register_forward_hook(record, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def unpack_latents(
        self, pipe: Any, output: torch.Tensor, fitted: FittedRequest
    ) -> torch.Tensor:
        return output

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        frames = (fitted.num_frames - 1) // pipe.vae_scale_factor_temporal + 1
        return x0[:, :frames].permute(0, 4, 1, 2, 3)

    def decode_audio(
        self, pipe: Any, output: Any | None, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> Sound | None:
        if output is not None and output.audio is None:  # `sample_audio: false` in the card's call
            return None
        if output is None and "sound_sample" not in run:
            return None
        latents = _sound_x0(pipe, run) if output is None else output.audio
        vae, vocoder = pipe.audio_vae, pipe.vocoder
        latents = latents.to(vae.dtype) / vae.config.scaling_factor
        spectrogram = vae.decode(latents, return_dict=False)[0]
        samples = vocoder(spectrogram.to(vocoder.dtype), return_dict=False)[0][:, 0]
        return Sound(samples.float().cpu().numpy(), int(pipe.audio_sample_rate))


def _sound_x0(pipe: Any, run: dict[str, torch.Tensor]) -> torch.Tensor:
    """Clean sound latents [B, C, length] from the last step that was recorded."""
    sample, velocity = run["sound_sample"].float(), run["sound_velocity"].float()
    if "sound_negative" in run:
        negative = run["sound_negative"].float()
        velocity = negative + pipe.guidance_scale * (velocity - negative)
    # Piflow predicts several velocities for each channel, the first for the end of the step
    velocity = velocity[..., : sample.shape[-1]]
    sigma = run["sound_timestep"].float() / pipe.scheduler.config.num_train_timesteps
    return (sample - sigma.view(-1, 1, 1) * velocity).permute(0, 2, 1)
