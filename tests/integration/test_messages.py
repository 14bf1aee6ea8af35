"""Messages on their way: dispatcher, webhook, apprise, mail, the sign of life; against receivers that behave or do not."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from collector.alerting import senders, senders_apprise
from collector.alerting.ack_links import verify_ack_token
from collector.alerting.channels import Channel, sender_of
from collector.alerting.dispatcher import GIVE_UP_AFTER, Dispatcher
from collector.alerting.heartbeat import Heartbeat
from collector.alerting.message import Message
from collector.alerting.outbox import MessageOutbox, ack_key_of
from collector.alerting.senders import SendError
from collector.store import Store, open_store
from probes.errors import OperatorError
from probes.http_message import Headers
from probes.retry_after import retry_after_s
from tests.alert_kit import KeptNotices, open_an_incident
from tests.clock import JumpingClock
from tests.fleet_kit import children_of
from tests.free_ports import free_port
from tests.message_kit import ALL, Target, end_incident, know_incident, mail_sink, message_of, target, until
from tests.store_kit import NOW

OUTBOX = MessageOutbox({"hook": ALL})
BASE = "https://fleet.example"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    async with open_store(str(tmp_path / "some.db"), survives_power_cut=False) as found:
        yield found


@pytest.fixture
def there() -> Iterator[Target]:
    """A receiver."""
    with target() as found:
        yield found


@pytest.fixture
async def message(store: Store) -> Message:
    """What is said when an incident begins."""
    kept = KeptNotices()
    await open_an_incident(store, NOW, outbox=kept)
    return message_of(kept.notices[0])


def hook(url: str, name: str = "hook", *, signing_key: str = "") -> Channel:
    """A webhook."""
    return Channel(name, "webhook", sender_of("webhook", url, where="test", signing_key=signing_key))


def dispatcher_of(store: Store, clock: JumpingClock, *channels: Channel, name: str = "one") -> Dispatcher:
    """Sends through these channels; leaves nothing to chance."""
    return Dispatcher(store, channels, name=name, clock=clock, base_url=BASE, chance=lambda: 1.0)


async def reason_of(kind: str, url: str, message: Message) -> str:
    """Why an address does not take a message."""
    with pytest.raises(SendError) as raised:
        await sender_of(kind, url, where="test").send(message)
    return raised.value.what


async def test_a_webhook_gets_what_the_reference_says_with_a_key_and_a_signature(store: Store, there: Target) -> None:
    """The payload has the incident's words and links; whoever has the secret can tell that it is ours and not an old one."""
    incident = await open_an_incident(store, NOW, outbox=OUTBOX)
    clock = JumpingClock(NOW)
    await dispatcher_of(store, clock, hook(f"{there.url}/in?a=b", signing_key="a secret")).tick()
    (posted,) = there.taken
    assert posted.path == "/in?a=b"
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["idempotency-key"] == posted.key == f"{incident.key}/fired"
    fields = dict(part.split("=") for part in posted.headers["x-probe-fleet-signature"].split(","))
    signed = f"{fields['t']}.".encode() + posted.body
    assert fields == {"t": str(int(NOW.timestamp())), "v1": hmac.new(b"a secret", signed, sha256).hexdigest()}
    said = posted.json
    assert (said["schema"], said["schema_version"], said["kind"], said["severity"]) == (
        "probe-fleet/message",
        1,
        "fired",
        "critical",
    )
    assert said["page_url"] == f"{BASE}/alerts/{incident.incident_id}"
    assert "api-health at api-health: timeout: no answer within 10 s." in said["lines"]  # type: ignore[operator]
    token = str(said["acknowledge_url"]).removeprefix(f"{BASE}/ack/")
    claim = verify_ack_token(token, await ack_key_of(store), NOW)
    assert (claim.incident_id, claim.channel) == (incident.incident_id, "hook")


async def test_a_receiver_that_is_down_for_an_hour_loses_nothing_and_hears_it_in_order(store: Store) -> None:
    """What happened meanwhile arrives when it is back, each once, the beginning before the end, and says that it is late."""
    clock = JumpingClock(NOW)
    port = free_port()
    sending = dispatcher_of(store, clock, hook(f"http://127.0.0.1:{port}"))
    first = await open_an_incident(store, NOW, outbox=OUTBOX)
    for minute in range(60):
        await sending.tick()
        if minute == 20:
            await know_incident(store, first, clock.now(), OUTBOX)
            await open_an_incident(store, clock.now(), key="second", outbox=OUTBOX)
        if minute == 40:
            await end_incident(store, first, clock.now(), OUTBOX)
        clock.advance(60)
    await sending.tidy()
    assert sending.status() == {"hook": 4}
    assert sending.trouble().startswith("a critical message for the channel hook waits since 12:00 UTC")
    with target() as there:
        again = dispatcher_of(store, clock, hook(there.url))
        for _ in range(10):
            await again.tick()
            clock.advance(60)
        keys = [one.key for one in there.taken]
        assert sorted(keys) == sorted(set(keys))
        assert len(keys) == 4
        of_first = [one for one in there.taken if one.json["incident_key"] == first.key]
        assert [one.json["kind"] for one in of_first] == ["fired", "acknowledged", "resolved"]
        assert "This message is late: it is of 2026-03-01 12:00 UTC" in str(of_first[0].json["text"])
        await again.tidy()
        assert again.trouble() == ""


async def test_pages_are_tried_for_three_days_and_the_end_of_a_lost_one_says_so(store: Store) -> None:
    """Nothing is given up sooner; what comes after it is told sensibly."""
    clock = JumpingClock(NOW)
    sending = dispatcher_of(store, clock, hook(f"http://127.0.0.1:{free_port()}"))
    incident = await open_an_incident(store, NOW, outbox=OUTBOX)
    clock.advance(GIVE_UP_AFTER[incident.severity].total_seconds())
    await sending.tick()
    await sending.tidy()
    assert sending.status() == {"hook": 1}
    clock.advance(3_600)
    await sending.tidy()
    assert sending.status() == {"hook": 0}
    await end_incident(store, incident, clock.now(), OUTBOX)
    with target() as there:
        await dispatcher_of(store, clock, hook(there.url)).tick()
        (posted,) = there.taken
    assert posted.json["kind"] == "resolved"
    assert posted.json["was_told_of_its_beginning"] is False
    assert "When it began this could not be delivered here." in str(posted.json["text"])


async def test_a_receivers_wish_to_wait_is_respected_and_pauses_grow(store: Store, there: Target) -> None:
    """`Retry-After` counts where it is longer; without it each pause is twice the one before, up to five minutes."""
    clock = JumpingClock(NOW)
    there.status, there.headers = 429, {"Retry-After": "600"}
    sending = dispatcher_of(store, clock, hook(there.url))
    await open_an_incident(store, NOW, outbox=OUTBOX)
    tried_s = []
    for second in range(1_500):
        before = len(there.refused)
        if second == 300:
            there.headers = {}
        await sending.tick()
        if len(there.refused) > before:
            tried_s.append(second)
        clock.advance(1)
    assert tried_s == [0, 600, 610, 630, 670, 750, 910, 1210]


def test_a_wish_to_wait_may_be_a_date_and_never_lasts_for_more_than_an_hour() -> None:
    """By the receiver's own clock; what makes no sense is no wish."""

    def asked(text: str, date: str = "Sun, 01 Mar 2026 12:00:00 GMT") -> float:
        return retry_after_s(Headers((("Retry-After", text), ("Date", date))))

    assert asked("120") == 120
    assert asked("Sun, 01 Mar 2026 12:01:30 GMT") == 90
    assert asked("99999999") == asked("Sun, 01 Mar 2037 12:00:00 GMT") == 3_600
    nonsense = ["", "-5", "1e9", "soon", "Sun, 01 Mar 2026 11:00:00 GMT", "9" * 400, "²"]
    assert [asked(text) for text in nonsense] == [0.0] * len(nonsense)
    assert asked("Sun, 01 Mar 2026 12:01:30 GMT", "never") == 0.0


@pytest.mark.parametrize("manner", ["silent", "endless", "garbage"])
async def test_a_hostile_receiver_delays_nobody_else(
    store: Store, there: Target, manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others have everything while it still holds its first message; at the deadline it is left, and tried again later."""
    monkeypatch.setattr(senders, "DEADLINE_S", 6.0)  # on a busy host, too, the others need less
    clock = JumpingClock(NOW)
    outbox = MessageOutbox({"hook": ALL, "bad": ALL})
    with target() as bad:
        bad.manner = manner
        sending = dispatcher_of(store, clock, hook(bad.url, "bad"), hook(there.url))
        for number in range(6):
            await open_an_incident(store, NOW, key=f"k{number}", outbox=outbox)
        trying = asyncio.create_task(sending.tick())
        await until(lambda: len(there.taken) == 6, "the well-behaved one has everything")
        if manner == "silent":
            assert not trying.done()
        await trying
        await sending.tidy()
        assert sending.status() == {"bad": 6, "hook": 0}


async def test_nothing_is_sent_twice_by_two_collectors(store: Store, there: Target, tmp_path: Path) -> None:
    """Both try at once, on one database, again and again."""
    async with open_store(str(tmp_path / "some.db")) as second:
        clock = JumpingClock(NOW)
        both = [
            dispatcher_of(one, clock, hook(there.url), name=name) for one, name in ((store, "one"), (second, "two"))
        ]
        for number in range(12):
            await open_an_incident(store, NOW, key=f"k{number}", outbox=OUTBOX)
        for _ in range(4):
            await asyncio.gather(*(one.tick() for one in both))
            clock.advance(1)
    assert sorted(one.key for one in there.taken) == sorted(f"k{number}/fired" for number in range(12))


async def test_apprise_posts_through_its_own_addresses(
    message: Message, there: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`json://` as an example of a hundred services; the message carries its key; from whatever folder we were started in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "apprise.py").write_text("raise SystemExit('not this one')\n", encoding="utf-8")
    await sender_of("apprise", there.url.replace("http://", "json://") + "/in", where="test").send(message)
    (posted,) = there.taken
    assert posted.json["title"] == "[CRITICAL] API uptime 99.9 %"
    assert posted.json["type"] == "failure"
    assert f"Message {message.key}" in str(posted.json["message"])


async def test_apprise_mails(message: Message) -> None:
    """A letter arrives at a mail server, readable, with its subject."""
    async with mail_sink() as sink:
        url = f"mailto://fleet:a-password@127.0.0.1:{sink.port}?mode=insecure&from=fleet@example.org&to=on-call@example.org"
        await sender_of("apprise", url, where="test").send(message)
    (letter,) = sink.letters
    assert "Subject: [CRITICAL] API uptime 99.9 %" in letter
    assert "on-call@example.org" in letter
    assert "a-password" not in letter


async def test_apprise_is_ended_at_the_deadline(
    message: Message, there: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver whose answer never ends holds nobody for longer; the process is gone afterwards."""
    there.manner = "dripping"
    deadline_s = 3.0
    url = there.url.replace("http://", "json://")
    while True:
        monkeypatch.setattr(senders_apprise, "DEADLINE_S", deadline_s)
        reason = await reason_of("apprise", f"{url}/secret-word?rto=600", message)
        assert reason == f"the receiver has not answered within {deadline_s:g} s"
        if there.refused:  # on a busy host the process may have had no time to ask
            break
        deadline_s *= 2
    await until(lambda: not children_of(os.getpid(), "apprise_process"), "the process is gone")


async def test_secrets_of_addresses_are_in_no_error(message: Message, there: Target) -> None:
    """Users, passwords, tokens in paths and queries: whatever the receiver and apprise say about them."""
    there.status = 403
    host = there.url.removeprefix("http://")
    said = [
        await reason_of("webhook", f"http://ada:pa55word@{host}/T0KEN-in-path?k=T0KEN-in-query", message),
        await reason_of("webhook", f"http://ada:pa55word@127.0.0.1:{free_port()}/T0KEN-in-path", message),
        await reason_of("apprise", f"json://ada:pa55word@{host}/T0KEN-in-path", message),
        await reason_of("apprise", "nonsense://ada:pa55word@T0KEN-in-host/", message),
        await reason_of("alertmanager", f"http://ada:pa55word@{host}/T0KEN-in-path", message),
    ]
    assert "403" in said[0]
    text = json.dumps(said)
    for secret in "pa55word", "T0KEN":
        assert secret not in text
    for kind, url in (("webhook", "ftp://ada:pa55word@T0KEN/"), ("apprise", "T0KEN"), ("webhook", "http://[T0KEN")):
        with pytest.raises(OperatorError) as raised:
            sender_of(kind, url, where="alerts.channels.x")
        assert "T0KEN" not in str(raised.value)
        assert raised.value.where == "alerts.channels.x"
    # The password still reached the receiver as what it is for.
    assert there.refused[0].headers["authorization"].startswith("Basic ")


async def test_the_sign_of_life_is_given_only_while_all_is_well(there: Target) -> None:
    """An address that fails is asked again, and is no outage of ours."""
    clock = JumpingClock(NOW)
    trouble = ""
    heart = Heartbeat(f"{there.url}/ping/1", 60.0, lambda: trouble, clock=clock)
    assert await heart.beat()
    there.status = 500
    assert await heart.beat()
    there.status = 200
    trouble = "alerts are not decided"
    assert not await heart.beat()
    trouble = ""
    assert await heart.beat()
    assert [one.path for one in there.taken] == ["/ping/1", "/ping/1"]
    assert len(there.refused) == 1


async def test_a_sign_of_life_comes_every_so_often(there: Target) -> None:
    """In the pauses of the settings while well; soon after it is well again."""
    clock = JumpingClock(NOW)
    troubles = iter(["not yet"] * 3 + [""] * 100)
    heart = Heartbeat(there.url, 60.0, lambda: next(troubles), clock=clock)
    running = asyncio.create_task(heart.run())
    await until(lambda: len(there.taken) >= 3, "three beats")
    running.cancel()
    await asyncio.wait({running})
    assert clock.slept_s[:5] == [5.0, 5.0, 5.0, 60.0, 60.0]


async def test_a_queue_that_nobody_looks_after_is_trouble(store: Store) -> None:
    """Before the first look, and a quarter of an hour after the last."""
    clock = JumpingClock(NOW)
    sending = dispatcher_of(store, clock)
    assert sending.trouble()
    await sending.tidy()
    assert not sending.trouble()
    clock.advance(timedelta(minutes=16).total_seconds())
    assert sending.trouble()


async def test_the_dispatcher_runs_by_itself_and_ends_when_it_is_told_to(there: Target, tmp_path: Path) -> None:
    """It sends what is due without being asked for each message."""
    path = tmp_path / "some.db"
    async with open_store(str(path)) as store:
        await open_an_incident(store, NOW, outbox=OUTBOX)
        running = asyncio.create_task(dispatcher_of(store, JumpingClock(NOW), hook(there.url)).run())
        await until(lambda: there.taken, "it is delivered")
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
