"""`show RUN --database WHERE`: a run that the collector stored, as `show` draws one of this machine.

Refuses a part of an id: a database finds a run by the whole of it. Called by `console.app`.
"""

from __future__ import annotations

from typing import Final

from console.desk import Desk
from console.scored_store import open_existing
from console.show import print_whole_run
from console.verdict import ExitCode
from probes.errors import OperatorError
from probes.wire import WireError, parse_run

__all__ = ["show_stored"]

_ID_LENGTH: Final = 26


async def show_stored(desk: Desk) -> ExitCode:
    """Print the run; OperatorError where no run has this id."""
    if not desk.arguments.rest:
        raise OperatorError(
            "`show --database` needs the id of a run",
            where="show",
            remedy="`slo explain NAME` names runs that cost budget",
        )
    run_id = desk.arguments.rest[0]
    if len(run_id) != _ID_LENGTH:
        message = f"a database finds a run by its whole id, which has {_ID_LENGTH} characters and not {len(run_id)}"
        raise OperatorError(message, where="show", remedy="Give all of the id")
    async with open_existing(desk) as store:
        record, where = await store.find_run(run_id, None), store.where
    if not record:
        remedy = "Retention may have taken it; without --database `show` looks at the runs of this machine"
        raise OperatorError(f"no run {run_id!r} is stored", where=where, remedy=remedy)
    try:
        run = parse_run(record)
    except WireError as error:
        raise OperatorError(f"the record cannot be read: {error}", where=where) from error
    print_whole_run(run, desk)
    return ExitCode.PASSED
