"""The whole report as plain texts: heading, what it is about, a sentence that sums it up, sections of rows, and notes.

Refuses layout and exit codes. Called by `console.report_command` and the pages; the renderers draw what this makes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from collector.finals import Kept
from collector.scorecard import LineScore, Scorecard
from collector.texts.figures import count_text
from collector.texts.scorecard_rows import NO_SCORE, WINDOW_LABEL, Fact, Row, row_of
from collector.texts.scorecard_texts import instant_text, percent_text, verdict_word
from slo.duties import DutyScore
from slo.evidence import Verdict
from slo.objective import Tier
from slo.objective_set import ObjectiveSet
from slo.score import Score
from slo.scoring import people_note
from slo.window import Window

__all__ = ["ReportPage", "Section", "is_broken", "page_of", "says_something"]

TITLE: Final = "Service levels"


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under a heading."""

    title: str
    rows: tuple[Row, ...]

    @property
    def asides(self) -> Iterator[tuple[str, str]]:
        """The notes on lines about which nothing else is told, each once, with the lines that it is about."""
        lines_of: dict[str, list[str]] = {}
        for row in self.rows:
            if not row.is_told:
                for note in row.notes:
                    lines_of.setdefault(note, []).append(row.line)
        for note, lines in lines_of.items():
            distinct = list(dict.fromkeys(lines))
            yield f"{'Line' if len(distinct) == 1 else 'Lines'} {', '.join(distinct)}", note


@dataclass(frozen=True, slots=True)
class ReportPage:
    """What every format says. `what_if` is empty, or says that nothing here is a verdict."""

    title: str
    about: tuple[Fact, ...]
    headline: str
    what_if: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...]

    @property
    def rows(self) -> Iterator[Row]:
        """All rows in order."""
        for section in self.sections:
            yield from section.rows


def page_of(
    card: Scorecard, known: ObjectiveSet, kept: Mapping[str, Kept], more_notes: Sequence[str] = ()
) -> ReportPage:
    """The texts of a scorecard that was made of this set; `kept` is what is on record of its lines."""
    windows = _windows(known)
    rows = [row_of(line, card.asked, kept.get(line.name), window=windows.get(line.name)) for line in card.lines]
    asked = card.asked
    spans = dict.fromkeys(row.window for row in rows if row.window)
    whole = {fact.text for row in rows for fact in row.facts if fact.label == WINDOW_LABEL}
    about = (
        Fact("target", asked.target),
        Fact("measured by", f"fleet {asked.fleet} in {', '.join(asked.regions)}"),
        Fact(WINDOW_LABEL, whole.pop() if len(whole) == 1 else "; ".join(spans) or "none"),
        Fact("as of", instant_text(asked.now)),
    )
    what_if = ""
    if asked.what_if is not None:
        what_if = f"What if every target were {percent_text(1 - asked.what_if)}: this is no verdict on anybody."
    return ReportPage(
        title=TITLE,
        about=about,
        headline=_headline(card),
        what_if=what_if,
        sections=tuple(_sections(rows)),
        notes=(*_people_notes(card, known), *more_notes),
    )


def _windows(known: ObjectiveSet) -> dict[str, Window]:
    counted = {name: versions[-1].window for name, versions in known.objectives.items()}
    return counted | {name: versions[-1].window for name, versions in known.obligations.items()}


def _sections(rows: Sequence[Row]) -> Iterator[Section]:
    """Promised lines first, then the targets that the owners set themselves."""
    for title, tier in (("Contract lines", Tier.CONTRACT), ("Stretch lines", Tier.STRETCH)):
        found = tuple(row for row in rows if row.tier is tier)
        if found:
            yield Section(title, found)


def is_broken(line: LineScore) -> bool:
    """True for a promised line that is breached."""
    return line.tier is Tier.CONTRACT and line.score is not None and line.score.verdict is Verdict.BREACHED


def says_something(line: LineScore) -> bool:
    """True when anything was measured that a verdict can rest on."""
    found = line.score
    if isinstance(found, DutyScore):
        return found.verdict is not Verdict.NOT_ENOUGH_DATA
    return found is not None and found.sli is not None


def _headline(card: Scorecard) -> str:
    """How many promised lines have which verdict, with the names of those that are breached."""
    contract = [line for line in card.lines if line.tier is Tier.CONTRACT]
    words = Counter(NO_SCORE if line.score is None else verdict_word(line.score.verdict) for line in contract)
    broken = [f"{line.line} {line.title}" for line in contract if is_broken(line)]
    told = [f"{count} {word}" for word in (*map(verdict_word, Verdict), NO_SCORE) if (count := words[word])]
    if not contract:
        return "No contract line was asked for."
    text = f"Of {count_text(len(contract), 'contract line')}: {', '.join(told)}."
    if card.asked.what_if is not None:
        return f"What if: {text[0].lower()}{text[1:]}"
    return f"{text} Breached: {'; '.join(broken)}." if broken else text


def _people_notes(card: Scorecard, known: ObjectiveSet) -> Iterator[str]:
    """The one note on targets that people are too slow for."""
    for line in card.lines:
        versions = known.objectives.get(line.name, ())
        objective = line.score.objective if isinstance(line.score, Score) else versions[-1] if versions else None
        if objective is not None and (note := people_note(objective)):
            yield f"Line {line.line}, {line.title}: {note}."
