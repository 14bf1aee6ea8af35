"""A month for two databases: all that a store can be given, in small, so that what each makes of it can be laid side by side.

Thin days, a dense evening, an hour of long ago for retention to take, and beside the runs what a real month brings: late ones,
repeats, contradictions, poison, gaps, unfit minutes, looks at backups, works, releases, alerts. Names and texts are such as one
database could sort or keep otherwise than another. Used by `tests/contract/test_databases_agree.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from collector.alerting.model import Incident
from collector.alerting.reading import acknowledge
from collector.score_reader import render_maintenance
from collector.simulation import PROBE, deliveries_of
from collector.simulation_plan import Effect, Plan, Residue, Statement
from collector.store import Delivery, Store
from collector.store_alerts import AlertBook
from collector.store_session import Session
from probes.ledger_entries import FitnessMinute, Loss
from probes.messages import Address
from probes.outbox import EntryKind
from probes.records import FailureKind, Run, RunIdentity
from probes.release_marker import ReleaseMarker, ReleaseOutcome
from slo.burn_tiers import Severity
from slo.maintenance import MaintenanceWindow
from slo.window import Span, minute_of
from tests.alert_kit import FLEET, TARGET, KeptNotices, open_an_incident
from tests.message_kit import end_incident
from tests.report_kit import look_at_backups
from tests.sample_runs import make_run, make_step
from tests.store_kit import Content, deliver, other_entry, run_entry

__all__ = ["END", "MONTH", "PLAN", "REGIONS", "fill_parity_month"]

MONTH: Final = "2026-09"
REGIONS: Final = ("eu-west2", "euwest1", "us-east")
"""Sorted by letters alone the first two stand the other way round."""
END: Final = datetime(2026, 9, 30, 20, tzinfo=UTC)
DENSE_FROM: Final = datetime(2026, 9, 30, 15, tzinfo=UTC)
THIN_FROM: Final = datetime(2026, 9, 29, tzinfo=UTC)
LONG_AGO: Final = datetime(2026, 6, 10, 8, tzinfo=UTC)
THIN_S: Final = {"api-health": 600.0, "quote": 1800.0, "cad-small": 7200.0, "payment": 7200.0}
DENSE_S: Final = {"api-health": 60.0, "quote": 600.0, "widget-load": 600.0, "cad-small": 1800.0}


def _statements() -> tuple[Statement, ...]:
    said: tuple[dict[str, object], ...] = (
        {"residue": Residue(mod=97, equals=10, per_region=30), "what": Effect.FAIL, "kind": FailureKind.TIMEOUT},
        {"scenarios": ("quote",), "regions": ("us-east",), "what": Effect.SLOW, "step": "price", "times": 40.0},
        _between(29, 3, 29, 5) | {"what": Effect.FAIL, "kind": FailureKind.STATUS},
        _between(29, 8, 29, 9) | {"regions": ("euwest1",), "what": Effect.MISSING},
        _between(29, 12, 29, 13) | {"what": Effect.MAINTENANCE},
        _between(30, 16, 30, 17) | {"regions": ("eu*",), "what": Effect.INCONCLUSIVE},
        _between(30, 18, 30, 19) | {"scenarios": ("api-health",), "what": Effect.FAIL, "kind": FailureKind.DNS},
    )
    return tuple(Statement.model_validate(one) for one in said)


def _between(first_day: int, first_hour: int, last_day: int, last_hour: int) -> dict[str, object]:
    return {
        "from": datetime(2026, 9, first_day, first_hour, tzinfo=UTC),
        "until": datetime(2026, 9, last_day, last_hour, tzinfo=UTC),
    }


PLAN: Final = Plan(3, FLEET, TARGET, REGIONS, DENSE_S, _statements())
VISITOR: Final = Address(FLEET, "us-east", "visitor")
"""A probe of no plan, which sends what is odd."""


async def fill_parity_month(store: Store) -> None:
    """File everything into a store that scores."""
    for delivery in _deliveries():
        await store.file([delivery])
    await store.note_status(VISITOR, b'{"said": "\x00\xff"}', END)
    await _announce(store)
    await _alert(store)


@cache
def _deliveries() -> tuple[Delivery, ...]:
    """Made once for both databases."""
    return (*_planned(), *_odd())


def _planned() -> Iterator[Delivery]:
    spans = (
        (Span("long ago", minute_of(LONG_AGO), minute_of(LONG_AGO) + 60), THIN_S),
        (Span("thin", minute_of(THIN_FROM), minute_of(DENSE_FROM)), THIN_S),
        (Span("dense", minute_of(DENSE_FROM), minute_of(END)), DENSE_S),
    )
    for span, every_s in spans:
        yield from deliveries_of(replace(PLAN, every_s=every_s), span)


def _odd() -> Iterator[Delivery]:
    """What no plan says."""
    evening = END - timedelta(hours=2)
    for day in range(26, 31):
        yield look_at_backups(datetime(2026, 9, day, 6, tzinfo=UTC), is_unfit=day == 27, first_seq=2 * day)
    unfit = [_unfit(evening + timedelta(minutes=number), number) for number in range(30)]
    yield deliver(unfit, probe=Address(FLEET, "us-east", PROBE), received_at=END)
    first = [run_entry(one) for one in (_odd_run(evening, 1), _odd_run(evening, 2, attempt=1), _odd_run(evening, 3))]
    yield deliver(first, probe=VISITOR, received_at=evening)  # the third contradicts the first
    yield deliver(first[:1], probe=VISITOR, first_seq=1, received_at=evening)
    later = _odd_run(evening + timedelta(minutes=1), 4)
    yield deliver([run_entry(later), (EntryKind.RUN, b'{"v":1}')], probe=VISITOR, first_seq=10, received_at=END)
    lost = Loss(first_seq=4, last_seq=6, entries=3, reason="disk\0full")
    yield deliver([other_entry(EntryKind.LOSS, lost)], probe=VISITOR, first_seq=12, received_at=END)
    yield Delivery("fleet/v1/nobody", b"\x00\xff", END)


def _unfit(at: datetime, number: int) -> Content:
    return other_entry(EntryKind.FITNESS, FitnessMinute(minute_at=at, reasons=["steal", f"number {number}"]))


def _odd_run(at: datetime, number: int, *, attempt: int = 0) -> Run:
    """Against another target and of a release, both in mixed letters, with a step that took longer than 2^31 ns can say."""
    slow = make_step("api-health", (1 << 40) + number)
    broken = make_step("Über\0 Öl", kind=FailureKind.ASSERTION, message="a\0b \U0001f600")
    run = make_run(slow, broken, scenario="api-health", number=number)
    return replace(
        run,
        identity=RunIdentity(FLEET, VISITOR.region, VISITOR.probe, "api-health", at, attempt),
        target="Zulu" if number == 4 else "alpha",
        target_release=f"V{number}",
        scheduled_at=at,
        started_at=at,
    )


async def _announce(store: Store) -> None:
    for name, hour in (("Works-b", 4), ("works-a", 15)):
        starts_at = datetime(2026, 9, 29, hour, tzinfo=UTC)
        window = MaintenanceWindow(name, starts_at, 30, starts_at - timedelta(days=9), reason="ü")
        await store.scores.add_maintenance(name, render_maintenance(window), now=window.announced_at)
    for name, began_at in (("v1.10", THIN_FROM + timedelta(hours=9)), ("V1.9", THIN_FROM + timedelta(hours=31))):
        ended_at = began_at + timedelta(minutes=2)
        marker = ReleaseMarker(name, TARGET, began_at, ended_at, ReleaseOutcome.PASS)
        await store.releases.add(FLEET, marker, now=ended_at, received_from="gate")


async def _alert(store: Store) -> None:
    """One of long ago that is over, which retention may take; one that somebody answered, one that nobody did."""
    for number, at in enumerate((LONG_AGO, THIN_FROM, END - timedelta(minutes=30))):
        key = f"api-uptime/critical/burn/{number}"
        made = await open_an_incident(store, at, key=key, severity=tuple(Severity)[number])
        if number < 2:
            now = at + timedelta(minutes=9)
            await acknowledge(store, made.incident_id, by="on\0call", how="page", now=now, note="we know\0 of it")
        if number == 0:
            await _end(store, made, at + timedelta(minutes=20))


async def _end(store: Store, incident: Incident, now: datetime) -> None:
    async def work(session: Session) -> None:
        book = AlertBook(session, FLEET, TARGET)
        for alert in incident.alerts:
            await book.set_alert(replace(alert, resolved_at=now))

    await store.alerts.change(work)
    await end_incident(store, incident, now, KeptNotices())
