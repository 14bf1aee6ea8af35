"""The page of alerts: what is wrong stands there, whoever may operate says once that they know, and nobody else does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from collector.alerting.ack_links import ACK_PATH, AckClaim, sign_ack_token
from collector.alerting.confirm import outage_key
from collector.alerting.model import Incident
from collector.store import Store, open_store
from collector.web.server import open_pages
from probes.messages import Address
from probes.records import FailureKind, Run, RunIdentity
from tests.alert_kit import FLEET, TARGET, KeptNotices, open_an_incident
from tests.clock import JumpingClock
from tests.sample_runs import make_run, make_step
from tests.store_kit import NOW, deliver, run_entry
from tests.web_kit import READ, WRITE, Pages, open_site, site_over

STRANGER = "status.example"
KEY = b"k" * 32


@asynccontextmanager
async def open_alerts(folder: Path) -> AsyncIterator[tuple[Pages, Store, Incident, KeptNotices]]:
    """Pages of a fleet with one incident, three minutes old."""
    clock, told = JumpingClock(NOW + timedelta(minutes=3)), KeptNotices()
    async with open_store(str(folder / "store.db")) as store:
        incident = await open_an_incident(store, NOW)
        site = site_over(
            store,
            clock=clock,
            fleet=FLEET,
            outbox=told,
            ack_key=KEY,
            read_tokens={"desk": READ},
            operate_tokens={"oncall": WRITE},
        )
        async with (
            open_pages(site, "127.0.0.1:0") as url,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        ):
            yield Pages(url, session), store, incident, told


async def test_with_no_alert_the_page_says_that_nothing_is_wrong(tmp_path: Path) -> None:
    """And links further back."""
    async with open_site(tmp_path) as pages:
        page = await pages.ask("/alerts")
        assert page.status == 200
        assert "Nothing is wrong" in page.text


async def test_what_is_wrong_stands_there_with_what_broke_where_and_since_when(tmp_path: Path) -> None:
    """On the page of all and on its own, with links to the line and to the runs."""
    async with open_alerts(tmp_path) as (pages, _, incident, _):
        page = await pages.ask("/alerts")
        broken = "api-health: timeout: no answer within 10 s"
        for words in ("API uptime 99.9 %", broken, "eu-west, us-east", "2026-03-01 12:00 UTC"):
            assert words in page.text
        own = await pages.ask(f"/alerts/{incident.incident_id}")
        assert 'href="/levels/api-uptime"' in own.text
        assert 'href="/runs/0123456789abcdef0123456789"' in own.text
        assert "Nobody knows yet" in own.text


async def test_what_another_region_found_is_linked_as_evidence(tmp_path: Path) -> None:
    """A run out of turn that it was asked for; neither an older one, nor one of another region, nor one that was due anyway."""
    async with open_alerts(tmp_path) as (pages, store, incident, _):
        outage = outage_key(FLEET, TARGET, "api-health", NOW)
        asked_at = NOW + timedelta(seconds=20)
        await store.alerts.note_asked(outage, "us-east", "request", now=asked_at)
        await store.alerts.note_asked(outage_key(FLEET, "other", "api-health", NOW), "eu-west", "request", now=asked_at)
        waiting = await pages.ask(f"/alerts/{incident.incident_id}")
        assert "no such run is stored" in waiting.text
        made = [
            looked_at(asked_at + timedelta(seconds=after_s), region, attempt)
            for after_s, region, attempt in (
                (-60, "us-east", 1),
                (3, "eu-west", 1),
                (4, "us-east", 0),
                (5, "us-east", 1),
            )
        ]
        for number, run in enumerate(made):
            probe = Address(FLEET, run.identity.region, run.identity.probe)
            await store.file([deliver([run_entry(run)], probe=probe, first_seq=number + 1)])
        told = json.loads((await pages.ask(f"/api/v1/alerts/{incident.incident_id}")).text)
        (found,) = told["confirmations"]
        assert (found["region"], found["scenario"]) == ("us-east", "api-health")
        assert datetime.fromisoformat(found["run"]["slot_at"]) == asked_at + timedelta(seconds=5)
        assert (found["run"]["outcome"], found["run"]["attempt"]) == ("fail", 1)
        whole = json.loads((await pages.ask(found["run"]["href"])).text)
        assert whole["run_id"] == made[-1].run_id
        for path in ("/alerts", f"/alerts/{incident.incident_id}"):
            text = (await pages.ask(path)).text
            said = text.partition("to look at once, us-east ran api-health")[2].partition("</li>")[0]
            assert "timeout at api-health" in said
            lead = await pages.ask(said.partition('href="')[2].partition('"')[0].replace("&amp;", "&"))
            assert lead.headers["Location"] == f"/runs/{made[-1].run_id}"


def looked_at(slot_at: datetime, region: str, attempt: int) -> Run:
    """A run that found the API away."""
    number = int((slot_at - NOW).total_seconds()) + 1000
    step = make_step("api-health", kind=FailureKind.TIMEOUT)
    run = replace(make_run(step, scenario="api-health", number=number), target=TARGET)
    identity = RunIdentity(FLEET, region, "probe-1", "api-health", slot_at, attempt)
    return replace(run, identity=identity, scheduled_at=slot_at, started_at=slot_at)


async def test_a_person_says_once_that_they_know(tmp_path: Path) -> None:
    """Who it was and when is kept, people are told, and saying it again changes nothing."""
    async with open_alerts(tmp_path) as (pages, store, incident, told):
        form = await pages.ask("/alerts")
        path = f"/alerts/{incident.incident_id}/acknowledge"
        given = {"csrf": form.csrf(), "by": "Ada <b>", "note": "on it"}
        assert (await pages.ask(path, "POST", data=given)).status == 303
        assert (await pages.ask(path, "POST", data={**given, "by": "Bob"})).status == 303
        found = await store.alerts.incident(incident.incident_id)
        assert found is not None
        assert (found.acknowledged_by, found.acknowledged_how, found.acknowledged_note) == ("Ada <b>", "page", "on it")
        assert found.acknowledged_at == NOW + timedelta(minutes=3)
        assert [notice.kind.value for notice in told.notices] == ["acknowledged"]
        page = await pages.ask(f"/alerts/{incident.incident_id}")
        assert "Ada &lt;b&gt;" in page.text
        assert "Bob" not in page.text


@pytest.mark.parametrize(
    ("token", "status"),
    [("", 303), (READ, 403), (WRITE, 303), ("wrong", 401)],
    ids=["nobody", "reads", "operates", "wrong"],
)
async def test_only_who_may_operate_can_say_it(tmp_path: Path, token: str, status: int) -> None:
    """A token that reads is not enough; nobody at all is sent to the login."""
    async with open_alerts(tmp_path) as (pages, store, incident, _):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        path = f"/alerts/{incident.incident_id}/acknowledge"
        answer = await pages.ask(path, "POST", host=STRANGER, headers=headers, data={"by": "Eve"})
        assert answer.status == status
        found = await store.alerts.incident(incident.incident_id)
        assert found is not None
        assert (found.acknowledged_by == "Eve") == (token == WRITE)


async def test_without_the_proof_of_a_form_nothing_is_acknowledged(tmp_path: Path) -> None:
    """Another site cannot have the browser of the person on call do it."""
    async with open_alerts(tmp_path) as (pages, store, incident, _):
        form = await pages.ask("/alerts")
        path = f"/alerts/{incident.incident_id}/acknowledge"
        assert (await pages.ask(path, "POST", data={"by": "Eve"})).status == 403
        given = {"by": "Eve", "csrf": form.csrf()}
        foreign = {"Origin": "https://evil.example"}
        assert (await pages.ask(path, "POST", data=given, headers=foreign)).status == 403
        assert (await pages.ask(path)).status == 405
        found = await store.alerts.incident(incident.incident_id)
        assert found is not None
        assert found.acknowledged_at is None


@pytest.mark.parametrize("path", ["/alerts/999", "/alerts/99999999999999999999", "/alerts/x", "/alerts/-1"])
async def test_an_alert_that_is_none_is_not_found(tmp_path: Path, path: str) -> None:
    """Whatever its number."""
    async with open_alerts(tmp_path) as (pages, _, _, _):
        assert (await pages.ask(path)).status == 404


@pytest.mark.parametrize("days", ["0", "-1", "x", "401", "1e3", "٣", "9999999999"])
async def test_a_history_of_no_days_is_refused(tmp_path: Path, days: str) -> None:
    """With what it can be."""
    async with open_site(tmp_path) as pages:
        assert (await pages.ask(f"/alerts?days={days}")).status == 400


def link(incident: Incident, *, hours: int = 1, key: bytes = KEY) -> str:
    """The path of a signed link."""
    claim = AckClaim(incident.incident_id, "mail", NOW + timedelta(hours=hours))
    return f"{ACK_PATH}{sign_ack_token(claim, key)}"


async def test_looking_at_a_signed_link_acknowledges_nothing_and_its_button_does(tmp_path: Path) -> None:
    """Mail scanners open links; a person presses the button, from wherever they are, without a token."""
    async with open_alerts(tmp_path) as (pages, store, incident, told):
        page = await pages.ask(link(incident), host=STRANGER)
        assert page.status == 200
        assert "API uptime 99.9 %" in page.text
        found = await store.alerts.incident(incident.incident_id)
        assert found is not None
        assert found.acknowledged_at is None
        done = await pages.ask(link(incident), "POST", host=STRANGER, data={"by": "Ada"})
        assert done.status == 200
        assert "Acknowledged by Ada" in done.text
        found = await store.alerts.incident(incident.incident_id)
        assert found is not None
        assert (found.acknowledged_by, found.acknowledged_how) == ("Ada", "link")
        assert len(told.notices) == 1


async def test_a_link_that_does_not_hold_is_refused_in_words(tmp_path: Path) -> None:
    """One of somebody else's, one that was changed, one that has ended; and it opens nothing else."""
    async with open_alerts(tmp_path) as (pages, store, incident, _):
        good = link(incident)
        for path in (
            link(incident, hours=0),
            link(incident, key=b"x" * 32),
            good[:-1],
            good + "A",
            "/ack/x",
            "/ack/%00",
        ):
            answer = await pages.ask(path, "POST", host=STRANGER, data={"by": "Eve"})
            assert answer.status == 403, path
        found = await store.alerts.incident(incident.incident_id)
        assert found is not None
        assert found.acknowledged_at is None


async def test_without_a_key_there_are_no_links(tmp_path: Path) -> None:
    """Nothing is then verified against an empty one."""
    async with open_site(tmp_path) as pages:
        empty = sign_ack_token(AckClaim(1, "mail", NOW + timedelta(days=9999)), b"")
        assert (await pages.ask(f"{ACK_PATH}{empty}", host=STRANGER)).status == 404
