"""Where Kinora runs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class MachineSettings(BaseModel):
    request_timeout_s: float = Field(
        default=3600,
        gt=0,
        validation_alias="REQUEST_TIMEOUT",
        description="Time limit for making one clip, in seconds.",
    )
    redis_url: str | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="Redis for workers in other processes or on other machines: "
        "`redis://[:password@]host:6379/0`. Or set REDIS_HOST (and REDIS_PORT).",
    )
    redis_host: str | None = Field(
        default=None, validation_alias="REDIS_HOST", description="See REDIS_URL."
    )
    redis_port: int = Field(
        default=6379, ge=1, le=65535, validation_alias="REDIS_PORT", description="See REDIS_URL."
    )
    executor: Literal["auto", "process", "inline", "redis"] = Field(
        default="auto",
        description="Where clips are made: `process` (a supervised child process), `inline` "
        "(this process), `redis` (workers behind Redis), or `auto`: redis if REDIS_URL is set, "
        "inline on ZeroGPU, otherwise process.",
    )
    space_id: str | None = Field(
        default=None,
        validation_alias="SPACE_ID",
        description="Set by Hugging Face Spaces.",
    )
    zero_gpu: bool = Field(
        default=False,
        validation_alias="SPACES_ZERO_GPU",
        description="Set by Hugging Face ZeroGPU.",
    )

    @property
    def on_space(self) -> bool:
        return bool(self.space_id)

    @property
    def redis_address(self) -> str | None:
        if self.redis_url or not self.redis_host:
            return self.redis_url
        return f"redis://{self.redis_host}:{self.redis_port}/0"

    @property
    def executor_kind(self) -> Literal["process", "inline", "redis"]:
        """`executor`, with `auto` resolved."""
        if self.executor == "auto":
            return "redis" if self.redis_address else "inline" if self.zero_gpu else "process"
        return self.executor
