"""Film: shots that are made as clips of their own and then joined. What is stored of a film, and
what follows from it and from the states of its jobs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from errors import ErrorCode, KinoraError
from jobs.job import Job, State
from media.operations.edit_request import MAX_CLIPS, EditRequest
from media.operations.join_clips import JoinClips, Joint
from pipelines.field_types import (
    MAX_PROMPT,
    MAX_SEED,
    RANDOM_SEED,
    Text,
    integer_as_typed,
    number_as_typed,
)
from pipelines.request import GenerationRequest, ImageId

MAX_SHOTS = MAX_CLIPS

Cut = Literal["continue", "hard", "crossfade"]
ShotProgress = Literal["waiting", "queued", "running", "succeeded", "failed", "cancelled", "gone"]
FilmProgress = Literal["working", "succeeded", "failed", "cancelled", "gone"]

OF_SHOTS = ("prompt", "image", "duration_s", "seed")
"""The fields of a request that each shot has for itself."""
NOT_OF_FILMS = ("last_image", "video", "continue_from", "focus", "strength")
REMADE_BY = frozenset({"prompt", "duration_s", "image", "seed"})
"""A shot is made again where one of them changes."""


class Shot(BaseModel):
    """One shot as it is requested. What is not set holds for all shots, or is the model's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Text = Field(
        default="", max_length=MAX_PROMPT, description="What happens in this shot."
    )
    duration_s: float | None = Field(
        default=None, gt=0, le=600, allow_inf_nan=False, description="Its length in seconds."
    )
    image: ImageId | None = Field(default=None, description="A picture that it starts from.")
    cut: Cut = Field(
        default="hard",
        description="How it follows the shot before it: `continue` starts from that one's last "
        "frames, `hard` and `crossfade` do not.",
    )
    seed: int | None = Field(
        default=None, ge=RANDOM_SEED, le=MAX_SEED, description="The same seed gives the same shot."
    )

    _integers = field_validator("seed", mode="before")(integer_as_typed)
    _numbers = field_validator("duration_s", mode="before")(number_as_typed)

    @field_validator("seed", mode="after")
    @classmethod
    def _random_is_none(cls, seed: int | None) -> int | None:
        return None if seed == RANDOM_SEED else seed


class FilmRequest(BaseModel):
    """A film as it is requested. `settings` hold for all shots."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shots: tuple[Shot, ...] = Field(
        min_length=1, max_length=MAX_SHOTS, description="The shots, in order."
    )
    settings: GenerationRequest = GenerationRequest()
    crossfade_s: float = Field(
        default=0.5,
        ge=0.04,
        le=10,
        allow_inf_nan=False,
        description="How long two shots overlap at a cross-fade.",
    )

    _numbers = field_validator("crossfade_s", mode="before")(number_as_typed)

    @field_validator("settings", mode="after")
    @classmethod
    def _for_all(cls, settings: GenerationRequest) -> GenerationRequest:
        for name in NOT_OF_FILMS:
            if getattr(settings, name) != type(settings).model_fields[name].get_default():
                raise ValueError(f"should leave out {name}: a film has none")
        return settings


ShotId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}$")]


class FilmShot(Shot):
    """A shot as it is stored, with the job that makes it."""

    id: ShotId
    job: str | None = None
    """Its present take."""
    take_before: str | None = None
    """The job of the take that this one is made in the place of."""
    after: str | None = None
    """The job whose end it continues."""
    is_stopped: bool = False
    """It was discarded before it had a job."""
    problem: dict[str, Any] | None = None
    """Why it could not be submitted."""

    @classmethod
    def of(cls, shot: Shot) -> FilmShot:
        return cls(id=secrets.token_hex(4), **shot.model_dump(include=set(Shot.model_fields)))

    def without_take(self, **changes: Any) -> FilmShot:
        """Without its take, so that a new one is made."""
        none = {"job": None, "after": None, "problem": None, "is_stopped": False}
        return self.model_copy(
            update=none | {"take_before": self.job or self.take_before} | changes
        )


class Film(BaseModel):
    """A film as it is stored. `created_at` is in Unix seconds."""

    model_config = ConfigDict(frozen=True)
    id: str
    owner: str
    created_at: float
    version: int = 0
    server: str = ""
    """The server that submits what follows."""
    shots: tuple[FilmShot, ...]
    settings: GenerationRequest
    crossfade_s: float = 0.5
    join_job: str | None = None
    """The edit that made, or makes, the film's file."""
    file_job: str | None = None
    """The edit that made the file before that one, which stays until the new one is there."""
    joined: str | None = None
    """What that was made of: see `join_key`."""
    problem: dict[str, Any] | None = None
    """Why the shots could not be joined."""

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The takes that it shows, and the edits."""
        ids = [*(shot.job for shot in self.shots), self.join_job, self.file_job]
        return tuple(dict.fromkeys(each for each in ids if each))

    @property
    def is_continued(self) -> tuple[bool, ...]:
        """For each shot, whether it starts from the end of the one before it."""
        return tuple(n > 0 and shot.cut == "continue" for n, shot in enumerate(self.shots))

    def replace_shot(self, index: int, shot: FilmShot) -> Film:
        shots = (*self.shots[:index], shot, *self.shots[index + 1 :])
        return self.model_copy(update={"shots": shots})

    def find(self, number: int) -> FilmShot:
        """The shot of that number, from 1. Raises KinoraError(NOT_FOUND)."""
        if not 1 <= number <= len(self.shots):
            sentence = f"This film has no shot {number}: it has {len(self.shots)}."
            raise KinoraError(ErrorCode.NOT_FOUND, sentence)
        return self.shots[number - 1]

    def request_of(self, index: int, continue_from: str | None = None) -> GenerationRequest:
        """The request of one shot. Shots are MP4 in high quality, to be joined; the film has the
        format and the quality of the request."""
        shot, settings = self.shots[index], self.settings
        seed = shot.seed
        if seed is None and settings.seed is not None:
            seed = (settings.seed + index) % (MAX_SEED + 1)  # not the same motion in each
        values: dict[str, Any] = {
            "prompt": shot.prompt,
            "image": shot.image,
            "continue_from": continue_from,
            "seed": seed,
            "format": "mp4",
            "quality": "high",
        }
        if shot.duration_s is not None:
            values |= {"duration_s": shot.duration_s, "num_frames": None}
        return settings.model_copy(update=values)

    def join_request(self) -> EditRequest:
        """The edit that makes the film's file."""
        joints = [
            Joint(
                transition="crossfade" if shot.cut == "crossfade" else "cut",
                duration_s=self.crossfade_s,
            )
            for shot in self.shots[1:]
        ]
        return EditRequest(
            clips=tuple(shot.job or "" for shot in self.shots),
            operations=(JoinClips(joints=tuple(joints)),) if joints else (),
            format=self.settings.format,
            quality=self.settings.quality,
        )

    def join_key(self) -> str:
        """Differs for films that are joined differently."""
        cuts = [shot.cut == "crossfade" for shot in self.shots[1:]]
        clips = [shot.job for shot in self.shots]
        fade = self.crossfade_s if any(cuts) else 0
        return json.dumps([clips, cuts, fade, self.settings.format, self.settings.quality])


@dataclass(frozen=True)
class FilmState:
    """A film with its jobs, by id. One that was deleted is missing."""

    film: Film
    jobs: Mapping[str, Job]

    def job(self, index: int) -> Job | None:
        return self.jobs.get(self.film.shots[index].job or "")

    @property
    def join(self) -> Job | None:
        """The edit of the shots as they are now; None while there is none."""
        is_present = self.film.joined == self.film.join_key()
        return self.jobs.get(self.film.join_job or "") if is_present else None

    @property
    def file(self) -> Job | None:
        """The film as it was joined last, if its file is there. The shots may be newer."""
        edits = (self.jobs.get(each or "") for each in (self.film.join_job, self.film.file_job))
        return next((job for job in edits if job and has_file(job)), None)

    def shot_state(self, index: int) -> ShotProgress:
        shot = self.film.shots[index]
        if shot.problem:
            return "failed"
        if shot.job is None:
            return "cancelled" if shot.is_stopped else "waiting"
        job = self.job(index)
        if job is None or (job.result and job.result.gone):
            return "gone"
        # it is being discarded and will not come: resuming must not wait for it
        is_discarded = job.state is State.RUNNING and job.asked == "discard"
        return State.CANCELLED.value if is_discarded else job.state.value

    def will_come(self, index: int) -> bool:
        """Whether a shot without a job gets one by itself."""
        if self.shot_state(index) != "waiting":
            return False
        if not self.film.is_continued[index]:
            return True
        before = self.shot_state(index - 1)
        return before in ("queued", "running", "succeeded") or self.will_come(index - 1)

    def ready(self) -> list[int]:
        """The shots that can be submitted now."""
        return [
            index
            for index in range(len(self.film.shots))
            if self.shot_state(index) == "waiting"
            and (
                not self.film.is_continued[index]
                or (self.shot_state(index - 1) == "succeeded" and self.has_clip(index - 1))
            )
        ]

    def has_clip(self, index: int) -> bool:
        job = self.job(index)
        return bool(job and has_file(job))

    @property
    def pending(self) -> int:
        """How many shots are still to be submitted: they count as unfinished clips."""
        return sum(self.will_come(index) for index in range(len(self.film.shots)))

    @property
    def is_complete(self) -> bool:
        """All shots are there."""
        return all(self.has_clip(index) for index in range(len(self.film.shots)))

    @property
    def needs_join(self) -> bool:
        return self.is_complete and self.film.joined != self.film.join_key()

    @property
    def state(self) -> FilmProgress:
        states = [self.shot_state(index) for index in range(len(self.film.shots))]
        if self.pending or "queued" in states or "running" in states or self.needs_join:
            return "working"
        if self.is_complete:
            if self.film.problem:
                return "failed"
            join = self.join
            if self.film.join_job is None:
                return "cancelled"
            if join is None or (join.result and join.result.gone):
                return "gone"
            return "working" if not join.state.ended else _ended(join.state)
        for worst in ("failed", "cancelled"):
            if worst in states:
                return worst
        return "gone"

    @property
    def progress(self) -> float:
        """Of the shots and the film's file, from 0 to 1, without that within a clip."""
        done = sum(self.has_clip(index) for index in range(len(self.film.shots)))
        is_joined = self.join is not None and has_file(self.join)
        return (done + is_joined) / (len(self.film.shots) + 1)

    def note(self, index: int) -> str | None:
        """What is to be said of a shot, as a sentence."""
        shot = self.film.shots[index]
        if not self.film.is_continued[index]:
            return None
        before = self.film.shots[index - 1]
        if shot.job is None and self.shot_state(index) == "waiting" and not self.will_come(index):
            return f"It continues shot {index}, which has no clip: make that one again first."
        if shot.job and shot.after != before.job and before.job and self.has_clip(index):
            return f"It continues another take than the present one of shot {index}. Redo it to "\
                "continue the present one."  # fmt: skip
        return None

    def in_turn(self) -> list[Job]:
        """Its jobs: the shots in order, then the edit."""
        return [self.jobs[each] for each in self.film.job_ids if each in self.jobs]

    def number_of(self, job_id: str) -> int | None:
        """The place, from 1, of the shot whose present take that is."""
        takes = [shot.job for shot in self.film.shots]
        return takes.index(job_id) + 1 if job_id in takes else None

    def unfinished(self) -> Iterator[Job]:
        """Its queued and running jobs, those first that wait."""
        found = [job for job in self.in_turn() if not job.state.ended]
        yield from sorted(found, key=lambda job: job.state is State.RUNNING)


def has_file(job: Job) -> bool:
    return job.state is State.SUCCEEDED and job.result is not None and not job.result.gone


def _ended(state: State) -> FilmProgress:
    match state:
        case State.SUCCEEDED:
            return "succeeded"
        case State.CANCELLED:
            return "cancelled"
        case _:
            return "failed"
