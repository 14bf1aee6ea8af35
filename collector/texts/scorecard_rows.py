"""A scorecard as plain texts: sections of rows, each with short cells, facts under labels, regions and notes.

Every format of the report is drawn from these texts, so that a terminal, a page and a mail say the same. Refuses layout (the
renderers do that) and arithmetic (`slo` does). Called by `console.report_command` and the renderers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Final

from collector.finals import Kept
from collector.scorecard import Asked, LineScore
from collector.texts.scorecard_duties import duty_cells, duty_facts
from collector.texts.scorecard_texts import (
    amount_text,
    burn_cell,
    burn_text,
    instant_text,
    left_cell,
    left_text,
    missing_text,
    percent_text,
    sli_text,
    span_text,
    target_text,
    verdict_word,
    window_text,
)
from slo.budget import Budget
from slo.burn import TierBurn
from slo.duties import DutyScore
from slo.evidence import Verdict
from slo.objective import Tier
from slo.score import FINAL_AFTER, EventDetail, Phase, RegionScore, Score, Sli, SliceDetail
from slo.scoring import people_note
from slo.window import Window

__all__ = ["NO_SCORE", "WINDOW_LABEL", "Fact", "RegionRow", "Row", "Tone", "kept_text", "phase_of", "row_of"]

NO_SCORE: Final = "no score"
WHAT_IF: Final = "what if: "
WINDOW_LABEL: Final = "window"


class Tone(StrEnum):
    """How a verdict is coloured; the word always stands beside it."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    NONE = "none"


_TONES: Final = {
    Verdict.MET: Tone.GOOD,
    Verdict.BREACHED: Tone.BAD,
    Verdict.AT_RISK: Tone.WARN,
    Verdict.NOT_ENOUGH_DATA: Tone.NONE,
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and what there is to say."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class RegionRow:
    """The line as one region alone saw it."""

    region: str
    verdict: str
    tone: Tone
    sli: str
    bad: str
    left: str
    coverage: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line. Cells are short and may be empty; `facts` say everything in full.

    `is_told`: there is more to say than the cells do, so that the facts are shown where room is short. `regions_differ`: one of
    them has another verdict than the line, or too little was conclusive there.
    """

    line: str
    name: str
    title: str
    tier: Tier
    verdict: str
    tone: Tone
    sli: str = ""
    left: str = ""
    burn: str = ""
    coverage: str = ""
    window: str = ""
    facts: tuple[Fact, ...] = ()
    regions: tuple[RegionRow, ...] = ()
    notes: tuple[str, ...] = ()
    is_told: bool = False
    regions_differ: bool = False

    def told_facts(self, *, in_full: bool) -> tuple[Fact, ...]:
        """The facts and the notes; without the window where room is short, for the heading of the report has it."""
        kept = self.facts if in_full else tuple(fact for fact in self.facts if fact.label != WINDOW_LABEL)
        return (*kept, *(Fact("note", note) for note in self.notes))

    @property
    def heading(self) -> str:
        """Number and wording."""
        return f"{self.line} {self.title}"


def row_of(line: LineScore, asked: Asked, kept: Kept | None, *, window: Window | None) -> Row:
    """The texts of a line; `window` is the one that it was promised for."""
    bare = Row(line.line, line.name, line.title, line.tier, NO_SCORE, Tone.NONE)
    if line.score is None or line.span is None or window is None:
        return replace(bare, facts=(Fact("why", line.reason),), is_told=True)
    common = (Fact(WINDOW_LABEL, span_text(window, line.span)), Fact("phase", _phase_text(line, asked, kept)))
    is_revised = kept is not None and len(kept.revisions) > 1
    framed = replace(
        bare,
        verdict=verdict_word(line.score.verdict),
        tone=_TONES[line.score.verdict],
        window=window_text(window, line.span),
        facts=common,
        is_told=is_revised or line.score.verdict is not Verdict.MET,
    )
    if isinstance(line.score, DutyScore):
        sli, left = duty_cells(line.score)
        facts = tuple(Fact(label, text) for label, text in duty_facts(line.score))
        return replace(framed, sli=sli, left=left, facts=(*facts, *common))
    return _score_row(framed, line.score, line.burn)


def _score_row(framed: Row, found: Score, burn: Sequence[TierBurn]) -> Row:
    """A row with what a score says in it."""
    several = len(found.regions) > 1
    row = replace(
        framed,
        sli="" if found.sli is None else percent_text(found.sli.point),
        left=left_cell(found.budget) if found.budget.allowed or found.budget.bad else "",
        burn=burn_cell(burn),
        coverage="" if found.coverage is None else percent_text(found.coverage),
        facts=(*_score_facts(found, burn), *framed.facts),
        regions=tuple(_region_row(region, found) for region in found.regions) if several else (),
        notes=tuple(note for note in found.notes if note != people_note(found.objective)),
        regions_differ=several and any(_differs(region, found.verdict) for region in found.regions),
    )
    if found.what_if is None:
        return row
    return replace(row, verdict=f"{WHAT_IF}{row.verdict}", tone=Tone.NONE, is_told=True)


def phase_of(line: LineScore, asked: Asked) -> Phase:
    """How far the line's window is."""
    if isinstance(line.score, Score):
        return line.score.phase
    if line.span is None or asked.now < line.span.until_at:
        return Phase.PROVISIONAL
    is_rolling = line.span.name.endswith("d")
    return Phase.FINAL if not is_rolling and asked.now >= line.span.until_at + FINAL_AFTER else Phase.CLOSED


def _phase_text(line: LineScore, asked: Asked, kept: Kept | None) -> str:
    """How far the window is, and which revision of its score this is."""
    phase = phase_of(line, asked)
    if line.span is None:
        return phase.value
    until_at = line.span.until_at
    match phase:
        case Phase.PROVISIONAL if line.span.name.endswith("d"):
            text = "provisional: its last minutes may still be heard of; a rolling window is never final, it moves on"
        case Phase.PROVISIONAL:
            text = f"provisional: the window is open until {instant_text(until_at)}"
        case Phase.CLOSED if line.span.name.endswith("d"):
            text = "closed: a rolling window is never final, it moves on"
        case Phase.CLOSED:
            text = f"closed at {instant_text(until_at)}; final from {instant_text(until_at + FINAL_AFTER)} on"
        case Phase.FINAL if asked.now < until_at:
            text = (
                f"final although the window is open until {instant_text(until_at)}: what is overspent stays overspent"
            )
        case Phase.FINAL:
            text = f"final since {instant_text(until_at + FINAL_AFTER)}"
    return text if kept is None else f"{text}; {kept_text(kept)}"


def kept_text(kept: Kept) -> str:
    """Which revision is on record, and why it is not the first."""
    newest = kept.revisions[-1]
    text = f"revision {newest.revision} of {instant_text(newest.made_at)}"
    if kept.changes:
        text += f": {kept.why} ({', '.join(kept.changes)})"
    if kept.is_outlived:
        text += "; runs behind it were deleted since, so that the figures here are not those on record"
    return text


def _score_facts(found: Score, burn: Sequence[TierBurn]) -> Iterator[Fact]:
    """Everything about a score, the most telling first."""
    if found.what_if is not None:
        share = percent_text(1 - found.what_if)
        yield Fact("what if", f"tried with a target of {share} instead of its own: this is no verdict on anybody")
    yield Fact("SLI", _sli_fact(found))
    if found.sli is not None:
        yield Fact("interval", _interval_text(found.sli, found.detail))
    if found.sli_with_maintenance is not None:
        share = percent_text(found.sli_with_maintenance.point)
        yield Fact("with maintenance", f"{share} if no maintenance were left out")
    yield Fact("target", target_text(found.objective))
    if found.budget.allowed:
        yield Fact("budget", left_text(found.budget))
    if isinstance(found.detail, SliceDetail):
        yield Fact("downtime", _downtime_text(found.budget, found.detail))
    if burn:
        yield Fact("burn rate now", burn_text(burn))
    if found.coverage is not None:
        yield Fact("coverage", _coverage_text(found))
    if found.missing is not None:
        yield Fact("missing", missing_text(found.missing, found.budget.unit, found.phase, found.verdict))


def _sli_fact(found: Score) -> str:
    what = sli_text(found.objective)
    share = "nothing was measured" if found.sli is None else percent_text(found.sli.point)
    match found.detail:
        case SliceDetail(counts=counts):
            excluded = f", {counts.excluded:,} left out" if counts.excluded else ""
            future = f", {counts.future:,} to come" if counts.future else ""
            told = f"{counts.good:,} good, {counts.bad:,} bad, {counts.unknown:,} unknown{excluded}{future}"
        case EventDetail(cell=cell):
            told = f"{cell.good:,} good, {cell.bad:,} bad"
    return f"{share} ({told}): {what}"


def _interval_text(sli: Sli, detail: SliceDetail | EventDetail) -> str:
    low, high = percent_text(sli.low), percent_text(sli.high, rounds_up=True)
    if isinstance(detail, EventDetail):
        return f"above {low} and below {high}, each with 95 % confidence"
    if not detail.counts.unknown:
        return f"{low}, in the worst case and in the best: no minute is unknown"
    return f"{low} to {high}, whatever the {detail.counts.unknown:,} unknown minutes were"


def _downtime_text(budget: Budget, detail: SliceDetail) -> str:
    """The two readings side by side; this month's own is the one that is scored."""
    own, mean = budget.allowed, detail.mean_month_minutes
    told = [
        f"{amount_text(allowed)} min {whose} ({_rest(allowed - budget.bad)})"
        for allowed, whose in (
            (own, "in this window's own minutes, which is scored"),
            (mean, "in the document's mean month"),
        )
    ]
    return f"{budget.bad:,} min bad; allowed are {' and '.join(told)}"


def _rest(left: Fraction) -> str:
    return f"{amount_text(-left, rounds_up=True)} over" if left < 0 else f"{amount_text(left)} left"


def _coverage_text(found: Score) -> str:
    share = "" if found.coverage is None else percent_text(found.coverage)
    match found.detail:
        case SliceDetail(counts=counts):
            needed = percent_text(found.objective.min_coverage)
            return f"{share}: {counts.conclusive:,} of {counts.due:,} minutes due were decided, {needed} must be"
        case EventDetail(cell=cell):
            return f"{share}: {cell.runs:,} of {cell.runs + cell.inconclusive:,} runs were conclusive"


def _differs(region: RegionScore, verdict: Verdict) -> bool:
    return region.verdict is not verdict or not region.is_conclusive_enough


def _region_row(region: RegionScore, found: Score) -> RegionRow:
    sli = region.sli
    conclusive = f"{region.conclusive:,} of {region.asked:,} min"
    is_what_if = found.what_if is not None
    word = verdict_word(region.verdict)
    return RegionRow(
        region=region.region,
        verdict=f"{WHAT_IF}{word}" if is_what_if else word,
        tone=Tone.NONE if is_what_if else _TONES[region.verdict],
        sli="" if sli is None else percent_text(sli),
        bad=f"{region.bad:,}",
        left=left_cell(region.budget),
        coverage=conclusive,
    )
