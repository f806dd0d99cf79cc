"""Defaults and limits of a pasted model: from its class's signature, its configurations, the
documented example, and what these leave open from a card of its family."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.models.cards import CardLimits, Defaults, ModelCard, NamedSize
from pipelines.models.class_facts import Facts
from pipelines.models.class_table import has_only_one_size
from pipelines.models.rules import Steps

DEFAULT_SIDE, DEFAULT_FRAMES, DEFAULT_FPS, DEFAULT_STEPS = 512, 49, 16, 30
MOTION_FPS = 8
"""Frames per second that AnimateDiff's motion adapters are trained for."""

LARGEST_SIDE, SMALLEST_SIDE = 1280, 64


@dataclass(frozen=True)
class ClassDefaults:
    facts: Facts
    like: ModelCard | None
    """A card of the same family."""
    frames: Steps
    size: Steps

    def defaults(self) -> Defaults:
        call, like = self.facts.call, self.like and self.like.defaults
        width, height = self._size()
        takes_negative = call.takes_negative_prompt and not call.parameters["negative_prompt"]
        return Defaults(
            width=width,
            height=height,
            num_frames=self._frames(),
            fps=self._fps(),
            num_inference_steps=int(
                call.number("num_inference_steps")
                or call.example.arguments.get("num_inference_steps")
                or DEFAULT_STEPS
            ),
            guidance_scale=max(1.0, self._guidance()),
            negative_prompt=like.negative_prompt if like and takes_negative else "",
            strength=self._strength(),
            motion_bucket_id=int(call.number("motion_bucket_id") or 0) or None,
        )

    def limits(self, defaults: Defaults) -> CardLimits:
        """Wide limits: sizes that the model was not trained for may look bad, but are not
        refused."""
        size, frames = self.size, self.frames
        is_fixed = has_only_one_size(self.facts)

        def largest(length: int) -> int:
            high = length if is_fixed else max(length, LARGEST_SIDE)
            return size.nearest(high, size.of, high)

        def smallest(length: int) -> int:
            low = length if is_fixed else min(length, SMALLEST_SIDE)
            return size.nearest(low, size.of, low)

        return CardLimits(
            min_width=smallest(defaults.width),
            max_width=largest(defaults.width),
            min_height=smallest(defaults.height),
            max_height=largest(defaults.height),
            min_frames=self._least_frames(defaults.num_frames),
            max_frames=max(
                defaults.num_frames, frames.nearest(self._most_frames(defaults.num_frames), 1, 9999)
            ),
            min_steps=self._least_steps(),
            max_steps=max(100, defaults.num_inference_steps),
            max_guidance=max(20.0, defaults.guidance_scale),
            max_fps=max(60, defaults.fps),
        )

    def shapes(self, defaults: Defaults) -> tuple[NamedSize, ...]:
        """The default size lying and standing, and a square: pictures are cropped to the nearest
        one."""
        width, height = defaults.width, defaults.height
        if has_only_one_size(self.facts) or width == height:
            return ()
        side = self.size.nearest((width * height) ** 0.5, self.size.of, max(width, height))
        labels = ("landscape", "portrait") if width > height else ("portrait", "landscape")
        return (
            NamedSize(label=labels[0], width=width, height=height),
            NamedSize(label=labels[1], width=height, height=width),
            NamedSize(label="square", width=side, height=side),
        )

    # -- inside ----------------------------------------------------------------------------------

    def _size(self) -> tuple[int, int]:
        call, rule = self.facts.call, self.size
        signature = call.number("width"), call.number("height")
        written = [
            re.search(rf"self\.default_{name} = (\d+)", call.source) for name in ("width", "height")
        ]
        written = [int(each[1]) if each else None for each in written]
        example = [call.example.arguments.get(name) for name in ("width", "height")]
        like = (self.like.defaults.width, self.like.defaults.height) if self.like else None
        known = (signature, tuple(written), self.facts.sample_size, tuple(example), like)
        pairs = (pair for pair in known if pair and all(pair))
        width, height = next(pairs, (DEFAULT_SIDE, DEFAULT_SIDE))
        return self._legal(rule, width), self._legal(rule, height)

    def _legal(self, rule: Steps, length: float | None) -> int:
        pixels = int(length or DEFAULT_SIDE)
        return rule.nearest(pixels, rule.of, max(rule.of, pixels))

    def _frames(self) -> int:
        call, denoiser = self.facts.call, self.facts.denoiser
        sample = denoiser.get("sample_frames") or denoiser.get("num_frames")
        if isinstance(sample, int) and "sample_frames * self.vae_scale" in call.source:
            sample *= self.facts.temporal_ratio or 1  # in latents
        count = (
            call.number(call.frames_name)
            or (sample if isinstance(sample, int) else None)
            or call.example.arguments.get(call.frames_name or "num_frames")
            or (self.like and self.like.defaults.num_frames)
            or DEFAULT_FRAMES
        )
        least = self._least_frames(int(count))
        return self.frames.nearest(int(count), least, max(least, int(count)))

    def _least_frames(self, count: int) -> int:
        """A first frame and one group more, or all of a model that makes no other number."""
        rule = self.frames
        if self.facts.vae.get("_class_name") == "AutoencoderKLAllegro":
            return min(count, rule.of + rule.plus)
        two = max(rule.of, 1 + rule.of)
        return min(count, rule.nearest(two, 1, two))

    def _least_steps(self) -> int:
        """More than the step that the call goes back to, for Text2Video-Zero's motion."""
        call = self.facts.call
        later = call.number("t1") if call.takes("t0") else None
        return 1 if later is None else int(later) + 1

    def _most_frames(self, count: int) -> int:
        if isinstance(fixed := self.facts.denoiser.get("video_length"), int):
            return fixed
        window = self.facts.configs.get("motion_adapter", {}).get("motion_max_seq_length")
        return window if isinstance(window, int) and self.like is None else 2 * count

    def _fps(self) -> int:
        """Of the signature; else of the family, whose classes share examples with others; else of
        the example."""
        call, configs = self.facts.call, self.facts.configs
        adapter = MOTION_FPS if "motion_adapter" in (*call.components, *configs) else None
        fps = (
            call.number("frame_rate")
            or call.number("fps")
            or (self.like and self.like.defaults.fps)
            or call.example.fps
            or adapter
            or DEFAULT_FPS
        )
        return max(1, round(fps))

    def _guidance(self) -> float:
        call = self.facts.call
        guider = self.facts.configs.get("guider", {}).get("guidance_scale")
        if call.guidance_name is None and isinstance(guider, int | float):
            return float(guider)
        return float(
            call.number(call.guidance_name)
            or call.example.arguments.get(call.guidance_name or "guidance_scale")
            or 1.0
        )

    def _strength(self) -> float | None:
        """None, for the usual one, where the class keeps nothing of the clip by default."""
        strength = self.facts.call.number("strength")
        takes = self.facts.call.takes("video")
        return strength if takes and strength is not None and 0 < strength < 1 else None
