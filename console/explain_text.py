"""How a number came about, as sections of short lines: for `slo explain`, at any width.

Refuses to read and to count (`collector.line_account` does). Called by `console.explain_command`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType

from collector.episode_runs import EpisodeAccount
from collector.line_account import LineAccount
from collector.score_reader import Asked
from collector.texts.figures import count_text
from collector.texts.utc_text import length_text, minute_text
from console.duty_text import duty_lines
from console.probe_counts import draw_probe_counts
from console.promise_text import duty_sentences, objective_sentences, version_sentences
from console.text_line import Line
from slo.arithmetic import sentences_of
from slo.bitmaps import runs
from slo.duties import DutyScore
from slo.maintenance import Approval
from slo.objective_set import ObjectiveSet
from slo.score import EventDetail, Score, SliceDetail
from slo.slices import Slices
from slo.window import Span

__all__ = ["Section", "sections_of"]

_STRETCHES = 6
_RUNS = 3
_OCCURRENCES = 20


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, the lines below it, and a table that knows how to fit a console."""

    heading: str
    lines: Sequence[Line]
    table: Callable[[Console], RenderableType] | None = None


def sections_of(account: LineAccount, known: ObjectiveSet, asked: Asked) -> list[Section]:
    """Everything that is to be said about one line."""
    line, score = account.line, account.line.score
    sections = [Section(f"{line.line} {line.name}: {line.title}", list(_heading(account, asked)))]
    if line.name in known.objectives:
        promised = [*objective_sentences(known.objectives[line.name][-1]), *version_sentences(account.pieces)]
        sections.append(Section("What is promised", _plain(promised)))
    elif line.name in known.obligations:
        sections.append(Section("What is owed", _plain(duty_sentences(known.obligations[line.name][-1]))))
    if score is None:
        sections.append(Section("Why there is no number", _plain([line.reason])))
    elif isinstance(score, DutyScore):
        sections.append(Section("What was found", list(duty_lines(score))))
    else:
        sections += _scored(account, score)
    return sections


def _heading(account: LineAccount, asked: Asked) -> Iterator[Line]:
    span, score = account.line.span, account.line.score
    if span is not None:
        phase = f"; {score.phase.value}" if isinstance(score, Score) else ""
        begin, end = minute_text(span.from_minute), minute_text(span.until_minute)
        yield Line(f"{span.name}: {begin} to {end} UTC, {span.minutes:,} minutes{phase}")
    yield Line(f"{asked.target}, as the fleet {asked.fleet} found it from {', '.join(asked.regions)}")


def _scored(account: LineAccount, score: Score) -> Iterator[Section]:
    detail = score.detail
    counted = list(_minutes(detail)) if isinstance(detail, SliceDetail) else list(_events(detail))
    is_minutes = isinstance(detail, SliceDetail)
    probes = account.probes or {}
    table = (lambda console: draw_probe_counts(console, probes, is_minutes=is_minutes)) if probes else None
    yield Section("What was counted", counted, table)
    if account.occurrences:
        yield Section("Maintenance", list(_maintenance(account)))
    yield Section("How the verdict came about", _plain(sentences_of(score)))
    # What maintenance did has a section of its own.
    told = [note for note in score.notes if not note.startswith("maintenance ")]
    if told:
        yield Section("What else to know", _plain(told))
    yield Section("What cost budget", list(_costs(account, "bad minute" if is_minutes else "bad event")))


def _plain(sentences: Iterator[str] | Sequence[str]) -> list[Line]:
    return [Line(sentence) for sentence in sentences]


# What was counted


def _minutes(detail: SliceDetail) -> Iterator[Line]:
    counts = detail.counts
    total = counts.eligible + counts.excluded
    yield Line(
        f"{total:,} minutes: {counts.good:,} good, {counts.bad:,} bad, {counts.unknown:,} unknown, "
        f"{counts.excluded:,} left out, {counts.future:,} to come"
    )
    if counts.split:
        yield Line(f"{counts.split:,} of the good ones were a tie between regions")
    if counts.suspect:
        yield Line(f"{counts.suspect:,} of the unknown ones hold a failure that too few regions confirm")
    for name, bits_of in (("Unknown", _unknown), ("Ties", _split), ("Suspect", _suspect)):
        yield from _stretches(name, [(span, bits_of(slices)) for span, slices in detail.pieces])


def _unknown(slices: Slices) -> int:
    return slices.unknown


def _split(slices: Slices) -> int:
    return slices.split


def _suspect(slices: Slices) -> int:
    return slices.suspect


def _stretches(name: str, pieces: Sequence[tuple[Span, int]]) -> Iterator[Line]:
    """Where the minutes of a kind lie: the longest stretches, in order of time."""
    found = [(span.from_minute + start, length) for span, bits in pieces for start, length in runs(bits)]
    if not found:
        return
    longest = sorted(sorted(found, key=lambda one: -one[1])[:_STRETCHES])
    told = ", ".join(f"{minute_text(minute)} UTC for {length_text(length)}" for minute, length in longest)
    hidden = len(found) - len(longest)
    rest = f"; {count_text(hidden, 'shorter stretch', 'shorter stretches')} not listed" if hidden else ""
    yield Line(f"{name}: {told}{rest}", style="dim")


def _events(detail: EventDetail) -> Iterator[Line]:
    cell = detail.cell
    yield Line(
        f"{cell.total:,} events in {cell.runs:,} runs: {cell.good:,} good, {cell.bad:,} bad; "
        f"{count_text(cell.inconclusive, 'slot')} said nothing"
    )


def _maintenance(account: LineAccount) -> Iterator[Line]:
    shown = account.occurrences[-_OCCURRENCES:]
    for occurrence in shown:
        scope = occurrence.window.regions
        where = "" if scope == ("*",) else f" (in {', '.join(scope)} only)"
        style = "" if occurrence.approval is Approval.APPROVED else "yellow"
        yield Line(f"{occurrence.text}{where}", style=style)
        if occurrence.window.reason:
            yield Line(occurrence.window.reason, indent=4, style="dim")
    if hidden := len(account.occurrences) - len(shown):
        yield Line(f"{count_text(hidden, 'earlier one')} not listed")


# What cost budget


def _costs(account: LineAccount, unit: str) -> Iterator[Line]:
    episodes = account.all_episodes
    if not episodes:
        yield Line("Nothing")
        return
    total = sum(one.cost for one in episodes)
    yield Line(f"{count_text(total, unit)} in {count_text(len(episodes), 'episode')}; times in UTC")
    if hidden := len(episodes) - len(account.episodes):
        rest = total - sum(one.episode.cost for one in account.episodes)
        yield Line(f"The {len(account.episodes)} costliest are listed; {hidden:,} more cost {count_text(rest, unit)}")
    for one in account.episodes:
        yield from _episode(one, unit)


def _episode(found: EpisodeAccount, unit: str) -> Iterator[Line]:
    episode = found.episode
    begin = minute_text(episode.from_minute)
    length = length_text(episode.until_minute - episode.from_minute)
    yield Line(f"{begin} for {length}: {count_text(episode.cost, unit)}", style="bold")
    yield Line(f"bad events: {_by_region(found.bad_by_region)}", indent=4)
    if found.good_by_region:
        yield Line(f"good events in the same minutes: {_by_region(found.good_by_region)}", indent=4)
    if not found.candidates:
        yield Line("the runs behind it are not stored any more", indent=4)
        return
    whys = ", ".join(f"{why} ({times})" for why, times in sorted(found.whys.items(), key=lambda one: (-one[1], one[0])))
    part = "" if found.looked_into == found.candidates else f"{found.looked_into:,} of "
    yield Line(f"{whys or 'no reason found'}, in {part}{count_text(found.candidates, 'run')} looked into", indent=4)
    for run in found.runs[:_RUNS]:
        yield Line(
            f"run {run.run_id} ({run.scenario} from {run.region}, {run.slot_at:%H:%M:%S})", indent=4, style="dim"
        )


def _by_region(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{region} {count:,}" for region, count in sorted(counts.items()))
