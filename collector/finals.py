"""Scores of windows that are final, on record as they were said: the same again changes nothing, anything else is a new revision.

A record holds facts (counts, verdict, the rule that was in force) and nothing that depends on when it was read. What changed
between two revisions can be told from them, and in a few words why. Refuses to record what is still open, what somebody only
tried out (a what-if), rolling windows, windows of which nothing is known, and figures of a window whose runs have partly been
deleted since: old age is no revision. Called by the command `report` and by `collector.score_upkeep`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from collector.score_reader import TRAILING_DAYS, Asked
from collector.scorecard import LineScore, Scorecard
from collector.store import Store
from collector.store_score_log import Revision
from slo.duties import DutyScore, DutyState
from slo.evidence import Verdict
from slo.objective import Objective
from slo.obligation import Obligation
from slo.score import FINAL_AFTER, EventDetail, Score, SliceDetail
from slo.window import MINUTES_PER_DAY, Span

__all__ = ["Facts", "Kept", "changes_between", "facts_of", "is_final", "keep_finals", "on_record_as"]

Fact = int | str
Facts = Mapping[str, Fact]
SCHEMA: Final = "probe-fleet/score"
RULE_FACTS: Final = ("rule", "versions", "asked regions", "from", "until")
MAINTENANCE_FACT: Final = "excluded"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is on record of a final score: all revisions, the newest last. `why` and `changes` are about the newest two.

    `is_outlived`: the runs behind it were deleted since, so that the figures of today are not put on record.
    """

    revisions: tuple[Revision, ...]
    why: str = ""
    changes: tuple[str, ...] = ()
    is_outlived: bool = False


def is_final(line: LineScore, asked: Asked) -> bool:
    """True when nothing but late records or a changed rule can change the line's score."""
    span, found = line.span, line.score
    if span is None or found is None or asked.now < span.until_at + FINAL_AFTER or asked.what_if is not None:
        return False
    if span.name.endswith("d"):
        return False
    if isinstance(found, DutyScore):
        return not any(one.state in (DutyState.PENDING, DutyState.RUNNING) for one in found.subjects)
    return True


async def keep_finals(store: Store, card: Scorecard) -> dict[str, Kept]:
    """Put every final score of the card on record, and return what is on record of each by the name of its line.

    Raises StoreError when the database cannot be written to.
    """
    asked, kept = card.asked, {}
    finals = [line for line in card.lines if is_final(line, asked)]
    oldest = await _oldest_minute(store) if finals else None
    for line in finals:
        if line.span is None:
            continue
        known = await store.scores.revisions(line.name, on_record_as(asked), line.span.name)
        facts = facts_of(line, asked)
        is_same = bool(known) and known[-1].digest == _digest(facts)
        reach = max(
            line.span.until_minute if oldest is None else oldest,
            line.span.from_minute - TRAILING_DAYS * MINUTES_PER_DAY,
        )
        if is_same or (known and _reach_of(known[-1]) < reach):
            kept[line.name] = _kept(known, is_outlived=not is_same)
        elif known or (oldest is not None and _says_something(line)):
            made = await store.scores.note_revision(
                line.name,
                on_record_as(asked),
                line.span.name,
                digest=_digest(facts),
                document=_document(line, line.span, asked, facts, reach),
                now=asked.now,
            )
            kept[line.name] = _kept(known if known and known[-1].revision == made.revision else [*known, made])
    return kept


def on_record_as(asked: Asked) -> str:
    """Under which name the scores of a target are recorded: two fleets may probe one target, and see different things."""
    return f"{asked.fleet}:{asked.target}"


def facts_of(line: LineScore, asked: Asked) -> Facts:
    """Everything that a final score says, flat, in numbers and words that can be compared."""
    found = line.score
    if found is None or line.span is None:
        message = f"{line.name} has no score"
        raise ValueError(message)
    facts: dict[str, Fact] = {
        "verdict": found.verdict.value,
        "from": line.span.from_at.isoformat(),
        "until": line.span.until_at.isoformat(),
    }
    facts.update(_score_facts(found, asked) if isinstance(found, Score) else _duty_facts(found))
    return facts


def changes_between(before: Facts, after: Facts) -> tuple[str, tuple[str, ...]]:
    """Why a score was revised, in a few words, and each fact that is another one now."""
    differing = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    if any(name in RULE_FACTS for name in differing):
        why = "the line, its version or the regions that it asks were changed"
    elif MAINTENANCE_FACT in differing:
        why = "maintenance was entered or withdrawn afterwards"
    else:
        why = "records came in after the window was final, or stored ones were scored again"
    told = [name for name in differing if name != "rule"]
    return why, tuple(f"{name} {before.get(name, 'none')} -> {after.get(name, 'none')}" for name in told)


def _score_facts(found: Score, asked: Asked) -> Iterator[tuple[str, Fact]]:
    yield "rule", "; ".join(_rule(version) for version in found.versions)
    yield "versions", ", ".join(str(version.version) for version in found.versions)
    yield "asked regions", ", ".join(sorted(found.objective.regions or asked.regions))
    yield "allowed bad", str(found.budget.allowed)
    match found.detail:
        case SliceDetail(counts=counts, longest_bad=longest):
            yield from (("good", counts.good), ("bad", counts.bad), ("unknown", counts.unknown))
            yield from ((MAINTENANCE_FACT, counts.excluded), ("longest outage", longest))
        case EventDetail(cell=cell, clusters=clusters):
            yield from (("good", cell.good), ("bad", cell.bad), ("slots", clusters))
            yield from (("conclusive runs", cell.runs), ("inconclusive runs", cell.inconclusive))
    for region in found.regions:
        yield f"good in {region.region}", region.good
        yield f"bad in {region.region}", region.bad


def _rule(version: Objective) -> str:
    return f"{version.check} {version.allowed_bad} {version.strict} {version.slices} {version.min_coverage}"


def _duty_facts(found: DutyScore) -> Iterator[tuple[str, Fact]]:
    yield "rule", _duty_rule(found.obligation)
    yield "versions", str(found.obligation.version)
    for one in found.subjects:
        yield one.subject, one.state.value
    if found.minutes is not None:
        for name in ("good", "bad", "unknown", MAINTENANCE_FACT):
            yield name, int(getattr(found.minutes, name)).bit_count()


def _duty_rule(duty: Obligation) -> str:
    return f"{duty.selector} {duty.limit_ns} {duty.deadline_minutes} {duty.keep_days}"


def _says_something(line: LineScore) -> bool:
    """False for a window in which nothing was measured: a target may be new, or long gone."""
    found = line.score
    if isinstance(found, Score):
        return found.sli is not None
    return found is not None and found.verdict is not Verdict.NOT_ENOUGH_DATA


def _digest(facts: Facts) -> str:
    return hashlib.sha256(_text(facts).encode()).hexdigest()


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _document(line: LineScore, span: Span, asked: Asked, facts: Facts, reach: int) -> str:
    """The facts with what they are about; `reach` is the first minute whose runs were still there."""
    about = {"line": line.line, "name": line.name, "title": line.title, "tier": line.tier.value}
    place = {"target": asked.target, "fleet": asked.fleet, "window": span.name}
    return _text(
        {"schema": SCHEMA, "schema_version": 1, **about, **place, "runs_from_minute": reach, "facts": dict(facts)}
    )


def _reach_of(revision: Revision) -> int:
    return int(json.loads(revision.document)["runs_from_minute"])


def _kept(revisions: list[Revision], *, is_outlived: bool = False) -> Kept:
    if len(revisions) < 2:
        return Kept(tuple(revisions), is_outlived=is_outlived)
    before, after = (json.loads(one.document)["facts"] for one in revisions[-2:])
    why, changes = changes_between(before, after)
    return Kept(tuple(revisions), why, changes, is_outlived)


async def _oldest_minute(store: Store) -> int | None:
    """The first minute that stored runs are left of; None: there are none."""
    hours = await store.scores.hours()
    return hours[-1].from_minute if hours else None
