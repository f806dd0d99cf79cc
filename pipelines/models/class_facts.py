"""What is known of a repository before anything is downloaded: its index and its configurations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.models.call_signatures import CallSignature
from pipelines.models.frame_rule import partition_frames, whole_chunks
from pipelines.models.repository import Index
from pipelines.models.rules import Steps

CONFIG_FILES = ("config.json", "scheduler_config.json", "guider_config.json")
"""Names of a component's configuration."""

DENOISERS = ("transformer", "unet")

TEMPORAL_RATIO_NAMES = (
    "temporal_compression_ratio",
    "scale_factor_temporal",
    "temporal_compression",
)
SPATIAL_RATIO_NAMES = (
    "spatial_compression_ratio",
    "scale_factor_spatial",
    "spatial_compression",
)
DEFAULT_SPATIAL_RATIO = 8
"""Of most VAEs, where the configuration does not say."""


@dataclass(frozen=True)
class Facts:
    index: Index
    configs: Mapping[str, Mapping[str, Any]]
    """Component -> its configuration; without those that have none."""
    call: CallSignature

    @property
    def class_name(self) -> str:
        return self.index.class_name

    @property
    def denoiser(self) -> Mapping[str, Any]:
        return next((self.configs[n] for n in DENOISERS if n in self.configs), {})

    @property
    def vae(self) -> Mapping[str, Any]:
        return self.configs.get("vae", {})

    def has(self, component: str) -> bool:
        return component in self.index.components

    def setting(self, name: str) -> Any:
        """A setting of the pipeline itself, from model_index.json."""
        return self.index.config.get(name)

    @property
    def temporal_ratio(self) -> int | None:
        """Frames for one latent frame; None where the VAE's configuration does not say."""
        if self.vae.get("_class_name") == "AutoencoderKL":
            return 1
        if (ratio := _int_of(self.vae, TEMPORAL_RATIO_NAMES)) is not None:
            return ratio
        halvings = self.vae.get("temperal_downsample") or self.vae.get("temporal_downsample")
        return 2 ** sum(bool(each) for each in halvings) if isinstance(halvings, list) else None

    @property
    def spatial_ratio(self) -> int | None:
        """Pixels along a side for one latent position."""
        if (ratio := _int_of(self.vae, SPATIAL_RATIO_NAMES)) is not None:
            return ratio
        blocks = self.vae.get("block_out_channels")
        if self.vae.get("_class_name") == "AutoencoderKL" and isinstance(blocks, list):
            return 2 ** (len(blocks) - 1)
        return None

    @property
    def fixed_frames(self) -> int | None:
        """The only number of frames that the denoiser makes; None where it makes others too."""
        fixed = self.denoiser.get("video_length")
        if isinstance(fixed, int) and fixed > 0:  # a position for each frame, no more and no fewer
            return fixed
        return partition_frames(self.denoiser.get("chunk_partition"), self.temporal_ratio or 4)

    def frame_rule(self, family: Steps | None) -> Steps:
        """The family's rule where the VAE agrees with it; else a first frame of its own, then
        groups as long as the VAE's temporal compression."""
        if (fixed := self.fixed_frames) is not None:
            return Steps(of=fixed)
        ratio, patch = self.temporal_ratio, self.denoiser.get("patch_size_t")
        if family is not None and (ratio is None or family.of % ratio == 0):
            whole = patch if isinstance(patch, int) and patch > 0 else 1  # patches in time
            return Steps(of=family.of * whole, plus=family.plus)
        if (chunks := whole_chunks(self.call.parameters, ratio or 4)) is not None:
            return chunks
        return Steps(of=1) if ratio == 1 else Steps(of=ratio or 4, plus=1)

    def size_rule(self, family: Steps | None) -> Steps:
        """The multiple that the class checks for, and that makes whole patches of the denoiser."""
        ratio = self.spatial_ratio or DEFAULT_SPATIAL_RATIO
        patch = _last_int(self.denoiser.get("patch_size"))
        if patch is None:
            of = math.lcm(family.of if family else self.call.side or 16, self.spatial_ratio or 1)
        else:
            of = math.lcm(self.call.side or 1, ratio * patch)
        if self.denoiser.get("attention_type") == "nabla":  # blocks of 8 x 8 patches
            of = math.lcm(of, ratio * (patch or 2) * 8)
        stages = self.configs.get("scheduler", {}).get("stages")
        if isinstance(stages, int) and stages > 1:  # a pyramid: each stage has half the size
            of = math.lcm(of, ratio * (patch or 1) * 2 ** (stages - 1))
        return Steps(of=of)

    @property
    def sample_size(self) -> tuple[int, int] | None:
        """(width, height) in pixels of the denoiser's training, as its configuration has it."""
        ratio, both = self.spatial_ratio or DEFAULT_SPATIAL_RATIO, self.denoiser.get("sample_size")
        sides = [self.denoiser.get(f"sample_{name}", both) for name in ("width", "height")]
        width, height = (
            each * ratio if isinstance(each, int) and each > 0 else 0 for each in sides
        )
        return (width, height) if width and height else None

    @property
    def has_fixed_size(self) -> bool:
        """Positions that were learned for one size only."""
        return bool(self.denoiser.get("use_learned_positional_embeddings"))

    @property
    def ignores_guidance(self) -> bool:
        """Where the true guidance is another argument, `guidance_scale` is an input of the
        denoiser, which this one does not read."""
        is_embedded = self.call.takes("true_cfg_scale") and (
            self.call.guidance_name == "guidance_scale"
        )
        return is_embedded and self.denoiser.get("guidance_embeds") is False


def _int_of(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    values = (config.get(name) for name in names)
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), None)


def _last_int(value: Any) -> int | None:
    """Of a patch size, which may be one for each of time, height and width."""
    last = value[-1] if isinstance(value, list) and value else value
    return last if isinstance(last, int) and last > 0 else None
