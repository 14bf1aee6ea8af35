"""When each tier of each line was on in a window: what the alerts of a month would have been, or were.

Each version of a line by its own tiers, in the part of the window in which it was in force. Refuses to send anything. Called by
the command `slo alerts`.
"""

from __future__ import annotations

from dataclasses import dataclass

from collector.burn_history import BurnHistories
from collector.score_reader import Asked, Reader, maintenance_of, span_of
from collector.store import Store
from slo.burn import Episode, alert_episodes
from slo.burn_tiers import TierFit
from slo.objective import Objective
from slo.objective_set import ObjectiveSet
from slo.pieces import pieces_of
from slo.window import Span

__all__ = ["LineAlerts", "TierAlerts", "alerts_of"]


@dataclass(frozen=True, slots=True)
class TierAlerts:
    """One tier of one version, and the times it was on; none for a tier that is refused for the line."""

    fit: TierFit
    objective: Objective
    span: Span
    episodes: tuple[Episode, ...] = ()


@dataclass(frozen=True, slots=True)
class LineAlerts:
    """A line with its tiers; without any there is a `reason`."""

    objective: Objective
    span: Span
    tiers: tuple[TierAlerts, ...] = ()
    reason: str = ""


async def alerts_of(store: Store, known: ObjectiveSet, asked: Asked) -> list[LineAlerts]:
    """The alerts of every line that has some, or of the lines that `asked` names. Raises StoreError."""
    chosen = [
        versions
        for name, versions in known.objectives.items()
        if (name in asked.names if asked.names else bool(versions[-1].alerts))
    ]
    reader = Reader(store, asked, await maintenance_of(store, known))
    await reader.prepare(chosen)
    histories = BurnHistories(reader, known.presets)
    found = []
    for versions in chosen:
        span = span_of(versions[-1].window, asked)
        pieces = pieces_of(versions, span)
        reason = _reason(versions[-1], span, reader, is_in_force=bool(pieces))
        tiers: list[TierAlerts] = []
        for piece in () if reason else pieces:
            tiers += await _tiers(reader, histories, piece.objective, piece.span)
        found.append(LineAlerts(versions[-1], span, tuple(tiers), reason))
    return found


def _reason(newest: Objective, span: Span, reader: Reader, *, is_in_force: bool) -> str:
    """Why nothing can be said; empty: it can."""
    if not is_in_force:
        return f"no version of it was in force in {span.name}"
    if not newest.alerts:
        return "it has no alerts: no preset is named in its file"
    if newest.check in reader.incomplete:
        return "stored runs have still to be scored for it: see `runner.py rescore`"
    if not reader.regions_of(newest):
        return "no region is asked: the setting `regions` and the line name none"
    return ""


async def _tiers(reader: Reader, histories: BurnHistories, objective: Objective, span: Span) -> list[TierAlerts]:
    """The tiers of a version in the piece in which it was in force, in the order of the preset."""
    fits = histories.fits(objective)
    history = await histories.history(objective, span, fits)
    episodes = dict(alert_episodes(history, fits, span, now=reader.asked.now))
    return [TierAlerts(fit, objective, span, episodes.get(fit, ())) for fit in fits]
