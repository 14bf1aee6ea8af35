"""What a collector passes on, by its settings: `/metrics`, OpenTelemetry, Sentry, PostHog; and what is said without an extra.

What is asked for by name and cannot be done is an error before anything begins. `/metrics` is there without being asked
for: without its extra the collector collects, and the page says what to install. Called by `console.collector_command`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from collector.exports.feed import RunQueue
from collector.exports.pump import Export, Pump
from collector.exports.schedules import Schedules
from collector.ingest import IngestState
from collector.score_upkeep import ObjectiveSource
from collector.service import Companion
from collector.store import Store
from console.desk import Desk
from probes.errors import OperatorError
from probes.health import Page, PageMaker

if TYPE_CHECKING:
    from collector.exports.metrics import Metrics

__all__ = ["METRICS_PATH", "Exports", "exports_beside"]

METRICS_PATH: Final = "/metrics"
_EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "prometheus": ("prometheus_client",),
    "otel": ("opentelemetry", "requests"),
    "sentry": ("sentry_sdk", "urllib3"),
    "posthog": ("posthog", "requests"),
}
"""The extra of each export, and the packages whose absence says that it is not installed."""


@dataclass(frozen=True, slots=True)
class Exports:
    """What runs beside the collector, and the page of metrics; None: nobody could see it."""

    companions: dict[str, Companion] = field(default_factory=dict)
    page: PageMaker | None = None
    metrics: Metrics | None = None

    @property
    def pages(self) -> dict[str, PageMaker]:
        """The pages by their paths."""
        return {METRICS_PATH: self.page} if self.page is not None else {}

    def watch(self, ingest: IngestState) -> None:
        """Show the counters of this ingest too."""
        if self.metrics is not None:
            self.metrics.watch(ingest)


def exports_beside(desk: Desk, store: Store, objectives: ObjectiveSource) -> Exports:
    """Everything that the settings want passed on. Raises OperatorError for what they want and the install cannot do."""
    companions: dict[str, Companion] = {}
    pumps = []
    for export, more in _wanted(desk, store):
        queue = RunQueue()
        store.listen(queue.put)
        pumps.append(Pump(export, queue, clock=desk.clock))
        companions[f"export-{export.name}"] = pumps[-1].run
        companions |= more
        desk.say(f"passing runs on to {export.name}")
    page, metrics = _metrics(desk, store, objectives, pumps)
    if metrics is not None:
        companions["metrics"] = metrics.run
    return Exports(companions, page, metrics)


def _wanted(desk: Desk, store: Store) -> Sequence[tuple[Export, dict[str, Companion]]]:
    """The exports that the settings name, and what each needs beside it."""
    settings, chosen = desk.settings, desk.settings.exports
    found: list[tuple[Export, dict[str, Companion]]] = []
    if chosen.otlp_url:
        authorization = settings.secret(chosen.otlp).get_secret_value() if chosen.otlp else ""
        found.append((_made("otel", "exports.otlp_url", lambda: _otel(chosen.otlp_url, authorization)), {}))
    if chosen.sentry:
        dsn = settings.secret(chosen.sentry).get_secret_value()
        schedules = Schedules(store, fleet=settings.fleet, clock=desk.clock)
        found.append((_made("sentry", "exports.sentry", lambda: _sentry(dsn, schedules)), {"schedules": schedules.run}))
    if chosen.posthog:
        if not chosen.posthog_url:
            remedy = "Set it, for example to https://eu.i.posthog.com"
            raise OperatorError("exports.posthog needs it", where="exports.posthog_url", remedy=remedy)
        key = settings.secret(chosen.posthog).get_secret_value()
        found.append((_made("posthog", "exports.posthog", lambda: _posthog(chosen.posthog_url, key)), {}))
    return found


def _otel(url: str, authorization: str) -> Export:
    from collector.exports.traces import TraceExport  # noqa: PLC0415 - an extra of the install

    return TraceExport(url, authorization)


def _sentry(dsn: str, schedules: Schedules) -> Export:
    from collector.exports.sentry_issues import SentryExport  # noqa: PLC0415 - an extra of the install

    return SentryExport(dsn, schedules.every_s)


def _posthog(url: str, key: str) -> Export:
    from collector.exports.posthog_events import PostHogExport  # noqa: PLC0415 - an extra of the install

    return PostHogExport(url, key)


def _made(extra: str, where: str, make: Callable[[], Export]) -> Export:
    """The export; OperatorError that names the extra when its packages are not installed."""
    try:
        return make()
    except ModuleNotFoundError as error:
        _check_missing(error, extra)
        message = f"it needs the package {error.name!r}, which is not installed"
        remedy = f"Type: pip install 'probe-fleet[{extra}]', or leave the setting empty"
        raise OperatorError(message, where=where, remedy=remedy) from error


def _metrics(
    desk: Desk, store: Store, objectives: ObjectiveSource, pumps: Sequence[Pump]
) -> tuple[PageMaker | None, Metrics | None]:
    """The page, where anybody could ask for it."""
    settings = desk.settings
    if not (settings.collector.health or settings.pages.listen):
        return None, None
    try:
        from collector.exports.metrics import Metrics, MetricsSource  # noqa: PLC0415 - an extra of the install
    except ModuleNotFoundError as error:
        _check_missing(error, "prometheus")
        text = f"no metrics: the package {error.name!r} is not installed. Type: pip install 'probe-fleet[prometheus]'"
        desk.say(text)
        return _missing_page(text), None
    source = MetricsSource(
        settings.fleet, settings.collector.name, settings.regions, settings.target, _named_scenarios(objectives)
    )
    metrics = Metrics(store, objectives, source, clock=desk.clock)
    metrics.pumps += pumps
    return metrics.answer, metrics


def _named_scenarios(objectives: ObjectiveSource) -> tuple[str, ...]:
    """The scenarios that objectives name in full: their series must not depend on who came first."""
    selectors = [one.selector for versions in objectives.current.objectives.values() for one in versions]
    names = {name for selector in selectors for name in selector.scenarios}
    return tuple(sorted(name for name in names if not set(name) & set("*?[")))


def _missing_page(text: str) -> PageMaker:
    async def answer(_headers: Mapping[str, str]) -> Page:
        return Page(501, "text/plain; charset=utf-8", f"{text}\n".encode())

    return answer


def _check_missing(error: ModuleNotFoundError, extra: str) -> None:
    """Pass on what is no missing extra: a module of our own that is not there is a bug."""
    if error.name is None or error.name.partition(".")[0] not in _EXTRAS[extra]:
        raise error
