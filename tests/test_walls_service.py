"""Rules around the service: what pages and routes may use, and where state and SQL are changed."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.batch_files import BatchFiles
from jobs.batch_plans import BatchPlans
from jobs.caller_styles import CallerStyles
from jobs.gallery import Gallery
from jobs.looks import Looks
from jobs.moderation import Moderation
from jobs.policy.content_policy import ContentPolicy
from jobs.shares import Shares
from jobs.style_thumbnails import StyleThumbnails
from pipelines.wildcard_files import WildcardFiles
from tests.test_walls import ROOT, imports_of, is_within, sources

VALUES = ("cards", "planner", "settings")
"""Attributes of the service that others may read and pass on."""

PARTS: dict[str, tuple[type, set[str]]] = {
    "batch_files": (BatchFiles, {"sheet", "grid", "zip"}),
    "gallery": (
        Gallery,
        {"page", "ids", "clips", "clip", "family", "facets", "storage", "collections"}
        | {"rename", "star", "delete", "restore", "deleted", "zip"}
        | {"select", "selection", "remember_input"},
    ),
    "looks": (Looks, {"list", "get", "save", "delete"}),
    "policy": (ContentPolicy, {"subscribe"}),
    "moderation": (
        Moderation,
        {"report", "queue", "count_open", "dismiss", "case", "find", "file_path", "remove"}
        | {"restore", "removed", "block_file", "unblock_file", "blocked_files", "block_caller"}
        | {"unblock_caller", "blocked_callers", "log", "audit", "refuse_blocked"},
    ),
    "plans": (BatchPlans, {"batch", "drafts", "comparison", "render"}),
    "shares": (
        Shares,
        {"is_gallery_on", "put", "of_job", "list", "revoke", "remove"}
        | {"find", "public", "clip_path", "poster_path"},
    ),
    "styles": (
        CallerStyles,
        {"available", "own", "save", "import_yaml", "export_yaml", "delete"},
    ),
    "thumbnails": (StyleThumbnails, {"request", "find", "path", "store", "remove_stale"}),
    "wildcards": (WildcardFiles, {"examples"}),
}
"""The public parts of the service, and which of their methods others may call. Each is a subject of
its own that changes no job: methods of the service would only pass the call on. Whatever accepts,
changes or deletes a job is a method of the service itself."""


def reaches_through(code: str) -> list[str]:
    """Where code uses what is inside the service, such as `service._store.get`, or of a public part
    what is not for others, such as `service.batch_files.remove`."""
    found: list[str] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            _, is_part, part = owner.rpartition("service.")
            is_service = owner == "service" or owner.endswith((".service", "._service"))
            is_private = is_service and node.attr.startswith("_")
            is_through = is_part and part.isidentifier() and not _is_public(part, node.attr)
            if is_private or is_through:
                found.append(ast.unparse(node))
    return found


def _is_public(part: str, name: str) -> bool:
    return part in VALUES or (part in PARTS and name in PARTS[part][1])


@pytest.mark.parametrize(
    ("code", "is_refused"),
    [
        ("self.service._store.get(1)", True),
        ("service.events.since(1)", True),
        ("in_thread(self._service.uploads.path, name)", True),
        ("service._store", True),
        ("service.batch_files.remove(batch.id)", True),
        ("service.plans._admission", True),
        ("in_thread(self.service.batch_files.sheet, found)", False),
        ("self.service.get(1).state", False),
        ("self.service.settings.max_batch", False),
        ("self.service.events(job.id)", False),
    ],
)
def test_the_rule_about_the_service_finds_what_it_should(code: str, is_refused: bool) -> None:
    assert bool(reaches_through(code)) == is_refused


def test_pages_and_routes_use_the_services_methods_and_not_its_parts() -> None:
    for path in sources("api", "cli", "ui", "web"):
        found = reaches_through(path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found}"


@pytest.mark.parametrize("part", PARTS)
def test_a_public_part_has_all_of_its_methods_and_changes_no_job(part: str) -> None:
    made, methods = PARTS[part]
    assert methods <= set(vars(made)) | {"collections"}
    source = inspect.getsourcefile(made)
    assert source is not None
    accepting = {"accept", "add", "add_all", "move", "claim", "cancel_queued", "request_stop"}
    assert not {method for _, method in calls(Path(source))} & accepting
    held = ast.walk(ast.parse(Path(source).read_text(encoding="utf-8")))
    names = {node.id for node in held if isinstance(node, ast.Name)}
    assert not names & {"JobLifecycle", "JobService", "EventLog"}


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """(object, method) of every call of a method in a file, such as ("self.store", "move")."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield ast.unparse(node.func.value), node.func.attr


def test_only_the_lifecycle_changes_the_state_of_a_job() -> None:
    for path in sources("jobs", "web", "ui", "api", "cli", "app"):
        if path.name != "lifecycle.py":
            found = {
                method
                for owner, method in calls(path)
                if owner.endswith("store") and method in ("move", "claim")
            }
            assert not found, f"{path.relative_to(ROOT)}: {found}"


SPEAKS_SQL = (
    "admission_sql", "batch_rows", "clip_collections", "database", "edit_estimate", "estimate",
    "film_rows", "gallery_rows", "gallery_sql", "gallery_tables", "job_rows", "liveness",
    "local_database", "migrations", "moderation_rows", "moderation_tables", "queue", "removed_jobs",
    "saved", "share_rows", "store", "store_queries", "timing_rows",
)  # fmt: skip


def test_sql_is_in_the_store_and_its_parts_only() -> None:
    for path in sources("jobs"):
        if path.stem not in SPEAKS_SQL:
            for module in imports_of(path):
                assert not is_within(module, ("sqlalchemy",)), path.relative_to(ROOT)
