"""`simulate`: a month of records from a written plan, through the ingest path into a database of its own.

So that reports, alerts and pages can be seen on a full month without waiting one, and the engine be checked against a month that
was worked out by hand. Refuses to write into a database that holds other results: what was measured and what was made up never
lie together. Called by `console.app`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from collector.scoring import Scorer
from collector.simulation import PROBE, deliveries_of
from collector.simulation_plan import Plan, read_plan
from collector.store import Delivery, Store, open_store
from console.desk import Desk
from console.fleet_places import database_login
from console.objectives import BUILT_IN_OBJECTIVES, load_set
from console.verdict import ExitCode
from probes.errors import OperatorError
from slo.window import Span, month_span

__all__ = ["simulate_month"]

GROUP: Final = 20


async def simulate_month(desk: Desk) -> ExitCode:
    """Make the month and say where it is; 0 when it is stored. The same plan makes the same records each time."""
    arguments = desk.arguments
    span = wanted_month(arguments.month)
    if arguments.plan_file is None:
        raise OperatorError(
            "`simulate` needs a plan", where="--plan", remedy="runner.py simulate --month 2026-09 --plan FILE"
        )
    plan = await asyncio.to_thread(read_plan, arguments.plan_file)
    database = arguments.database or str(desk.settings.state_dir / f"simulated-{span.name}.db")
    async with open_store(database_login(database, desk.settings)) as store:
        await refuse_others(store, plan)
        await store.scores.begin(Scorer.of(load_set(desk.settings.slo_dir or BUILT_IN_OBJECTIVES)))
        entries = await fill(desk, store, plan, span)
    desk.say(f"{entries:,} records of {span.name} are in {database}")
    desk.say(f"Look at them: runner.py report --window {span.name} --database {database}")
    return ExitCode.PASSED


def wanted_month(month: str) -> Span:
    """The month that was asked for; OperatorError for what is none."""
    try:
        return month_span(month)
    except ValueError as error:
        raise OperatorError(str(error), where="--month") from error


async def refuse_others(store: Store, plan: Plan) -> None:
    """Made-up results go into a database of their own."""
    others = [
        state.address
        for state in await store.probes()
        if (state.address.fleet, state.address.probe) != (plan.fleet, PROBE)
    ]
    if others:
        raise OperatorError(
            f"the database holds results of {others[0]}",
            where=store.where,
            remedy="Name another one with --database: made-up results are kept apart",
        )


async def fill(desk: Desk, store: Store, plan: Plan, span: Span) -> int:
    """File all messages, and say now and then how far it is; returns how many entries were new."""
    entries, told = 0, -1
    for group in groups_of(deliveries_of(plan, span)):
        filed = await store.file(group)
        entries += filed.result.entries
        share = int(10 * (group[-1].received_at - span.from_at) / (span.until_at - span.from_at))
        if share != told and not desk.arguments.quiet:
            told = share
            desk.say(f"{span.name}: {min(share, 10) * 10} %")
    return entries


def groups_of(deliveries: Iterator[Delivery]) -> Iterator[Sequence[Delivery]]:
    """Several messages at a time."""
    group: list[Delivery] = []
    for delivery in deliveries:
        group.append(delivery)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group
