"""The gallery as the page shows it: a tile is much less than all about a job, as there are many."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from jobs.clip_collections import Collection
from jobs.gallery import Deletion
from jobs.gallery_query import Facets, GalleryClip, Storage
from jobs.job import Job
from ui.signatures import Signatures

View = Callable[[Job], dict[str, Any]]
SHOWN = ("line", "ring", "phase", "preview", "drive")
"""What a tile shows of a clip that is being made."""


def tile(clip: GalleryClip, signatures: Signatures, view: View) -> dict[str, Any]:
    """`view` is that of a job on the page; it reads the job's events."""
    job = clip.job
    fitted, result = job.fitted, job.result
    width, height = (result.width, result.height) if result else fitted.made_size
    is_gone = bool(result and result.gone)
    shown = {
        "id": job.id,
        "task": fitted.task.value,
        "state": "gone" if is_gone else job.state.value,
        "created_at": job.created_at,
        "prompt": fitted.prompt,
        "model": fitted.model,
        "width": width,
        "height": height,
        "duration_s": round(result.duration_s if result else fitted.duration_s, 3),
        "fps": result.fps if result else fitted.fps,
        "format": job.edit.format if job.edit else fitted.format,
        "is_draft": job.full_request is not None,
        "batch": job.batch,
        "signed": signatures.query(job.id, job.owner),
        **_own(clip),
    }
    if not job.state.ended:
        now = view(job)
        shown |= {name: now[name] for name in SHOWN if name in now}
    return shown


def whole(clip: GalleryClip, view: View) -> dict[str, Any]:
    """All about one clip: as the stage shows it, with what its owner has made of it."""
    job = clip.job
    fps = job.result.fps if job.result else job.fitted.fps
    return view(job) | {"model": job.fitted.model, "fps": fps, **_own(clip)}


def _own(clip: GalleryClip) -> dict[str, Any]:
    return {
        "title": clip.title,
        "starred": clip.starred,
        "collections": list(clip.collections),
    }


def deletion(found: Deletion | None) -> dict[str, Any] | None:
    """`left_s` instead of a time: the visitor's clock may be wrong."""
    if found is None:
        return None
    left_s = max(0.0, found.undo_until - time.time())
    return {"ids": found.deleted, "unfinished": found.unfinished, "left_s": round(left_s, 2)}


def about(storage: Storage, facets: Facets, collections: list[Collection]) -> dict[str, Any]:
    return {
        "storage": {
            "clips": storage.clips,
            "bytes": storage.bytes,
            "limit_bytes": storage.limit_bytes,
            "used_share": storage.used_share,
            "keep_days": storage.keep_days,
            "oldest_goes_at": storage.oldest_goes_at,
        },
        "models": [[model, count] for model, count in facets.models.items()],
        "sizes": [[f"{w}x{h}", count] for (w, h), count in facets.sizes.items()],
        "tasks": [[task, count] for task, count in facets.tasks.items()],
        "collections": [
            {"id": each.id, "name": each.name, "clips": each.clips} for each in collections
        ],
    }
