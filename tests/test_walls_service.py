"""Rules around the service: what pages and routes may use, and where state and SQL are changed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_walls import ROOT, imports_of, is_within, sources

THROUGH_THE_SERVICE = (
    "batch_files",
    "cards",
    "gallery",
    "looks",
    "planner",
    "plans",
    "settings",
    "styles",
    "wildcards",
)
"""What others may use of the service's attributes, besides its own methods."""


def reaches_through(code: str) -> list[str]:
    """Where code uses a part of the service instead of a method, such as `service._store.get`."""
    found: list[str] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            _, is_part, part = owner.rpartition("service.")
            is_service = owner == "service" or owner.endswith((".service", "._service"))
            is_private = is_service and node.attr.startswith("_")
            is_through = is_part and part.isidentifier() and part not in THROUGH_THE_SERVICE
            if is_private or is_through:
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    ("code", "is_refused"),
    [
        ("self.service._store.get(1)", True),
        ("service.events.since(1)", True),
        ("in_thread(self._service.uploads.path, name)", True),
        ("service._store", True),
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
    "admission_sql", "batch_rows", "clip_collections", "database", "estimate", "gallery_rows",
    "gallery_sql", "gallery_tables", "job_rows", "liveness", "local_database", "migrations",
    "queue", "removed_jobs", "saved", "store", "store_queries",
)  # fmt: skip


def test_sql_is_in_the_store_and_its_parts_only() -> None:
    for path in sources("jobs"):
        if path.stem not in SPEAKS_SQL:
            for module in imports_of(path):
                assert not is_within(module, ("sqlalchemy",)), path.relative_to(ROOT)
