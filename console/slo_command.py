"""`slo check`: whether objective files are right, what they promise, and what in them is hardly meant.

Prints every problem with file, line, key and remedy, not only the first; else a table of the lines, and doubts. Refuses to judge
what was measured. Called by `console.app`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collector.texts.figures import count_text
from console.alerts_command import show_alerts
from console.desk import Desk
from console.explain_command import explain_line
from console.listing import interval_text
from console.narrow import Entry, draw_entries
from console.objectives import BUILT_IN_OBJECTIVES, ReadSet, objective_files, read_set
from console.rules_command import show_rules
from console.scenario_steps import steps_of
from console.timetable import intervals_of
from console.verdict import ExitCode
from console.wiring import load_scenarios
from probes.registry import Registry
from slo.document_text import Problem
from slo.doubts import alert_doubts, gap_doubts, name_doubts
from slo.fields import SECOND_NS
from slo.objective import EVERY_SCENARIO, Objective
from slo.objective_set import ObjectiveSet, line_order
from slo.obligation import Duty, Obligation, ObservationSource

__all__ = ["run_slo"]

Row = tuple[str, str, str, str, str, str, str]
_WIDE: Final = 76
_HEADINGS: Row = ("line", "name", "kind", "what", "scenarios", "v", "tier")


async def run_slo(desk: Desk) -> ExitCode:
    """What the first word after `slo` says."""
    return await _WORDS[desk.arguments.rest[0]](desk)


async def check_objectives(desk: Desk) -> ExitCode:
    """Check the files and folders that were named, else the folder of the settings; 2 when anything is wrong."""
    named = tuple(Path(word) for word in desk.arguments.rest[1:])
    folder = desk.settings.slo_dir or BUILT_IN_OBJECTIVES
    registry = load_scenarios(desk.arguments, desk.settings)
    found = _read(named, folder, _intervals_s(desk, registry))
    for problem in found.problems:
        _print_problem(problem, desk.console)
    if found.problems:
        files = len({problem.file for problem in found.problems})
        desk.console.print(f"{count_text(len(found.problems), 'problem')} in {count_text(files, 'file')}")
        return ExitCode.USAGE
    if not desk.arguments.quiet:
        _print_lines(found.known, desk.console)
    is_whole = not named or any(path.is_dir() for path in named)
    for doubt in _doubts(found.known, desk, registry, is_whole=is_whole):
        desk.console.print(Text.assemble(("doubt: ", "yellow"), doubt), soft_wrap=True)
    return ExitCode.PASSED


_WORDS: Mapping[str, Callable[[Desk], Awaitable[ExitCode]]] = {
    "alerts": show_alerts,
    "check": check_objectives,
    "explain": explain_line,
    "rules": show_rules,
}


def _read(named: Sequence[Path], folder: Path, intervals_s: Mapping[str, float]) -> ReadSet:
    """The files; single ones may refer to presets of the folder in which they will stand."""
    presets = {}
    if named and all(path.is_file() for path in named) and folder.is_dir():
        presets = dict(read_set(objective_files([folder])).known.presets)
    return read_set(objective_files(named or [folder]), intervals_s=intervals_s, presets=presets)


def _intervals_s(desk: Desk, registry: Registry) -> dict[str, float]:
    """How often the scenarios run on this fleet; one that is off runs when somebody asks, and fills no minutes."""
    intervals = intervals_of(registry, desk.settings.schedule, desk.arguments.every_s)
    return {name: float("inf") if every_s is None else every_s for name, every_s in intervals.items()}


def _doubts(known: ObjectiveSet, desk: Desk, registry: Registry, *, is_whole: bool) -> Iterator[str]:
    if is_whole:
        yield from gap_doubts(known)
    yield from alert_doubts(known)
    yield from name_doubts(known, {spec.name: steps_of(spec) for spec in registry}, desk.settings.regions)


def _print_problem(problem: Problem, console: Console) -> None:
    console.print(Text.assemble((problem.where, "bold"), f": {problem.what}"), soft_wrap=True)
    console.print(Text(f"  next: {problem.remedy}", style="dim"), soft_wrap=True)


def _print_lines(known: ObjectiveSet, console: Console) -> None:
    rows = sorted(_rows(known), key=lambda row: line_order(row[0], row[1]))
    console.print(_table(rows) if console.width >= _WIDE else draw_entries([_entry(row) for row in rows]))
    presets = count_text(len(known.presets), "alert preset")
    console.print(f"{presets}, {count_text(len(known.maintenance), 'maintenance window')}")


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for heading in _HEADINGS:
        is_wide = heading in ("what", "scenarios")
        table.add_column(
            heading, justify="right" if heading == "line" else "left", no_wrap=not is_wide, overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    return table


def _entry(row: Row) -> Entry:
    line, name, kind, what, scenarios, version, tier = row
    told = (kind, what, scenarios, f"version {version}" if version else "", tier)
    return Entry(Text(f"{line} {name}"), [Text(text) for text in told if text])


def _rows(known: ObjectiveSet) -> Iterator[Row]:
    for objectives in known.objectives.values():
        for line in objectives:
            kind = "events" if line.slices is None else "minutes"
            scenarios = EVERY_SCENARIO if line.selector.is_of_all else ", ".join(line.selector.scenarios)
            yield (
                line.line,
                line.name,
                kind,
                _wanted(line) + _since(line),
                scenarios,
                str(line.version),
                line.tier.value,
            )
    for obligations in known.obligations.values():
        for duty in obligations:
            selector = duty.selector
            is_runs = selector.source is ObservationSource.RUNS
            whence = ", ".join(selector.scenarios) if is_runs else f"({selector.severity} alerts)"
            yield (
                duty.line,
                duty.name,
                duty.duty.value,
                _owed(duty) + _since(duty),
                whence,
                str(duty.version),
                duty.tier.value,
            )
    for gap in known.not_measured:
        yield (gap.line, gap.name, "not measured", gap.because, "", "", gap.tier.value)


def _wanted(line: Objective) -> str:
    """`95 % < 500 ms`, `99.9 %`; strict: more than that."""
    share = f"{'> ' if line.strict else ''}{float(line.target_share * 100):g} %"
    if line.limit_ns is None:
        return share
    limit_s = line.limit_ns / SECOND_NS
    return f"{share} < {f'{limit_s:g} s' if limit_s >= 1 else f'{limit_s * 1000:g} ms'}"


def _owed(duty: Obligation) -> str:
    """`every day, 6h after its end`, `30 days kept`, `each < 4h`, `always < 1d`."""
    match duty.duty:
        case Duty.PERIODIC:
            return f"every day, {interval_text((duty.deadline_minutes or 0) * 60)} after its end"
        case Duty.RETENTION:
            return f"{duty.keep_days} days kept"
        case Duty.DURATION:
            return f"each < {interval_text((duty.limit_ns or 0) / SECOND_NS)}"
        case Duty.GAUGE:
            return f"always < {interval_text((duty.limit_ns or 0) / SECOND_NS)}"


def _since(promise: Objective | Obligation) -> str:
    """From when on, where it was not always so; behind the words, for a column that wraps."""
    since = promise.effective_from
    return "" if since is None else f" since {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
