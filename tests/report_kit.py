"""A morning of a made-up fleet, for tests of scores that are stored and printed.

It is that of the first of September 2026, and only `api-health` runs in it: once a minute in each of three regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector.scorecard import Asked
from collector.simulation import deliveries_of
from collector.simulation_plan import read_plan
from collector.store import Delivery, Store
from probes.ledger_entries import FitnessMinute
from probes.messages import Address
from probes.outbox import EntryKind
from probes.records import RunIdentity
from slo.window import Span, month_span
from tests.sample_runs import make_run, make_step
from tests.store_kit import deliver, other_entry, run_entry

__all__ = [
    "AFTERWARDS",
    "MINUTES",
    "MORNING",
    "REGIONS",
    "SEPTEMBER",
    "asked",
    "file_all",
    "look_at_backups",
    "morning_of",
]

SEPTEMBER = month_span("2026-09")
MINUTES = 120
MORNING = Span("morning", SEPTEMBER.from_minute, SEPTEMBER.from_minute + MINUTES)
REGIONS = ("ap-south", "eu-west", "us-east")
AFTERWARDS = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)

HEADING = """
regions = ["ap-south", "eu-west", "us-east"]
[journeys]
api-health = "1m"
"""


def morning_of(folder: Path, statements: str = "", span: Span = MORNING) -> list[Delivery]:
    """The messages of the morning (or another span) by a plan with these statements."""
    file = folder / "plan.toml"
    file.write_text(HEADING + statements, encoding="utf-8")
    return list(deliveries_of(read_plan(file), span))


def look_at_backups(
    at: datetime, *, target: str = "simulated", attempt: int = 0, is_unfit: bool = False, first_seq: int = 1
) -> Delivery:
    """Somebody looked at the backups and found one of long ago: days that nobody found are then the platform's.

    A look at another target, on demand (attempt 1) or by a host that was not fit is none.
    """
    probe = Address("simulated", "eu-west", "looker")
    step = replace(make_step("verify"), attributes={"backup.day": f"{at - timedelta(days=20):%Y-%m-%d}"})
    run = replace(
        make_run(step, scenario="backups"),
        identity=RunIdentity(probe.fleet, probe.region, probe.probe, "backups", at, attempt),
        target=target,
        scheduled_at=at,
        started_at=at,
    )
    minute = FitnessMinute(minute_at=at.replace(second=0, microsecond=0), reasons=["steal"])
    unfit = [other_entry(EntryKind.FITNESS, minute)] if is_unfit else []
    return deliver([run_entry(run), *unfit], probe=probe, first_seq=first_seq, received_at=at)


async def file_all(store: Store, deliveries: Sequence[Delivery]) -> None:
    """Take them in, and one look at the backups."""
    await store.file([*deliveries, look_at_backups(deliveries[0].received_at)])


def asked(*names: str, now: datetime = AFTERWARDS, window: str = "2026-09") -> Asked:
    """The made-up fleet's September, as asked about some days later."""
    return Asked("simulated", "simulated", REGIONS, now, window, names)
