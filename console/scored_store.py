"""The collector's database opened for whoever reads service levels: with the objectives, and what is asked of them.

Refuses to make an empty database by reading one that is not there. Called by the commands `slo explain`, `slo alerts`,
`maintenance`, `rescore` and `show`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from collector.score_reader import Asked, span_of
from collector.store import Store, open_store
from console.desk import Desk
from console.fleet_places import database_login, database_of, sqlite_file
from console.objectives import BUILT_IN_OBJECTIVES, load_set
from console.scored_choice import chosen_regions, chosen_results
from console.wiring import load_scenarios
from probes.errors import OperatorError
from slo.objective_set import ObjectiveSet
from slo.window import CalendarMonths

__all__ = ["ScoredStore", "database_words", "known_objectives", "open_existing", "open_scored"]

_MOST_DAYS: Final = 3_660


@dataclass(frozen=True, slots=True)
class ScoredStore:
    """A store with everything that is promised, and the question."""

    store: Store
    known: ObjectiveSet
    asked: Asked


@asynccontextmanager
async def open_existing(desk: Desk) -> AsyncIterator[Store]:
    """The collector's database, which must be there; OperatorError when it is not."""
    database = database_of(desk.arguments.database, desk.settings)
    file = sqlite_file(database)
    if file is not None and not file.is_file():
        remedy = "Start `runner.py collector` or `runner.py fleet`, or name another --database"
        raise OperatorError("no collector has stored anything there", where=str(file), remedy=remedy)
    async with open_store(database_login(database, desk.settings)) as store:
        yield store


@asynccontextmanager
async def open_scored(desk: Desk, names: tuple[str, ...] = ()) -> AsyncIterator[ScoredStore]:
    """The database, the objectives and the question of the command line; `names`: only these lines."""
    known = known_objectives(desk)
    async with open_existing(desk) as store:
        target, fleet = await chosen_results(store, desk)
        asked = Asked(
            target,
            fleet,
            await chosen_regions(store, desk, fleet),
            desk.clock.now(),
            desk.arguments.window,
            names,
            timeouts_s={spec.name: spec.timeout_s for spec in load_scenarios(desk.arguments, desk.settings)},
        )
        _check_window(asked)
        yield ScoredStore(store, known, asked)


def known_objectives(desk: Desk) -> ObjectiveSet:
    """Everything that the folder of the settings promises, else the built-in one."""
    return load_set(desk.settings.slo_dir or BUILT_IN_OBJECTIVES)


def database_words(desk: Desk) -> str:
    """The database as a person names it on a command line; a password in it is not said."""
    database = database_of(desk.arguments.database, desk.settings)
    parts = urlsplit(database)
    if not parts.password:
        return database
    user, place = parts.username or "", parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}@{place}").geturl()


def _check_window(asked: Asked) -> None:
    """Whether the words of the window name one; its days are few enough to have happened."""
    remedy = "Write a month as 2026-10, or days as 30d"
    days = asked.window.removesuffix("d")
    if asked.window.endswith("d") and days.isdecimal() and not 1 <= int(days) <= _MOST_DAYS:
        message = f"a window of {days} days is none; there can be 1 to {_MOST_DAYS}"
        raise OperatorError(message, where="--window", remedy=remedy)
    try:
        span_of(CalendarMonths(), asked)
    except ValueError as error:
        raise OperatorError(str(error), where="--window", remedy=remedy) from error
