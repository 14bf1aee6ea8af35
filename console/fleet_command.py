"""`fleet`: the whole fleet on one machine: broker, collector, one worker for each region, and a live view of slots.

The parts are the same as on many machines: the collector is a process of its own, so is each lane, and everything between them
goes through the broker. Without a target it probes a stand-in that it starts, and keeps those results apart. Ends in order:
workers first, so that what they hold is still taken, then collector, broker and stand-in. Called by `console.app` and the demo.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog
from rich.live import Live
from rich.text import Text

from collector.probe_line import said_by
from collector.store import Store, StoreError, open_store
from console.choices import ChosenTarget, open_target
from console.collector_command import open_broker
from console.collector_process import CollectorProcess, open_collector
from console.desk import Desk
from console.fleet_board import Board, fitting_board, summary_text
from console.fleet_places import broker_url, database_login
from console.lane_kit import LaneOptions, Plan, make_plan
from console.pages_wiring import place_for_pages
from console.verdict import ExitCode
from console.watching import until_told
from console.wiring import load_scenarios
from console.worker_command import RegionWorker, lane_options
from probes.settings import Settings
from probes.worker import WorkerReport

__all__ = ["Fleet", "open_fleet", "run_fleet"]

log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 1.0
_LOOK_SOON_S: Final = 0.05
_GOODBYES_NS: Final = 5_000_000_000
_STAND_IN_FOLDER: Final = "stand-in"
_DATABASE: Final = "collector.db"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet whose parts are up; its workers have not begun. `pages` is the address of its pages, empty: none."""

    workers: tuple[RegionWorker, ...]
    collector: CollectorProcess
    store: Store
    plan: Plan
    pages: str = ""


Script = Callable[[Fleet], Awaitable[None]]
"""What is done with a fleet once its lanes are up; it stops when that has ended."""


async def run_fleet(desk: Desk) -> ExitCode:
    """Run the fleet until told to stop; 0 when it ended in order and every slot that was owed has its ending in the store.

    The code says how the fleet did, not how the platform is: that is what the table is for.
    """
    # A name that does not exist is told before a stand-in is started for it.
    specs = load_scenarios(desk.arguments, desk.settings).select(desk.arguments.scenarios or ("*",))
    async with open_target(desk.arguments.target, desk.settings, specs, say=desk.say) as chosen:
        folder = desk.settings.state_dir / _STAND_IN_FOLDER if chosen.stand_in else desk.settings.state_dir
        code = await show_fleet(desk, chosen, folder)
    database = desk.arguments.database or (str(folder / _DATABASE) if chosen.stand_in else "")
    where = f" --database {database}" if database else ""
    desk.say(f"Look again: runner.py status{where}")
    return code


async def show_fleet(desk: Desk, chosen: ChosenTarget, folder: Path, script: Script | None = None) -> ExitCode:
    """The fleet against a target that is there, with its files in the folder, until told to stop or a script has ended."""
    async with open_fleet(desk, chosen, folder) as fleet:
        regions = ", ".join(worker.address.region for worker in fleet.workers)
        desk.say(
            f"{len(fleet.workers)} workers ({regions}) run {', '.join(spec.name for spec in fleet.plan.choice.specs)}"
        )
        for name, reason in fleet.plan.choice.left_out:
            desk.say(f"left out: {name}: {reason}")
        # A script tells what happens; slots that go on as before would stand between its lines.
        board = Board(fleet.store, desk.clock.now(), changes_only=script is not None)
        reports = await _work(desk, fleet, board, script)
        await _hear_goodbyes(desk, fleet)
        return await _conclude(desk, fleet, board, reports)


@asynccontextmanager
async def open_fleet(desk: Desk, chosen: ChosenTarget, folder: Path) -> AsyncIterator[Fleet]:
    """Broker, store and collector for the length of the block, and workers that are ready to begin."""
    arguments, settings = desk.arguments, desk.settings
    options = _options(desk, chosen)
    plan = make_plan(options, settings)
    database = arguments.database or settings.collector.database
    if chosen.stand_in and not arguments.database:
        database = str(folder / _DATABASE)
    async with AsyncExitStack() as opened:
        url = broker_url(arguments.broker, settings)
        broker = await opened.enter_async_context(open_broker(url, settings, clock=desk.clock))
        store = await opened.enter_async_context(open_store(database_login(database, settings)))
        told = ["--broker", broker.url, "--database", database]
        if arguments.settings_file is not None:
            told += ["--settings", str(arguments.settings_file.absolute())]
        # Several fleets may be on one machine; whoever wants health pages starts the parts as services.
        pages = place_for_pages(settings.pages.listen)
        environ = {**settings.environ, "PROBE_FLEET_COLLECTOR_HEALTH": "", "PROBE_FLEET_PAGES_LISTEN": pages}
        collector = await opened.enter_async_context(open_collector(told, environ=environ, clock=desk.clock))
        if pages:
            desk.say(f"pages: http://{pages}")
        workers = tuple(
            RegionWorker(of_region, broker, options, plan, clock=desk.clock, folder=folder)
            for of_region in _by_region(settings)
        )
        yield Fleet(workers, collector, store, plan, f"http://{pages}" if pages else "")


def _by_region(settings: Settings) -> Sequence[Settings]:
    return [replace(settings, region=region) for region in settings.regions]


def _options(desk: Desk, chosen: ChosenTarget) -> LaneOptions:
    """What the lanes are told; of a stand-in also where it is and what to trust."""
    # A table that is drawn over and over leaves no room for what lanes have to say; unfit minutes are in it anyway.
    level = logging.CRITICAL if desk.console.is_terminal and sys.stderr.isatty() else logging.WARNING
    options = lane_options(desk.arguments, desk.arguments.target or desk.settings.target, log_level=level)
    if (stand_in := chosen.stand_in) is None:
        return options
    ca_file = str(stand_in.ca_file) if stand_in.ca_file else ""
    laid_over = {"target": "stand-in", "bases": dict(stand_in.urls), "ca_file": ca_file, "spki": stand_in.trusted_spki}
    return options.model_copy(update=laid_over)


async def _work(desk: Desk, fleet: Fleet, board: Board, script: Script | None) -> list[WorkerReport]:
    """Have the workers work until told to stop, then until they have ended."""
    tasks = [asyncio.create_task(worker.keep_running()) for worker in fleet.workers]
    any_ended = asyncio.create_task(_first_to_end(tasks))
    watcher = asyncio.create_task(_watch(desk, board))
    playing: asyncio.Task[None] | None = None
    try:
        await desk.stop.guard(_until_up(desk, fleet, any_ended))
        ended: asyncio.Task[None] = any_ended
        if script is not None:
            ended = playing = asyncio.create_task(_play(script, fleet, any_ended))
        await until_told(desk.stop, ended, clock=desk.clock, arguments=desk.arguments)
    finally:
        if playing is not None:
            playing.cancel()
            await asyncio.wait({playing})
        for worker in fleet.workers:
            worker.stop()
        await asyncio.wait(tasks)
        watcher.cancel()
        await asyncio.wait({watcher, any_ended})
    if playing is not None and not playing.cancelled():
        playing.result()
    return [task.result() for task in tasks]


async def _play(script: Script, fleet: Fleet, any_ended: asyncio.Task[None]) -> None:
    """Until the script has ended, or a worker has. Raises what the script raises."""
    playing = asyncio.ensure_future(script(fleet))
    try:
        await asyncio.wait({playing, any_ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not playing.done():
            playing.cancel()
            await asyncio.wait({playing})
    if not playing.cancelled():
        playing.result()


async def _first_to_end(tasks: Sequence[asyncio.Task[WorkerReport]]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def _until_up(desk: Desk, fleet: Fleet, any_ended: asyncio.Task[None]) -> None:
    """Until every lane walks its schedule: `--for` is counted from here. A lane that cannot is told of in the log."""
    while not any_ended.done() and not all(worker.is_ready() for worker in fleet.workers):
        await desk.clock.sleep(0.1)
    if not any_ended.done():
        desk.say("all lanes are up")


async def _watch(desk: Desk, board: Board) -> None:
    """Show the slots until cancelled; on a terminal as a table, elsewhere as lines."""
    if desk.arguments.quiet:
        return
    if not desk.console.is_terminal:
        while True:
            await desk.clock.sleep(_LOOK_EVERY_S)
            await _print_news(desk, board)
    with Live(console=desk.console, auto_refresh=False, transient=True) as live:
        while True:
            await desk.clock.sleep(_LOOK_EVERY_S)
            try:
                live.update(fitting_board(desk.console, await board.rows(desk.clock.now())), refresh=True)
            except StoreError as error:
                live.update(Text(str(error)), refresh=True)


async def _print_news(desk: Desk, board: Board) -> None:
    try:
        for line in await board.news(desk.clock.now()):
            desk.console.print(Text(line), soft_wrap=True)
    except StoreError as error:
        log.warning("fleet.not_read", error=str(error))


async def _hear_goodbyes(desk: Desk, fleet: Fleet) -> None:
    """Until the store knows that every probe has ended, for some seconds at most: else it would call them up when all is over."""
    waiting = {worker.address for worker in fleet.workers}
    give_up_ns = desk.clock.monotonic_ns() + _GOODBYES_NS
    while waiting and desk.clock.monotonic_ns() < give_up_ns:
        try:
            states = await fleet.store.probes()
        except StoreError as error:
            log.warning("fleet.not_read", error=str(error))
            return
        waiting -= {state.address for state in states if (said := said_by(state)) is not None and not said.online}
        if waiting:
            await desk.clock.sleep(_LOOK_SOON_S)


async def _conclude(desk: Desk, fleet: Fleet, board: Board, reports: Sequence[WorkerReport]) -> ExitCode:
    """The last table, and whether the books are in order."""
    now = desk.clock.now()
    if not desk.arguments.quiet and not desk.console.is_terminal:
        await _print_news(desk, board)
    rows = await board.rows(now)
    console = desk.console
    console.print()
    console.print(fitting_board(console, rows))
    console.print(Text(f"\n{summary_text(rows)}.", style="bold"))
    left = sum(report.left.entries for report in reports)
    open_slots = sum(row.counts.missing + row.counts.pending for row in rows)
    probes = [state for state in await fleet.store.probes() if state.address.fleet == desk.settings.fleet]
    conflicts, gaps = sum(state.conflicts for state in probes), sum(state.missing for state in probes)
    if left or open_slots or conflicts or gaps:
        console.print(
            Text(
                f"The books are not in order: {left} entries stay in outboxes, {open_slots} slots without an ending, "
                f"{conflicts} conflicts, {gaps} numbers missing.",
                style="bold red",
            )
        )
        return ExitCode.INCONCLUSIVE
    console.print(Text("Each of them ended exactly once in the store; nothing stays behind.", style="green"))
    return ExitCode.PASSED
