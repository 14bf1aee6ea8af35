"""The scenarios that look behind the platform, against the real stand-in and a real PostgreSQL: what they find, and what not."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from console.stand_in import StandIn, start_stand_in
from probes.clock import SystemClock
from probes.evidence import EvidenceStore
from probes.execute import RunEnvironment, run_scenario
from probes.http import HttpEngine
from probes.records import FailureKind, Outcome, Run
from probes.registry import load_registry
from probes.target_behind import Failover
from scenarios.platform import open_platform
from scenarios.scratch_database import ScratchServer, connection_of, scratch_name
from tests.journey_kit import open_target
from tests.postgres_kit import PostgresServer
from tests.scenario_kit import control, describe, run_built_in, step_named, target_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

DAY = timedelta(days=1)
DUMP = (
    "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.canary (written_at timestamptz);\n"
    "{middle}\n--\n-- PostgreSQL database dump complete\n--\n"
)
CANARY = "INSERT INTO public.canary VALUES (now() - interval '90 minutes');"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stand_in() -> AsyncIterator[StandIn]:
    """One stand-in for all tests of this file."""
    async with start_stand_in(["--warm", "0"]) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def environment(stand_in: StandIn) -> AsyncIterator[RunEnvironment]:
    """A real HTTP engine around it."""
    async with HttpEngine() as http:
        yield RunEnvironment(clock=SystemClock(), http=http, target=target_of(stand_in), platform_factory=open_platform)


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


# --- backups


async def test_every_backup_is_verified_and_says_which_it_is(environment: RunEnvironment) -> None:
    """A step a day with what service levels read: day, time, size, age; the newest first, thirty in a row."""
    run = await run_built_in("backups", environment)
    assert run.outcome is Outcome.PASS, describe(run)
    verified = [step.attributes for step in run.steps if step.name == "verify"]
    days = [datetime.fromisoformat(str(step["backup.day"])).date() for step in verified]
    assert days == [days[0] - DAY * ago for ago in range(30)]
    for step in verified:
        written_at = datetime.fromisoformat(str(step["backup.written_at"]))
        assert written_at.utcoffset() == timedelta(0)
        age_s = float(step["backup.age_s"])
        assert age_s == pytest.approx((run.started_at - written_at).total_seconds(), abs=60)
        assert int(step["backup.bytes"]) > 400
        assert step["backup.read"] == "whole"


@pytest.mark.parametrize("days_ago", [1, 29])
async def test_one_missing_day_of_thirty_fails_the_listing_and_names_the_day(
    stand_in: StandIn, environment: RunEnvironment, days_ago: int
) -> None:
    """The others are verified all the same: each of them has its own record."""
    control(stand_in, "PUT", "/faults", {"faults": [{"name": "missing-backup", "args": {"days_ago": days_ago}}]})
    try:
        run = await run_built_in("backups", environment)
    finally:
        control(stand_in, "DELETE", "/faults")
    failed = [step for step in run.steps if step.failure is not None]
    assert [step.name for step in failed] == ["list"]
    missing = run.started_at.astimezone(UTC).date() - DAY * days_ago
    assert failed[0].failure is not None
    assert str(missing) in failed[0].failure.message
    assert sum(step.name == "verify" for step in run.steps) == 29


async def test_an_empty_backup_fails_its_own_day_and_no_other(stand_in: StandIn, environment: RunEnvironment) -> None:
    """The job was green; twenty bytes are no dump."""
    control(stand_in, "PUT", "/faults", {"faults": [{"name": "empty-backup", "args": {"days_ago": 3}}]})
    try:
        run = await run_built_in("backups", environment)
    finally:
        control(stand_in, "DELETE", "/faults")
    (failed,) = [step for step in run.steps if step.failure is not None]
    assert failed.attributes["backup.bytes"] == 20
    assert failed.attributes["backup.day"] == str(run.started_at.astimezone(UTC).date() - DAY * 3)
    assert failed.failure is not None
    assert failed.failure.kind is FailureKind.ASSERTION


async def test_a_key_of_ours_that_is_refused_says_nothing_about_the_backups(environment: RunEnvironment) -> None:
    """The signature is checked by the other side: the run is inconclusive, and no secret stands in what was recorded."""
    environ = {"STAND_IN_BACKUPS_SECRET_KEY": "another-key-than-that"}
    run = await run_built_in("backups", replace(environment, target=replace(environment.target, environ=environ)))
    assert run.outcome is Outcome.INCONCLUSIVE, describe(run)
    assert run.failure is not None
    assert run.failed_step == "list"
    assert "SignatureDoesNotMatch" in run.failure.message
    assert "backups_secret_key" in run.failure.message
    assert "another-key-than-that" not in repr(run)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("RequestTimeTooSkewed", Outcome.INCONCLUSIVE),
        ("ExpiredToken", Outcome.INCONCLUSIVE),
        ("AccountProblem", Outcome.FAIL),
        ("", Outcome.FAIL),
    ],
)
async def test_a_refusal_is_ours_only_where_the_bucket_blames_key_or_clock(
    environment: RunEnvironment, code: str, outcome: Outcome
) -> None:
    """An account that was closed takes the platform's backups along; a bare 403 may be anything."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=403, text=f"<Error><Code>{code}</Code></Error>" if code else "no")

    async with open_target({"/stand-in-backups/": answer}) as bucket:
        bases = {**environment.target.bases, "backups": bucket.url}
        run = await run_built_in("backups", replace(environment, target=replace(environment.target, bases=bases)))
    assert (run.outcome, run.failed_step) == (outcome, "list"), describe(run)


@pytest.mark.parametrize("gone", [False, True])
async def test_a_backup_that_need_not_be_there_any_more_may_be_gone_when_its_turn_comes(
    environment: RunEnvironment, *, gone: bool
) -> None:
    """To remove it after it was listed is the platform's right; as long as it is there it is looked into like the others."""
    content = gzip.compress(DUMP.format(middle=CANARY * 10).encode(), compresslevel=0)

    async def answer(request: web.Request) -> web.StreamResponse:
        if "list-type" in request.query:
            return web.Response(body=listing_of(content, request.query.get("continuation-token", "")))
        if gone and today(-1) in request.path:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        return web.Response(status=206, body=content)

    async with open_target({"/stand-in-backups/{key:.*}": answer}) as bucket:
        target = environment.target
        bases = {**target.bases, "backups": bucket.url}
        assert target.backups is not None
        described = target.backups.model_copy(update={"keep_days": 1})
        run = await run_built_in(
            "backups", replace(environment, target=replace(target, bases=bases, backups=described))
        )
    assert run.outcome is Outcome.PASS, describe(run)
    verified = [(step.attributes.get("backup.day"), step.attributes["backup.read"]) for step in run.steps[1:]]
    assert verified == [(today(0), "whole"), (None, "gone") if gone else (today(-1), "whole")]


async def test_a_long_backup_is_read_range_by_range_and_older_ones_at_both_ends(environment: RunEnvironment) -> None:
    """No answer is longer than a piece; the record says how much of each was looked at."""
    text = DUMP.format(middle="-- " + "x" * 200_000).encode()
    content = gzip.compress(text, compresslevel=0)
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if "list-type" in request.query:
            return web.Response(body=listing_of(content, request.query.get("continuation-token", "")))
        asked.append(request.headers["Range"])
        first, last = (int(word) for word in request.headers["Range"].removeprefix("bytes=").split("-"))
        assert request.headers["If-Match"] == '"e"'
        return web.Response(status=206, body=content[first : last + 1])

    async with open_target({"/dumps/{key:.*}": answer}) as bucket:
        target = environment.target
        assert target.backups is not None
        described = target.backups.model_copy(update={"bucket": "dumps", "whole_bytes": 1000, "first_day": today(-1)})
        bases = {**target.bases, "backups": bucket.url}
        run = await run_built_in(
            "backups", replace(environment, target=replace(target, bases=bases, backups=described))
        )
    assert run.outcome is Outcome.PASS, describe(run)
    assert [step.attributes["backup.read"] for step in run.steps if step.name == "verify"] == ["whole", "ends"]
    end = len(content) - 1
    assert asked == [f"bytes=0-{end}", "bytes=0-65535", f"bytes={end - 65535}-{end}"]


@pytest.mark.parametrize(("status", "kind"), [(0, FailureKind.CONNECT), (503, FailureKind.STATUS)])
async def test_a_bucket_that_goes_away_says_nothing_about_the_days_that_follow(
    environment: RunEnvironment, status: int, kind: FailureKind
) -> None:
    """The one that was asked for fails with its kind; no other day is charged with a connection that broke, or an error of S3."""
    content = gzip.compress(DUMP.format(middle=CANARY * 10).encode(), compresslevel=0)

    async def answer(request: web.Request) -> web.StreamResponse:
        if "list-type" in request.query:
            return web.Response(body=listing_of(content, request.query.get("continuation-token", "")))
        if status:
            return web.Response(status=status, text="<Error><Code>SlowDown</Code></Error>")
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with open_target({"/stand-in-backups/{key:.*}": answer}) as bucket:
        target = environment.target
        bases = {**target.bases, "backups": bucket.url}
        assert target.backups is not None
        described = target.backups.model_copy(update={"first_day": today(-1)})
        run = await run_built_in(
            "backups", replace(environment, target=replace(target, bases=bases, backups=described))
        )
    ended = [(step.name, step.failure and step.failure.kind) for step in run.steps]
    assert ended == [("list", None), ("verify", kind)], describe(run)


async def test_a_large_backup_is_read_whole_in_the_memory_of_a_few_pieces(environment: RunEnvironment) -> None:
    """64 MB of it pass through; what is held at any time is a fraction of that, this test's own server included."""
    text = DUMP.format(middle="-- ").encode()
    content = gzip.compress(text[:90] + random.Random(5).randbytes(64_000_000) + text[90:], compresslevel=0)

    async def answer(request: web.Request) -> web.StreamResponse:
        if "list-type" in request.query:
            return web.Response(body=listing_of(content, "last"))
        first, last = (int(word) for word in request.headers["Range"].removeprefix("bytes=").split("-"))
        return web.Response(status=206, body=content[first : last + 1])

    async with open_target({"/stand-in-backups/{key:.*}": answer}) as bucket:
        target = environment.target
        assert target.backups is not None
        described = target.backups.model_copy(update={"first_day": today(-1)})
        bases = {**target.bases, "backups": bucket.url}
        large = replace(environment, target=replace(target, bases=bases, backups=described))
        tracemalloc.start()
        try:
            run = await run_built_in("backups", large)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    (verified,) = [step for step in run.steps if step.name == "verify"]
    assert verified.outcome is Outcome.PASS, describe(run)
    assert len(verified.exchanges) == 16
    assert peak_bytes < 32_000_000


async def test_nothing_of_a_backup_is_kept_as_evidence(
    stand_in: StandIn, environment: RunEnvironment, tmp_path: Path
) -> None:
    """A failed run keeps what was asked and answered, the listing too, and not a byte of anybody's data; nor the key."""
    control(stand_in, "PUT", "/faults", {"faults": [{"name": "missing-backup", "args": {"days_ago": 1}}]})
    try:
        run = await run_built_in("backups", replace(environment, evidence=EvidenceStore(tmp_path)))
    finally:
        control(stand_in, "DELETE", "/faults")
    assert run.outcome is Outcome.FAIL, describe(run)
    text = only_file(tmp_path)
    assert "stand-in-backup-reader-key" not in text
    answers = [entry["response"] for entry in json.loads(text)["log"]["entries"]]
    assert len(answers) == 30
    listed, *backups = [answer["content"].get("text", "") for answer in answers]
    assert "ListBucketResult" in listed
    assert set(backups) == {""}


def only_file(folder: Path) -> str:
    """The text of the one file below the folder."""
    (file,) = [file for file in folder.rglob("*") if file.is_file()]
    return file.read_text("utf-8")


def listing_of(content: bytes, token: str) -> bytes:
    """Two days on two pages."""
    day = today(-1) if token else today(0)
    rest = "" if token else "<IsTruncated>true</IsTruncated><NextContinuationToken>n</NextContinuationToken>"
    return (
        f"<ListBucketResult>{rest}<Contents><Key>daily/backup-{day}.sql.gz</Key><LastModified>{day}T00:00:00Z</LastModified>"
        f"<ETag>&quot;e&quot;</ETag><Size>{len(content)}</Size></Contents></ListBucketResult>"
    ).encode()


def today(days: int) -> str:
    """The UTC day, or one so many days from it."""
    return str(datetime.now(UTC).date() + DAY * days)


# --- restore drill


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


# --- failover


def watching(environment: RunEnvironment, **changes: float) -> RunEnvironment:
    """The stand-in's failover with other times."""
    described = Failover(every_s=0.1, watch_s=0.3, within_s=20, ask_s=2)
    return replace(environment, target=replace(environment.target, failover=described.model_copy(update=changes)))


async def test_an_induced_failover_is_measured_and_healed_by_itself(
    stand_in: StandIn, environment: RunEnvironment
) -> None:
    """The standby answers after some seconds; the outage is no longer than that, give or take a question, and is seen."""
    spec = load_registry("scenarios").get("failover")  # before the outage: on a busy machine it might be over by then
    control(stand_in, "POST", "/failover", {"after_s": 3})
    try:
        run = await run_scenario(spec, environment=watching(environment))
    finally:
        control(stand_in, "DELETE", "/failover")
    assert run.outcome is Outcome.PASS, describe(run)
    found = step_named(run, "failover").attributes
    assert found["failover.self_healed"] is True
    assert found["failover.begin_seen"] is False
    assert found["failover.served_by"] == "standby"
    assert 0.5 < float(found["failover.outage_s"]) < 10


async def test_a_service_that_does_not_come_back_fails_with_what_was_found(
    stand_in: StandIn, environment: RunEnvironment
) -> None:
    """Not healed, at least so long, and the kind of the last answer."""
    control(stand_in, "POST", "/failover", {"after_s": 600})
    try:
        run = await run_built_in("failover", watching(environment, within_s=0.5))
    finally:
        control(stand_in, "DELETE", "/failover")
    assert run.failure is not None
    assert (run.failed_step, run.failure.kind) == ("failover", FailureKind.CONNECT), describe(run)
    found = step_named(run, "failover").attributes
    assert found["failover.self_healed"] is False
    assert float(found["failover.outage_s"]) >= 0.5


async def test_without_an_outage_there_is_no_figure(environment: RunEnvironment) -> None:
    """A failover that was not seen is neither good nor bad: no zero seconds that would count as a success."""
    run = await run_built_in("failover", watching(environment))
    assert run.outcome is Outcome.PASS, describe(run)
    found = step_named(run, "failover").attributes
    assert found["failover.seen"] is False
    assert not {"failover.outage_s", "failover.self_healed"} & set(found)


# --- one region


async def test_only_the_probes_of_the_named_region_find_it_down(stand_in: StandIn, environment: RunEnvironment) -> None:
    """Each request says where its probe is; the others pass at the same time."""
    control(stand_in, "PUT", "/faults", {"faults": [{"name": "one-region-down", "args": {"region": "eu-west"}}]})
    try:
        here = await run_built_in("web-health", replace(environment, region="eu-west"))
        there = await run_built_in("web-health", replace(environment, region="us-east"))
    finally:
        control(stand_in, "DELETE", "/faults")
    assert (here.outcome, there.outcome) == (Outcome.FAIL, Outcome.PASS), describe(here) + describe(there)
    assert here.failure is not None
    assert here.failure.kind is FailureKind.CONNECT
