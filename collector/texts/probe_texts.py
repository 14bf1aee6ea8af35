"""The words of `status` and of the page of the fleet about probes: what waits, how covered, which clock, what to look into.

Refuses to read the store and to judge a condition (`collector.probe_line` does). Called by the console and by the pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from collector.ledger import SlotCounts
from collector.probe_line import ProbeLine, Said
from collector.texts.figures import bytes_text, count_text, printable

__all__ = ["age_text", "books_text", "clock_text", "coverage_text", "notes_of", "waiting_text"]

_MS: Final = 1_000_000


def books_text(probes: Sequence[ProbeLine]) -> str:
    """What the collector counted, of all probes together."""
    states = [line.state for line in probes]
    entries, missing = sum(state.entries for state in states), sum(state.missing for state in states)
    conflicts, set_aside = sum(state.conflicts for state in states), sum(state.quarantined for state in states)
    return (
        f"{count_text(entries, 'entry', 'entries')} stored, {missing} missing in their numbers, "
        f"{conflicts} in conflict, {set_aside} set aside"
    )


def notes_of(line: ProbeLine) -> list[str]:
    """What a person should look into."""
    state, notes = line.state, []
    if line.has_no_status():
        notes.append(
            "its results come, but no status of it that could be understood: may it publish to its status topic, and is it "
            "of this version?"
        )
    if state.conflicts:
        notes.append(f"{state.conflicts} entries contradict what was stored before: do two probes share this name?")
    if state.quarantined:
        notes.append(f"{state.quarantined} entries were set aside because they could not be understood or believed")
    if line.said and line.said.stream.messages_refused:
        notes.append(
            f"{line.said.stream.messages_refused} messages to it were refused: commands or acknowledgements "
            "that were heard before, too old, or not the fleet's"
        )
    if line.said and line.said.outbox.lost:
        notes.append(f"{line.said.outbox.lost} entries were dropped by an outbox that was full or too old")
    for name, lane in line.said.lanes.items() if line.said else ():
        if lane.restarts:
            notes.append(f"the {printable(name)} lane was started again {lane.restarts} times")
        if lane.beat and lane.beat.unfit:
            notes.append(f"not fit to measure now ({printable(name)}): {printable('; '.join(lane.beat.unfit))}")
    return notes


def waiting_text(said: Said | None) -> str:
    """What waits in the outbox, as the probe said."""
    if said is None:
        return "-"
    return f"{said.outbox.entries} ({bytes_text(said.outbox.body_bytes)})" if said.outbox.entries else "0"


def clock_text(said: Said | None) -> str:
    """How far the probe's clock is off ours, and how sure that is."""
    if said is None or said.clock is None:
        return "-"
    return f"{said.clock.offset_ns / _MS:+.1f} ± {said.clock.bound_ns / _MS:.1f} ms"


def coverage_text(counts: SlotCounts) -> str:
    """The share of the due slots that have a run, rounded down: 99.99 % is not all."""
    if not counts.due:
        return "-"
    return f"{counts.ran * 1000 // counts.due / 10:.1f} %"


def age_text(age: timedelta) -> str:
    """How old something is, in its largest unit that says at least two: `12 s`, `5 min`, `3 h`, `2 d`."""
    seconds = max(0, int(age.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
