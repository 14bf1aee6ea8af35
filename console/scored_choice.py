"""Whose results are scored: the target and the fleet that were asked for, are configured, or are the only ones there are.

A database may hold several targets and fleets, and their numbers must never be mixed: so where it is not clear who is meant,
nothing is scored and the choice is listed. Called by the commands `report`, `slo explain` and `slo alerts`.
"""

from __future__ import annotations

from collections.abc import Sequence

from collector.store import Store
from console.desk import Desk
from probes.errors import OperatorError

__all__ = ["chosen_regions", "chosen_results", "the_only"]


async def chosen_results(store: Store, desk: Desk) -> tuple[str, str]:
    """The target and the fleet whose results are meant; OperatorError where none or several can be."""
    fleets = sorted({state.address.fleet for state in await store.probes()})
    targets = await store.scores.targets()
    if not fleets or not targets:
        remedy = "Start `runner.py collector` or `runner.py fleet`, or name another --database"
        raise OperatorError("no run was stored there yet", where=store.where, remedy=remedy)
    asked = desk.arguments.target
    if asked and asked not in targets:
        raise OperatorError(
            f"nothing was measured of {asked!r}", where="--target", remedy=f"There is {', '.join(targets)}"
        )
    target = asked or the_only("target", desk.settings.target, targets, remedy="Choose one with --target")
    fleet = the_only("fleet", desk.settings.fleet, fleets, remedy="Name one in the settings (fleet = ...)")
    return target, fleet


async def chosen_regions(store: Store, desk: Desk, fleet: str) -> tuple[str, ...]:
    """The regions of a fleet: those of the settings where it is our own, else all that its probes stand in."""
    if fleet == desk.settings.fleet:
        return desk.settings.regions
    return tuple(sorted({state.address.region for state in await store.probes() if state.address.fleet == fleet}))


def the_only(what: str, configured: str, there: Sequence[str], *, remedy: str) -> str:
    """The configured one if it is there, else the only one; OperatorError where several are."""
    if configured in there:
        return configured
    if len(there) > 1:
        raise OperatorError(f"results of {len(there)} {what}s are stored: {', '.join(there)}", remedy=remedy)
    return there[0]
