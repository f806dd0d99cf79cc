"""Prometheus metrics of reports, removed clips, blocks and the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from jobs.audit_log import ACTIONS, Action

if TYPE_CHECKING:
    from jobs.service import JobService


class ModerationMetrics:
    """Counts the lines of the audit log that this process writes, by action."""

    def __init__(self, service: JobService, registry: CollectorRegistry) -> None:
        self._service = service
        self._events = Counter(
            "kinora_moderation_events", "What was refused, reported, removed and blocked.",
            ("action",), registry=registry,
        )  # fmt: skip
        for action in ACTIONS:
            self._events.labels(action)  # 0 from the start, so that an alert finds it
        service.moderation.audit.subscribe(self._count)
        registry.register(self)

    def _count(self, action: Action) -> None:
        self._events.labels(action).inc()

    def describe(self) -> list[Metric]:
        return []  # so that registering it looks at nothing yet

    def collect(self) -> Iterator[Metric]:
        moderation = self._service.moderation
        yield GaugeMetricFamily("kinora_reports_open", "Open reports.", moderation.count_open())
        yield CounterMetricFamily(
            "kinora_audit_failures", "Lines that were not written.", moderation.audit.failures
        )
