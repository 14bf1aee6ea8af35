"""The restore drill, with the real stand-in and a real PostgreSQL: what comes back, how old it is, and what is left behind."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiohttp import web

from console.stand_in import StandIn
from probes.execute import RunEnvironment
from probes.records import FailureKind, Outcome, Run
from scenarios.scratch_database import ScratchServer, connection_of, scratch_name
from tests.journey_kit import open_target
from tests.postgres_kit import PostgresServer
from tests.scenario_kit import control, describe, run_built_in, step_named
from tests.system.behind.bucket import CANARY, DAY, DUMP, listing_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest.fixture
def drilling(environment: RunEnvironment, postgres: PostgresServer) -> RunEnvironment:
    """The same with a server for drills."""
    return replace(environment, target=replace(environment.target, environ={"PROBE_DRILL_SERVER": postgres.url()}))


def databases(server: PostgresServer) -> set[str]:
    """The databases of drills that are there now."""
    listed = asyncio.run(ScratchServer("psql", connection_of(server.url())).query("SELECT datname FROM pg_database"))
    return {name for name in listed.split() if name.startswith("probe_drill_")}


async def left_on(server: PostgresServer) -> set[str]:
    """The same from a running loop."""
    return await asyncio.to_thread(databases, server)


async def test_the_newest_backup_comes_back_with_its_canary(
    stand_in: StandIn, drilling: RunEnvironment, postgres: PostgresServer
) -> None:
    """A backup made now is restored by PostgreSQL itself; the canary is seconds old; the scratch database is gone."""
    control(stand_in, "POST", "/backups")
    run = await run_built_in("restore-drill", drilling)
    assert run.outcome is Outcome.PASS, describe(run)
    canary = step_named(run, "canary").attributes
    assert 0 <= float(canary["restore.canary_age_s"]) < 60
    steps_s = sum(step.duration_ns for step in run.steps if not step.cleanup) / 1e9
    assert steps_s - 0.5 <= float(canary["restore.duration_s"]) < steps_s + 30
    assert await left_on(postgres) == set()
    (effect,) = run.side_effects
    assert (effect.kind, effect.fate) == ("scratch-database", "deleted")


async def restored(drilling: RunEnvironment, sql: str, **changes: object) -> Run:
    """A drill of a bucket with one dump of our own; `changes` are to the description of the drill."""
    content = gzip.compress(sql.encode())

    async def answer(request: web.Request) -> web.StreamResponse:
        if "list-type" in request.query:
            return web.Response(body=listing_of(content, "last"))
        return web.Response(body=content)

    async with open_target({"/stand-in-backups/{key:.*}": answer}) as bucket:
        target = drilling.target
        assert target.drill is not None
        drill = target.drill.model_copy(update={"tables": {"public.canary": 1}, **changes})
        bases = {**target.bases, "backups": bucket.url}
        return await run_built_in("restore-drill", replace(drilling, target=replace(target, bases=bases, drill=drill)))


async def test_the_canary_says_how_old_the_data_is(drilling: RunEnvironment) -> None:
    """Its own time counts, whatever the file's name says."""
    run = await restored(drilling, DUMP.format(middle=CANARY))
    assert run.outcome is Outcome.PASS, describe(run)
    assert float(step_named(run, "canary").attributes["restore.canary_age_s"]) == pytest.approx(5400, abs=60)


@pytest.mark.parametrize(
    ("sql", "step", "words"),
    [
        (DUMP.format(middle="INSERT INTO nowhere VALUES (1);"), "restore", "nowhere"),
        (DUMP.format(middle=CANARY).replace("dump complete", "dump"), "restore", "cut off"),
        (DUMP.format(middle=r"\! touch HERE"), "restore", "restricted"),
        (DUMP.format(middle=r"\connect postgres"), "restore", "restricted"),
        (DUMP.format(middle='DROP DATABASE "postgres";'), "restore", "transaction block"),
        (DUMP.format(middle=""), "canary", "no row"),
        (DUMP.format(middle="INSERT INTO public.canary VALUES (now() + interval '1 day');"), "canary", "future"),
        (DUMP.format(middle="").replace("canary", "other"), "canary", "does not exist"),
    ],
    ids=["error", "cut", "shell", "connect", "drop", "no canary", "future", "no table"],
)
async def test_a_dump_that_does_not_come_back_is_the_platforms_failure(
    drilling: RunEnvironment, postgres: PostgresServer, sql: str, step: str, words: str
) -> None:
    """At its step, with PostgreSQL's own words; nothing is executed outside of the scratch database, and nothing stays."""
    run = await restored(drilling, sql)
    assert run.failure is not None, describe(run)
    assert (run.failed_step, run.failure.kind) == (step, FailureKind.ASSERTION), describe(run)
    assert words in run.failure.message
    assert await left_on(postgres) == set()


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        ("ALTER TABLE public.canary OWNER TO nobody_here;", 'role "nobody_here" does not exist'),
        ("CREATE EXTENSION from_elsewhere;", 'extension "from_elsewhere" is not available'),
        ("SET setting_of_next_year = 0;", "setting_of_next_year"),
    ],
    ids=["role", "extension", "newer version"],
)
async def test_what_our_scratch_server_lacks_is_no_fault_of_the_dump(
    drilling: RunEnvironment, postgres: PostgresServer, asks: str, words: str
) -> None:
    """The backup may be perfect: the run is inconclusive, says what is missing, and what to do."""
    run = await restored(drilling, DUMP.format(middle=f"{CANARY}\n{asks}"))
    assert run.outcome is Outcome.INCONCLUSIVE, describe(run)
    assert run.failure is not None
    assert words in run.failure.message
    assert "Look at [drill]" in run.failure.message
    assert await left_on(postgres) == set()


async def test_a_canary_that_is_no_sql_is_our_fault(drilling: RunEnvironment) -> None:
    """A slip in the description says nothing about the backup."""
    run = await restored(drilling, DUMP.format(middle=CANARY), canary="SELEC max(written_at) FROM public.canary")
    assert run.outcome is Outcome.INCONCLUSIVE, describe(run)


async def test_a_server_that_cannot_be_reached_is_our_fault(environment: RunEnvironment) -> None:
    """The run is inconclusive, and the password stands nowhere."""
    environ = {"PROBE_DRILL_SERVER": "postgresql://drill:secret-word@127.0.0.1:9/postgres"}
    run = await run_built_in("restore-drill", replace(environment, target=replace(environment.target, environ=environ)))
    assert run.outcome is Outcome.INCONCLUSIVE, describe(run)
    assert "secret-word" not in repr(run)


async def test_what_a_killed_drill_left_is_dropped_a_day_later(
    drilling: RunEnvironment, postgres: PostgresServer
) -> None:
    """One of today may be in use and stays; a name that is not the drill's own is left alone."""
    server = ScratchServer("psql", connection_of(postgres.url()))
    now = datetime.now(UTC)
    old, new = scratch_name(now - 2 * DAY), scratch_name(now)
    for name in (old, new):
        await server.create(name)
    await server.query("CREATE DATABASE probe_drill_notes")
    try:
        await run_built_in("restore-drill", drilling)
        assert await left_on(postgres) == {new, "probe_drill_notes"}
    finally:
        await server.drop(new)
        await server.query("DROP DATABASE probe_drill_notes")
