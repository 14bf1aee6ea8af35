"""The report for a program: exact counts, fractions as text beside their floats, and the texts that people see.

The schema is `probe-fleet/report`, version 1. A key is never given another meaning; new ones may join. Refuses to round
what it gives as a fraction. Called by `console.report_command`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from fractions import Fraction
from typing import Final

from collector.finals import Kept
from collector.scorecard import Asked, LineScore, Scorecard
from collector.texts.scorecard_page import ReportPage, is_broken
from collector.texts.scorecard_rows import Row, phase_of
from slo.budget import Budget
from slo.burn import TierBurn
from slo.duties import DutyScore
from slo.objective import Objective, Tier
from slo.score import EventDetail, RegionScore, Score, Sli, SliceDetail
from slo.window import Span

__all__ = ["report_document"]

Json = Mapping[str, object]
SCHEMA: Final = "probe-fleet/report"
SCHEMA_VERSION: Final = 1


def report_document(card: Scorecard, page: ReportPage, kept: Mapping[str, Kept]) -> Json:
    """The scorecard as it was laid out in `page`."""
    asked = card.asked
    rows = {row.name: row for row in page.rows}
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "generated_at": _instant(asked.now),
        "target": asked.target,
        "fleet": asked.fleet,
        "regions": list(asked.regions),
        "window_asked": asked.window,
        "what_if": None if asked.what_if is None else {"allowed_bad": _fraction(asked.what_if), "is_verdict": False},
        "headline": page.headline,
        "breached": [line.name for line in card.lines if is_broken(line) and asked.what_if is None],
        "lines": [_line(line, asked, rows[line.name], kept.get(line.name)) for line in card.lines],
        "notes": list(page.notes),
    }


def _instant(instant: datetime) -> str:
    return instant.isoformat()


def _fraction(number: Fraction | None) -> Json | None:
    """Exactly, and nearly."""
    return None if number is None else {"exact": str(number), "value": float(number)}


def _line(line: LineScore, asked: Asked, row: Row, kept: Kept | None) -> Json:
    found = line.score
    return {
        "line": line.line,
        "name": line.name,
        "title": line.title,
        "tier": line.tier.value,
        "is_contract": line.tier is Tier.CONTRACT,
        "window": None if line.span is None else _window(line.span),
        "verdict": None if found is None else found.verdict.value,
        "is_verdict": found is not None and asked.what_if is None,
        "reason": line.reason,
        "phase": None if found is None else phase_of(line, asked).value,
        "revisions": [] if kept is None else _revisions(kept),
        "score": _score(found, line.burn) if isinstance(found, Score) else None,
        "obligation": _duty(found) if isinstance(found, DutyScore) else None,
        "texts": {
            "verdict": row.verdict,
            "sli": row.sli,
            "left": row.left,
            "burn": row.burn,
            "coverage": row.coverage,
            "facts": [asdict(fact) for fact in row.facts],
            "notes": list(row.notes),
        },
    }


def _window(span: Span) -> Json:
    ends = {"from_at": _instant(span.from_at), "until_at": _instant(span.until_at)}
    return {"name": span.name, **ends, "minutes": span.minutes}


def _revisions(kept: Kept) -> list[Json]:
    """All that are on record; the newest says what changed."""
    told: list[Json] = [{"revision": one.revision, "made_at": _instant(one.made_at)} for one in kept.revisions]
    return [*told[:-1], {**told[-1], "why": kept.why, "changes": list(kept.changes), "is_outlived": kept.is_outlived}]


def _score(found: Score, burn: tuple[TierBurn, ...]) -> Json:
    return {
        "objective": _objective(found.objective),
        "versions": [version.version for version in found.versions],
        "sli": _sli(found.sli),
        "sli_with_maintenance": _sli(found.sli_with_maintenance),
        "budget": _budget(found.budget),
        "coverage": _fraction(found.coverage),
        "missing": None if found.missing is None else asdict(found.missing),
        "counts": _counts(found.detail),
        "burn": [_burn(one) for one in burn],
        "regions": [_region(one) for one in found.regions],
    }


def _objective(objective: Objective) -> Json:
    return {
        "counts": "events" if objective.slices is None else "minutes",
        "allowed_bad": _fraction(objective.allowed_bad),
        "is_strict": objective.strict,
        "limit_ns": objective.limit_ns,
        "min_coverage": _fraction(objective.min_coverage),
        "version": objective.version,
    }


def _sli(sli: Sli | None) -> Json | None:
    return None if sli is None else {"point": _fraction(sli.point), "low": sli.low, "high": sli.high}


def _budget(budget: Budget) -> Json:
    return {
        "unit": budget.unit.value,
        "allowed": _fraction(budget.allowed),
        "allowed_whole": budget.whole,
        "bad": budget.bad,
        "left": _fraction(budget.left),
        "left_share": _fraction(budget.left_share),
        "is_spent": budget.is_spent,
    }


def _counts(detail: SliceDetail | EventDetail) -> Json:
    match detail:
        case SliceDetail():
            return {
                **asdict(detail.counts),
                "longest_bad": detail.longest_bad,
                "projected_bad": _fraction(detail.projected_bad),
                "mean_month_minutes": _fraction(detail.mean_month_minutes),
            }
        case EventDetail():
            return {
                "good": detail.cell.good,
                "bad": detail.cell.bad,
                "conclusive_runs": detail.cell.runs,
                "inconclusive_runs": detail.cell.inconclusive,
                "slots": detail.clusters,
                "design_effect": _fraction(detail.effect.events),
                "is_within": detail.is_within,
            }


def _burn(one: TierBurn) -> Json:
    tier = one.fit.tier
    return {
        "severity": tier.severity.value,
        "minute": one.minute,
        "long_minutes": tier.long_minutes,
        "short_minutes": tier.short_minutes,
        "threshold": _fraction(one.fit.burn),
        "long_burn": _fraction(one.long_burn),
        "short_burn": _fraction(one.short_burn),
        "alert": None if one.cause is None else one.cause.value,
    }


def _region(one: RegionScore) -> Json:
    return {
        "region": one.region,
        "verdict": one.verdict.value,
        "sli": _fraction(one.sli),
        "good": one.good,
        "bad": one.bad,
        "budget": _budget(one.budget),
        "conclusive_minutes": one.conclusive,
        "asked_minutes": one.asked,
        "is_conclusive_enough": one.is_conclusive_enough,
    }


def _duty(found: DutyScore) -> Json:
    return {
        "duty": found.obligation.duty.value,
        "version": found.obligation.version,
        "counts": {state.value: count for state, count in found.counts.items()},
        "subjects": [
            {
                "subject": one.subject,
                "state": one.state.value,
                "due_at": None if one.due_at is None else _instant(one.due_at),
                "reason": one.reason,
                "value_ns": one.value_ns,
                "run_id": one.run_id,
            }
            for one in found.subjects
        ],
        "minutes": None
        if found.minutes is None
        else {
            name: int(getattr(found.minutes, name)).bit_count()
            for name in ("good", "bad", "unknown", "excluded", "future")
        },
        "missing": found.missing,
    }
