"""Backups, read from the real stand-in: every day and every dump is verified, and what is ours is charged to nobody."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from console.stand_in import StandIn
from probes.evidence import EvidenceStore
from probes.execute import RunEnvironment
from probes.records import FailureKind, Outcome
from tests.journey_kit import open_target
from tests.scenario_kit import control, describe, run_built_in
from tests.system.behind.bucket import CANARY, DAY, DUMP, listing_of, today

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


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
