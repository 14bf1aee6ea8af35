"""`report`: the scorecard: every line of the service-level document in a window, with what is known and what is not.

Scores of closed months that are final are put on record on the way; where the database takes nothing that is said, and the report
printed all the same. Exit code 1 when a promised line is breached, 3 when nothing at all can be said, else 0; a what-if is no
verdict and breaches nothing. Refuses names and windows that do not exist. Called by `console.app`.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Final

from collector.finals import Kept, keep_finals
from collector.scorecard import Asked, Scorecard, make_scorecard
from collector.store import Store, StoreError, open_store
from collector.store_session import StoreRefusedError
from collector.texts.scorecard_page import ReportPage, page_of
from console.atomic_file import write_atomically
from console.desk import Desk
from console.fleet_places import database_login, database_of, sqlite_file
from console.objectives import BUILT_IN_OBJECTIVES, load_set
from console.scorecard_html import render_html
from console.scorecard_json import report_document
from console.scorecard_markdown import render_markdown
from console.scorecard_table import print_page
from console.scorecard_verdict import exit_code_of
from console.scored_choice import chosen_regions, chosen_results
from console.verdict import ExitCode
from console.wiring import load_scenarios
from probes.errors import OperatorError
from slo.duties import DutyScore
from slo.objective_set import ObjectiveSet
from slo.window import month_span

__all__ = ["checked_window", "parse_what_if", "run_report"]

WITHOUT_SHARE: Final = "a what-if tries another share of bad ones, which this line does not have"
_DAYS: Final = re.compile(r"[1-9]\d{0,2}d")
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,12})?)\s*%")
_SHARE: Final = re.compile(r"0?\.\d{1,14}")


async def run_report(desk: Desk) -> ExitCode:
    """Score, print in the format that was asked for, and say in the exit code whether a promise is broken."""
    arguments, settings = desk.arguments, desk.settings
    window = checked_window(arguments.window)
    what_if = parse_what_if(arguments.what_if) if arguments.what_if else None
    known = await asyncio.to_thread(load_set, settings.slo_dir or BUILT_IN_OBJECTIVES)
    names = checked_names(arguments.objectives, known)
    database = database_of(arguments.database, settings)
    if (file := sqlite_file(database)) is not None and not file.is_file():
        remedy = "Start `runner.py collector` or `runner.py fleet`, or name another --database"
        raise OperatorError("no collector has stored anything there", where=str(file), remedy=remedy)
    timeouts_s = {spec.name: spec.timeout_s for spec in load_scenarios(arguments, settings)}
    async with open_store(database_login(database, settings)) as store:
        target, fleet = await chosen_results(store, desk)
        regions = await chosen_regions(store, desk, fleet)
        now = desk.clock.now()
        asked = Asked(target, fleet, regions, now, window, names, what_if, timeouts_s)
        card = _labelled(await make_scorecard(store, known, asked))
        kept, trouble = await _keep(store, card)
    page = page_of(card, known, kept, trouble)
    _write(desk, card, page, kept)
    return exit_code_of(card)


def checked_window(text: str) -> str:
    """The window as it was asked for; OperatorError for words that name none."""
    if text and not _DAYS.fullmatch(text):
        try:
            month_span(text)
        except ValueError as error:
            remedy = "Write a month such as 2026-10, or days such as 30d (999 at most)"
            raise OperatorError(str(error), where="--window", remedy=remedy) from error
    return text


def parse_what_if(text: str) -> Fraction:
    """The share of bad ones that a target allows: `99.95%` or `0.9995`; OperatorError for anything else."""
    if found := _PERCENT.fullmatch(text.strip()):
        target = Fraction(found[1]) / 100
    elif _SHARE.fullmatch(text.strip()):
        target = Fraction(text.strip() if text.strip().startswith("0") else f"0{text.strip()}")
    else:
        raise OperatorError(
            f"{text!r} is not a target", where="--what-if", remedy="Write 99.95% in percent, or 0.9995 as a share"
        )
    if not 0 < target < 1:
        raise OperatorError(
            f"a target must lie between 0 % and 100 %, not at {text}",
            where="--what-if",
            remedy="Write 99.95% in percent, or 0.9995 as a share",
        )
    return 1 - target


def checked_names(wanted: tuple[str, ...], known: ObjectiveSet) -> tuple[str, ...]:
    """The names of lines as they were asked for; OperatorError with the nearest name for one that is none."""
    there = [*known.objectives, *known.obligations, *(gap.name for gap in known.not_measured)]
    for name in wanted:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else "`runner.py slo check` lists them"
            raise OperatorError(f"no line is called {name!r}", where="--objective", remedy=remedy)
    return wanted


def _labelled(card: Scorecard) -> Scorecard:
    """A what-if without lines that it does not concern: nothing in it may be taken for a verdict."""
    if card.asked.what_if is None:
        return card
    lines = (
        replace(line, score=None, reason=WITHOUT_SHARE) if isinstance(line.score, DutyScore) else line
        for line in card.lines
    )
    return replace(card, lines=tuple(lines))


async def _keep(store: Store, card: Scorecard) -> tuple[Mapping[str, Kept], tuple[str, ...]]:
    """What is on record of the final scores, or why nothing could be put there."""
    try:
        return await keep_finals(store, card), ()
    except (StoreError, StoreRefusedError) as error:
        return {}, (f"Final scores could not be put on record: {error}",)


def _write(desk: Desk, card: Scorecard, page: ReportPage, kept: Mapping[str, Kept]) -> None:
    arguments = desk.arguments
    in_full = bool(arguments.objectives)
    form = arguments.format or ("" if arguments.json_to_stdout else "table")
    if arguments.json_file or form == "json":
        text = json.dumps(report_document(card, page, kept), indent=2, ensure_ascii=False) + "\n"
        if arguments.json_file and not arguments.json_to_stdout:
            write_atomically(Path(arguments.json_file), text.encode())
        if arguments.json_to_stdout or form == "json":
            _print(text)
    match form:
        case "html":
            _print(render_html(page))
        case "md":
            _print(render_markdown(page, in_full=in_full))
        case "table" if arguments.quiet:
            desk.console.print(page.headline, soft_wrap=True)
        case "table":
            print_page(page, desk.console, in_full=in_full)
        case _:
            pass


def _print(text: str) -> None:
    """As it is, in UTF-8 whatever the terminal's language is."""
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
