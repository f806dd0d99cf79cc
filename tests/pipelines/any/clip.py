"""One task of one folder: the clip as a user gets it, beside what diffusers alone makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.pipelines.any import plain
from tests.pipelines.any.findings import Report
from tests.pipelines.any.kinora import Cancelled, Kinora, KinoraError, Task, is_internal

SIDE, FRAMES, STEPS, GUIDANCE, SEED, STRENGTH = 64, 9, 3, 3.0, 7, 0.8
PROMPT, NEGATIVE = "a dog in the snow", "dull"
OTHERS: dict[str, Any] = {"negative_prompt": "a blue sky", "guidance_scale": 12.0, "strength": 0.5}
MOST_PIXELS = 300_000
"""Of a clip that is really made here; larger ones take minutes."""
HALF_PIXELS = 128 * 128
"""Of a frame that is made in half precision too, which many CPUs do slowly."""
ADAPTED = {
    "conditions",
    "video",
    "control_video",
    "conditioning_frames",
    "cond_image",
    "last_image",  # the first picture again, for a model that needs two
    "use_resolution_binning",  # which would sample at another size than was promised
    "mask",
    "mask_video",
    "image",
    "sigmas",
    "output_type",
    "generator",
    "callback_on_step_end",
    # of classes that make a clip in windows, what makes its number of frames the promised one
    "num_frames",
    "base_num_frames",
    "overlap_history",
    "enable_temporal_reasoning",
    "num_temporal_reasoning_steps",
}
"""Arguments that carry what was given in the form that a class wants."""


class Person:
    """Presses a button after so many steps."""

    def __init__(self, discard_at: int = 9999, finish_at: int = 9999) -> None:
        self.discard_at, self.finish_at, self.steps = discard_at, finish_at, 0

    def heard(self, kind: str, data: dict[str, Any]) -> None:
        self.steps += kind == "step"

    def cancelled(self) -> bool:
        return self.steps >= self.discard_at

    def finish_now(self) -> bool:
        return self.steps >= self.finish_at


class Clip:
    """One task of one folder."""

    def __init__(
        self,
        kinora: Kinora,
        card: Any,
        task: Task,
        of: type[Any],
        path: Path,
        report: Report,
        classes: list[type[Any]],
        half: Kinora | None,
    ) -> None:
        self.kinora, self.card, self.task, self.of, self.path = kinora, card, task, of, path
        self.report, self.classes, self.half = report, classes, half
        m = card.limits
        self.width = min(max(SIDE, m.min_width), m.max_width)
        self.height = min(max(SIDE, m.min_height), m.max_height)
        self.count = min(max(FRAMES, m.min_frames), m.max_frames)
        self.steps = min(max(STEPS, m.min_steps), m.max_steps)
        self.guidance = min(max(GUIDANCE, m.min_guidance), m.max_guidance)
        self.image: Image.Image | None = None
        self.video: list[Image.Image] | None = None
        self.total_steps = 0

    def say(self, kind: str, check: str, words: str) -> None:
        self.report.say(kind, check, words, self.task.value)

    def done(self, words: str) -> None:
        self.report.clips[self.task.value] = words

    def checked(self, *checks: str) -> None:
        self.report.examined.update(checks)

    def plain_fails(self, why: str) -> None:
        self.report.clips[self.task.value] += f"; plain fails: {why[:60]}"
        self.report.plain_failures.append(why)

    def examine(self) -> None:
        pixels = self.width * self.height * self.count
        if pixels > MOST_PIXELS:
            self.done(f"too large here: {self.width}x{self.height}, {self.count} frames")
            return
        # 1. What was asked for
        request, clip = self._request(self.kinora)
        try:
            fitted = self.kinora.fitted(request, self.card, clip)
        except KinoraError as error:
            self.say("C", "clip", f"offered and refused: “{error.message}”")
            self.done("refused")
            return

        # 2. The clip
        events: list[tuple[str, dict[str, Any]]] = []
        with plain.recorded(self.classes) as calls:
            try:
                result, folder = self.kinora.run(fitted, events, Person())
            except KinoraError as error:
                self._failed(error, fitted)
                return
        self._promised(fitted, result, folder)
        said = {each.field for each in (*fitted.adjustments, *result.adjustments)}
        self._stored(fitted, said)
        self.checked("clip", "ignored", "progress", "preview")
        self._ignored(request, calls.seen, said, (result.width, result.height))
        self._progress(events, result)
        self.done(f"{result.width}x{result.height} f{result.num_frames}@{result.fps}")

        # 3. The same from diffusers alone, then the buttons, then half precision
        self._equal(fitted, calls.seen, folder, said)
        self._finish()
        self._discard(fitted)
        self._hardly_any_strength(request, clip)
        self._half()

    # -- what is asked ----------------------------------------------------------------------------

    def _request(self, kinora: Kinora) -> tuple[dict[str, Any], Any]:
        request: dict[str, Any] = {
            "prompt": PROMPT,
            "negative_prompt": NEGATIVE,
            "width": self.width,
            "height": self.height,
            "num_frames": self.count,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "seed": SEED,
            "allow_fallback": False,
        }
        clip = None
        if self.task is Task.IMAGE_TO_VIDEO:
            self.image = picture(self.width, self.height)
            request["image"] = kinora.picture(self.image)
        if self.task is Task.VIDEO_TO_VIDEO:
            frames = [picture(self.width, self.height, n / 8) for n in range(self.count)]
            request["video"], clip = kinora.clip(frames, self.card.defaults.fps)
            request["strength"] = STRENGTH
            self.video = frames
        return request, clip

    # -- what came of it --------------------------------------------------------------------------

    def _failed(self, error: KinoraError, fitted: Any) -> None:
        self.checked("clip", "sentence")
        reason = self._plain_failure(fitted)
        if reason is not None:
            self.report.plain_failures.append(reason)
        cause = error.__cause__
        below = f"{type(cause).__name__}: {cause}" if cause is not None else ""
        if not is_internal(error):
            self.say("C", "clip", f"“{error.message}” ({below})")
        else:
            self.say("H", "sentence", f"“{error.message}”")
            if reason is None:
                self.say("D", "clip", f"crash, and diffusers alone makes it: {below}")
            else:
                self.say("C", "clip", f"crash, as of diffusers alone: {below}")
        self.done("crash" if is_internal(error) else "refused")

    def _plain_failure(self, fitted: Any) -> str | None:
        """Why diffusers alone cannot make it either; None if it can."""
        try:
            pipe = plain.load(self.of, self.path)
            plain.frames_of(plain.make(pipe, self._own(self.of, fitted), SEED))
        except Exception as error:  # whatever a pipeline raises is the answer
            return f"{type(error).__name__}: {error}"
        return None

    def _promised(self, fitted: Any, result: Any, folder: Path) -> None:
        from tests.media.reading import read

        file = read(folder / result.clip)
        made = (file.width, file.height, len(file.frames), float(file.rate))
        promised = (*fitted.made_size, fitted.made_frames, float(fitted.fps))
        said = {each.field for each in result.adjustments}
        if made != promised and not said & {"num_frames", "duration_s", "width", "height", "fps"}:
            words = f"{_shape(made)} made, {_shape(promised)} promised, unsaid"
            self.say("E", "promise", words)
        self.checked("promise")
        if file.frames.std() == 0:
            self.say("E", "picture", "every pixel is the same")

    def _stored(self, fitted: Any, said: set[str]) -> None:
        stored = self.kinora.storage_here(self.card, self.task)
        if stored != self.kinora.storage_needed(fitted, self.card):
            self.say("G", "plan", f"weights in {stored} for a clip that needs no such thing")
        if stored is not None and "precision" not in said:
            self.say("G", "precision", f"weights in {stored}, unsaid")

    def _ignored(
        self,
        request: dict[str, Any],
        calls: list[plain.Call],
        said: set[str],
        made: tuple[int, int],
    ) -> None:
        """Asked for, not said to be unused, and never handed on."""
        if not calls:
            self.say("E", "ignored", "no pipeline was called")
            return
        given = calls[-1].names
        if made == (self.width, self.height):
            given |= {"width", "height"}
        names = {"num_frames": next((n for n in plain.FRAME_COUNTS if n in given), "num_frames")}
        lost: list[str] = []
        for name in ("negative_prompt", "num_inference_steps", "guidance_scale", "strength"):
            if name in request and name not in said and name not in given:
                lost.append(name)
        for name in ("num_frames", "width", "height"):
            if self.task is not Task.VIDEO_TO_VIDEO and names.get(name, name) not in given:
                lost.append(name)
        for name in lost:
            self.say("E", f"ignored-{name}", "does not reach the pipeline, and no adjustment")

    def _progress(self, events: list[tuple[str, dict[str, Any]]], result: Any) -> None:
        steps = [(data["index"], data["total"]) for kind, data in events if kind == "step"]
        self.total_steps = total = steps[-1][1] if steps else 0
        if [index for index, _ in steps] != list(range(1, total + 1)) or not steps:
            self.say("D", "progress", f"steps reported: {_some([i for i, _ in steps])} of {total}")
        elif any(each != total for _, each in steps):
            totals = list(dict.fromkeys(each for _, each in steps))
            self.say("D", "progress", f"the total grows while it runs: {_some(totals)}")
        if not any(kind == "preview" for kind, _ in events):
            self.say("D", "preview", "none is drawn")

    def _own(self, of: type[Any], fitted: Any) -> dict[str, Any]:
        """What a person would type who knows nothing but the class."""
        given = {
            "prompt": fitted.prompt or PROMPT,
            "negative_prompt": NEGATIVE,
            "width": self.width,
            "height": self.height,
            "num_frames": fitted.num_frames,
            "num_inference_steps": self.steps,
            "guidance_scale": fitted.guidance_scale,
            "frame_rate": float(fitted.fps),
            "fps": fitted.fps,
            "image": self.image,
            "video": self.video,
            "control_video": self.video,
            "conditioning_frames": self.video or self.image,
            "cond_image": self.image,
            "strength": fitted.strength,
        }
        if plain.has_true_guidance(of):
            given["true_cfg_scale"] = given.pop("guidance_scale")
        return plain.asked_of(of, given)

    def _equal(self, fitted: Any, calls: list[plain.Call], folder: Path, said: set[str]) -> None:
        """The last frame, which is kept without loss."""
        import diffusers

        if not calls:
            return
        kept = np.asarray(Image.open(folder / "last.png").convert("RGB"))
        call, notes = calls[-1], []
        of: type[Any] = getattr(diffusers, call.class_name)
        storage = self.kinora.storage_here(self.card, self.task)
        if call.arguments.get("video") is not None:
            self.video = call.arguments["video"]  # as decoded: an encoded clip is not what it was
        own = self._own(of, fitted)
        for arguments in (own, call.arguments):
            try:
                pipe = plain.load(of, self.path, storage)
                output = plain.make(pipe, arguments, SEED, call.guidance)
                frames = plain.frames_of(output)
            except Exception as error:  # whatever a pipeline raises
                notes.append(f"{type(error).__name__}: {error}")
                continue
            if (
                plain.has_sound(output)
                and not _sounds(folder)
                and not self.report.has(self.task.value, "sound")
            ):
                self.say("E", "sound", "the pipeline's sound is dropped, unsaid")
            if frames[-1].shape == kept.shape and np.array_equal(frames[-1], kept):
                extra = {k for k in call.arguments if k not in own} - ADAPTED
                changed = {
                    k for k in own if k in call.arguments and _differs(own[k], call.arguments[k])
                }
                # a window of LTX long has a seed of its own, and its loop leaves one step out
                if "temporal_tile_size" in plain.parameters_of(of):
                    extra, changed = extra - {"seed"}, changed - {"num_inference_steps", "seed"}
                if arguments is not own and extra | changed - ADAPTED:
                    unlike = ", ".join(sorted(extra | changed - ADAPTED))
                    self.say("A", "arguments", f"equal only with these added or dropped: {unlike}")
                self.checked("equal")
                self._effects(pipe, arguments, frames, said)
                return
            if frames[-1].shape != kept.shape and "width" not in plain.parameters_of(of):
                notes.append("plain: it chooses a size by itself")
                continue
            notes.append(_difference(frames[-1], kept))
        if all(note.startswith("differs") for note in notes):
            self.say("B", "equal", f"not what diffusers alone makes of it: {notes[-1]}")
        elif notes[-1].startswith("differs"):
            self.say("B", "equal", f"with the very same arguments: {notes[-1]}")
        else:
            self.plain_fails(notes[-1])
            return
        self.checked("equal")

    def _effects(
        self, pipe: Any, arguments: dict[str, Any], frames: np.ndarray, said: set[str]
    ) -> None:
        """What is handed on and moves no pixel, which a person should be told."""
        if self.width * self.height > HALF_PIXELS:
            return
        for name, other in OTHERS.items():
            if name in arguments and name not in said:
                moved = plain.frames_of(plain.make(pipe, arguments | {name: other}, SEED))
                if moved.shape == frames.shape and np.array_equal(moved, frames):
                    self.say("E", f"effect-{name}", "handed on, changes nothing, unsaid")

    # -- the buttons ------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Of a request that says no more than it must."""
        request, clip = self._request(self.kinora)
        bare = {k: v for k, v in request.items() if k not in ("negative_prompt", "guidance_scale")}
        try:
            fitted = self.kinora.fitted(bare, self.card, clip)
            result, _ = self.kinora.run(fitted, [], Person(finish_at=1))
        except KinoraError as error:
            below = error.__cause__ or error.message
            self.say("H", "bare", f"without a negative prompt and guidance: {below}")
            return
        self.checked("bare", "finish")
        if not result.finished_early:
            self.say("D", "finish", "“finish now” after the first step changes nothing")
        elif result.steps_done is None or result.steps_done >= self.total_steps:
            self.say("D", "finish", f"after all of its {result.steps_done} steps")

    def _discard(self, fitted: Any) -> None:
        person = Person(discard_at=1)
        self.checked("discard")
        try:
            self.kinora.run(fitted, [], person)
        except Cancelled:
            if person.steps > 1:
                self.say("D", "discard", f"only after {person.steps} steps")
            return
        except KinoraError as error:
            self.say("D", "discard", f"crash: {error.__cause__ or error.message}")
            return
        self.say("D", "discard", "never: the clip is made to its end")

    def _hardly_any_strength(self, request: dict[str, Any], clip: Any) -> None:
        """Fewer than one step: there is a sentence for it, or a clip."""
        if "strength" not in request or self.card.limits.min_steps > 1:
            return
        try:
            weak = request | {"strength": 0.3, "num_inference_steps": 2}
            self.kinora.run(self.kinora.fitted(weak, self.card, clip), [], Person())
        except KinoraError as error:
            if is_internal(error):
                self.say("E", "strength", f"steps times strength below one: {error.__cause__}")

    def _half(self) -> None:
        if self.half is None or self.width * self.height > HALF_PIXELS:
            return
        self.checked("half")
        request, clip = self._request(self.half)
        try:
            fitted = self.half.fitted(request, self.card, clip)
            self.half.run(fitted, [], Person(finish_at=1))
        except KinoraError as error:
            self.say("B", "half", f"in bfloat16: {error.__cause__ or error.message}")
        finally:
            self.half.forget(self.card)


def picture(width: int, height: int, phase: float = 0.0) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width].astype(float)
    red, green = 255 * x / width, 255 * y / height
    blue = 255 * (0.5 + 0.5 * np.sin(x / 5 + 3 * phase))
    return Image.fromarray(np.stack([red, green, blue], -1).round().astype(np.uint8))


def _sounds(folder: Path) -> bool:
    import av

    with av.open(str(next(folder.glob("clip.*")))) as clip:
        return bool(clip.streams.audio)


def _unlike(own: dict[str, Any], given: dict[str, Any]) -> str:
    """The arguments that are not as a person would have typed them."""
    names = {k for k in {*own, *given} if k not in own or k not in given}
    names |= {k for k in own if k in given and _differs(own[k], given[k])}
    return ", ".join(sorted(names - ADAPTED))


def _differs(one: Any, other: Any) -> bool:
    if isinstance(one, str | int | float | bool) and isinstance(other, str | int | float | bool):
        return one != other
    return False


def _difference(one: np.ndarray, other: np.ndarray) -> str:
    if one.shape != other.shape:
        return f"differs in shape, {one.shape} and {other.shape}"
    apart = np.abs(one.astype(int) - other.astype(int))
    return f"differs by up to {apart.max()} levels"


def _shape(of: tuple[float, ...]) -> str:
    return f"{of[0]}x{of[1]} f{of[2]}@{of[3]:g}"


def _some(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:6])) + (" …" if len(numbers) > 6 else "") or "none"
