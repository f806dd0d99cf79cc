"""The keys in Redis through which servers and remote workers communicate.

All values are plain JSON: a client that can write to Redis can add jobs, but no code. Redis is only
the transport; the store holds the state of every job.

    kinora:workers           set     the names of workers
    kinora:worker:NAME       string  its WorkerInfo, which expires ALIVE_S after its last heartbeat
    kinora:slot:NAME         string  the ticket it is reserved for; no other server sends it a job
    kinora:job:JOB           string  the ticket of a job that was sent to a worker
    kinora:asked:TICKET      string  discard | finish | revoked
    kinora:preview:JOB       hash    the newest preview: number, meta, jpeg
    kinora:news:SERVER       stream  messages of the workers to the server that sent them jobs
    kinora:waiting           hash    since when each server has a job and no worker to send it to
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.serializers import JSONSerializer

from jobs.event_types import LoadingJson, PreviewReady, from_json, to_json
from jobs.job import Job
from pipelines.planning import Device
from pipelines.preview import Preview

BEAT_S = 2.0
ALIVE_S = 10
"""A worker without a heartbeat for so long is lost. Five heartbeats."""
RESERVED_S = 10
"""A reservation expires if the job never arrives; the worker extends it while it works."""
PREVIEW_S = 600
MAX_MESSAGES = 200_000  # in a stream; only a server that is down for hours can lose any

LoraFileName = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}\.safetensors$")]
RunStopRequest = Literal["discard", "finish", "revoked"]
RQ_TASK = "kinora.make"
"""Shown in RQ's own tools. Workers never import it."""


class RunTicket(BaseModel):
    """One run of one job. Every attempt has a new ticket, so late messages of an old attempt
    cannot be mistaken for those of the current one."""

    model_config = ConfigDict(frozen=True)
    id: str
    job: Job
    worker: str
    server: str
    """The server that reads the messages of this run."""
    lent: dict[str, LoraFileName] = {}
    """LoRAs by their source: the name of the file that the server shared."""


class WorkerInfo(BaseModel):
    """What a worker reports about itself with every heartbeat."""

    model_config = ConfigDict(frozen=True)
    name: str
    host: str
    pid: int
    gpu: str | None = None
    machine: str | None = None
    """The key of its timings in the estimator."""
    models: tuple[str, ...] | None = None
    """The models it may run; None: all."""
    warm: tuple[str, ...] = ()
    state: Literal["loading", "ready", "stopping"] = "loading"
    ticket: str | None = None
    job_id: str | None = None
    loading: LoadingJson = None
    error: dict[str, Any] | None = None
    done: int = 0
    device: Device | None = None
    """What it computes on."""

    def may_make(self, model: str) -> bool:
        return not model or self.models is None or model in self.models


class RedisProtocol:
    """Every method may raise redis.RedisError."""

    def __init__(self, redis: Redis) -> None:
        self.redis: Any = redis  # its methods are typed for sync and async at once

    # -- workers ---------------------------------------------------------------------------------

    def workers(self) -> dict[str, WorkerInfo]:
        """The workers that are alive, by name. Removes the names of expired ones."""
        names = sorted(name.decode() for name in self.redis.smembers("kinora:workers"))
        if not names:
            return {}
        found: dict[str, WorkerInfo] = {}
        gone: list[str] = []
        bodies = self.redis.mget([f"kinora:worker:{name}" for name in names])
        for name, body in zip(names, bodies, strict=True):
            info = _parsed(WorkerInfo, body)
            if info is None:
                gone.append(name)
            else:
                found[name] = info
        if gone:
            self.redis.srem("kinora:workers", *gone)
        return found

    def reserved(self, names: Iterable[str]) -> set[str]:
        names = list(names)
        slots = self.redis.mget([f"kinora:slot:{name}" for name in names]) if names else []
        return {name for name, slot in zip(names, slots, strict=True) if slot}

    def show(self, info: WorkerInfo, pipe: Pipeline) -> None:
        pipe.sadd("kinora:workers", info.name)
        pipe.set(f"kinora:worker:{info.name}", info.model_dump_json(), ex=ALIVE_S)

    def leave(self, name: str) -> None:
        self.redis.srem("kinora:workers", name)
        self.redis.delete(f"kinora:worker:{name}", f"kinora:slot:{name}", _queue_key(name))

    def remove(self, ticket: RunTicket) -> None:
        """Removes what RQ keeps of a lost worker and of its last job."""
        name, queue = ticket.worker, queue_name(ticket.worker)
        self.redis.srem("rq:workers", f"rq:worker:{name}")
        self.redis.srem("rq:queues", f"rq:queue:{queue}")
        self.redis.delete(
            f"rq:worker:{name}",
            f"rq:workers:{queue}",
            f"rq:queue:{queue}",
            f"rq:queue:{queue}:intermediate",
            f"rq:wip:{queue}",
            f"rq:failed:{queue}",
            f"rq:job:{ticket.id}",
            f"rq:executions:{ticket.id}",
            f"kinora:slot:{name}",
        )

    # -- work ------------------------------------------------------------------------------------

    def reserve(self, worker: str, ticket: str) -> bool:
        """True for exactly one of several servers that try."""
        return bool(self.redis.set(f"kinora:slot:{worker}", ticket, nx=True, ex=RESERVED_S))

    def release(self, worker: str, ticket: str) -> None:
        if self.redis.get(f"kinora:slot:{worker}") == ticket.encode():
            self.redis.delete(f"kinora:slot:{worker}")

    def send(self, ticket: RunTicket, keep_s: float) -> None:
        """Sends a job through RQ to that worker's own queue."""
        self.redis.set(f"kinora:job:{ticket.job.id}", ticket.model_dump_json(), ex=int(keep_s))
        self.queue(ticket.worker).enqueue_call(
            RQ_TASK,
            args=(ticket.job.id,),
            job_id=ticket.id,
            timeout=-1,  # run_job keeps the timeout itself
            result_ttl=0,
            failure_ttl=60,
        )

    def queue(self, worker: str) -> Queue:
        return Queue(queue_name(worker), connection=self.redis, serializer=JSONSerializer)

    def ticket(self, job_id: str) -> RunTicket | None:
        return _parsed(RunTicket, self.redis.get(f"kinora:job:{job_id}"))

    def forget(self, ticket: RunTicket) -> None:
        """The run has ended: removes its ticket and preview."""
        held = self.ticket(ticket.job.id)
        if held and held.id == ticket.id:
            self.redis.delete(f"kinora:job:{ticket.job.id}", f"kinora:preview:{ticket.job.id}")

    def request_stop(self, ticket: str, what: RunStopRequest, keep_s: float) -> None:
        self.redis.set(f"kinora:asked:{ticket}", what, ex=int(keep_s))

    def stop_request(self, ticket: str) -> str | None:
        what = self.redis.get(f"kinora:asked:{ticket}")
        return what.decode() if what else None

    # -- messages --------------------------------------------------------------------------------

    def read(self, after: dict[str, str], block_s: float) -> list[tuple[str, str, dict[str, str]]]:
        """(server, entry id, fields) of the messages since; waits up to `block_s` for the first."""
        streams = {f"kinora:news:{server}": last for server, last in after.items()}
        answer = self.redis.xread(streams, count=200, block=int(block_s * 1000)) or []
        return [
            (
                stream.decode().removeprefix("kinora:news:"),
                entry.decode(),
                {key.decode(): value.decode() for key, value in fields.items()},
            )
            for stream, entries in answer
            for entry, fields in entries
        ]

    def delete_messages(self, server: str, entries: list[str]) -> None:
        self.redis.xdel(f"kinora:news:{server}", *entries)

    def show_preview(self, job_id: str, ready: PreviewReady, jpeg: bytes, pipe: Pipeline) -> None:
        key, meta = f"kinora:preview:{job_id}", json.dumps(to_json(ready))
        pipe.hset(key, mapping={"number": ready.number, "meta": meta, "jpeg": jpeg})
        pipe.expire(key, PREVIEW_S)

    def preview(self, job_id: str) -> Preview | None:
        held = self.redis.hgetall(f"kinora:preview:{job_id}")
        ready = held and from_json("preview", json.loads(held[b"meta"]))
        return ready.with_jpeg(held[b"jpeg"]) if isinstance(ready, PreviewReady) else None

    # -- fairness between servers ----------------------------------------------------------------

    def wait(self, server: str, waited_s: float | None) -> None:
        """Publishes how long this server's first job has waited; None if none waits."""
        if waited_s is None:
            self.redis.hdel("kinora:waiting", server)
        else:
            now = self._now()
            self.redis.hset("kinora:waiting", server, json.dumps([now - waited_s, now]))

    def others_wait(self, server: str, fresh_s: float = 2.0) -> list[float]:
        """How long the first jobs of other servers have waited, from what they published lately."""
        now, waited = self._now(), []
        for name, body in self.redis.hgetall("kinora:waiting").items():
            since, published = json.loads(body)
            if now - published > 60:
                self.redis.hdel("kinora:waiting", name)
            elif name.decode() != server and now - published < fresh_s:
                waited.append(now - since)
        return waited

    def _now(self) -> float:
        """The clock of Redis: those of the machines may differ."""
        seconds, micros = self.redis.time()
        return seconds + micros / 1e6


def device_to_show(devices: Iterable[Device | None]) -> Device | None:
    """The device that an operator should see: one with a problem, else one with a GPU."""
    known = [device for device in devices if device is not None]
    return max(known, key=lambda d: (d.problem is not None, d.vram_gb or 0.0), default=None)


def queue_name(worker: str) -> str:
    return f"kinora.{worker}"


def _queue_key(worker: str) -> str:
    return f"rq:queue:{queue_name(worker)}"


def _parsed(kind: Any, body: bytes | None) -> Any:
    """None for a missing key and for a value that this version cannot read."""
    if body is None:
        return None
    try:
        return kind.model_validate_json(body)
    except ValidationError:
        return None
