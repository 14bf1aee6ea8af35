"""Receivers of messages that behave badly in every way, and incidents that have something to say, for tests of messages."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from collector.alerting.message import Message
from collector.alerting.model import AlertEvent, EventKind, Incident
from collector.alerting.notice import Notice, Outbox
from collector.alerting.reading import acknowledge
from collector.alerting.words import notice_of
from collector.store import Store
from collector.store_alerts import AlertBook, add_event
from collector.store_session import Session
from slo.burn_tiers import Severity
from tests.alert_kit import FLEET, TARGET
from tests.posted import Posted

__all__ = [
    "ALL",
    "MailSink",
    "Posted",
    "Target",
    "end_incident",
    "know_incident",
    "mail_sink",
    "message_of",
    "put_notice",
    "target",
    "until",
    "upgrade_incident",
]

ALL = frozenset(one.value for one in Severity)
DEADLINE_S = 90.0
_MAIL_ANSWERS = {b"EHLO": b"250-sink\r\n250 AUTH PLAIN\r\n", b"AUTH": b"235 well\r\n", b"QUIT": b"221 bye\r\n"}


@dataclass(slots=True)
class Target:
    """Takes everything. `answer` with another status refuses; `manner` is what it does in place of answering."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    manner: str = ""
    taken: list[Posted] = field(default_factory=list)
    refused: list[Posted] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the messages that were taken, in their order."""
        return [str(one.json["kind"]) for one in self.taken]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Target

    def do_GET(self) -> None:
        """The same as a POST without a body."""
        self.do_POST()

    def do_POST(self) -> None:
        """Whatever is posted."""
        state = self.state
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        posted = Posted(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        if state.manner:
            state.refused.append(posted)
            getattr(self, state.manner)()
            self.close_connection = True
            return
        (state.taken if state.status < 300 else state.refused).append(posted)
        self.send_response(state.status)
        for name, value in {**state.headers, "Content-Length": "4"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"well")

    def silent(self) -> None:
        """Never answers, until the test is over."""
        self.state.released.wait()

    def endless(self) -> None:
        """An error whose body never ends."""
        self.send_response(500)
        self.end_headers()
        with suppress(OSError):
            while not self.state.released.is_set():
                self.wfile.write(b"and on " * 8_192)

    def dripping(self) -> None:
        """An answer that never ends, and never becomes much."""
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while not self.state.released.wait(0.05):
                self.wfile.write(b"and on ")

    def garbage(self) -> None:
        """Not HTTP."""
        self.wfile.write(b"\0\1\2 nonsense\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Who hangs up in the middle is expected here."""


@contextmanager
def target(port: int = 0) -> Iterator[Target]:
    """A receiver, on a free port where none is asked for."""
    state = Target()
    server = _Server(("127.0.0.1", port), type("Bound", (_Handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(slots=True)
class MailSink:
    """The letters that came, as they came; `port` on loopback."""

    port: int
    letters: list[str] = field(default_factory=list)


@asynccontextmanager
async def mail_sink() -> AsyncIterator[MailSink]:
    """A mail server that takes everything from everybody and delivers nothing. Source: RFC 5321, section 4.1.1."""
    letters: list[str] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        with suppress(OSError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                word = line[:4].upper().strip()
                if word == b"DATA":
                    writer.write(b"354 go on\r\n")
                    letters.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                writer.write(_MAIL_ANSWERS.get(word, b"250 well\r\n"))
                await writer.drain()
                if word == b"QUIT":
                    break
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield MailSink(server.sockets[0].getsockname()[1], letters)


async def end_incident(store: Store, incident: Incident, now: datetime, outbox: Outbox) -> None:
    """It is over, as the engine would record it."""

    async def work(session: Session) -> None:
        book = AlertBook(session, FLEET, TARGET)
        found = await book.incident(incident.incident_id)
        assert found is not None
        over = Incident(**{name: getattr(found, name) for name in found.__dataclass_fields__} | {"resolved_at": now})
        await book.set_incident(over)
        event = AlertEvent(0, f"{over.key}/resolved", over.incident_id, 0, EventKind.RESOLVED, over.severity, now)
        await add_event(session, event)
        await outbox.put(session, notice_of(over, event))

    await store.alerts.change(work)


async def upgrade_incident(store: Store, incident: Incident, severity: Severity, now: datetime, outbox: Outbox) -> None:
    """It has become worse, as the engine would record it."""

    async def work(session: Session) -> None:
        book = AlertBook(session, FLEET, TARGET)
        found = await book.incident(incident.incident_id)
        assert found is not None
        worse = Incident(**{name: getattr(found, name) for name in found.__dataclass_fields__} | {"severity": severity})
        await book.set_incident(worse)
        event = AlertEvent(
            0, f"{worse.key}/upgraded/{severity.value}", worse.incident_id, 0, EventKind.UPGRADED, severity, now
        )
        await add_event(session, event)
        await outbox.put(session, notice_of(worse, event))

    await store.alerts.change(work)


async def know_incident(store: Store, incident: Incident, now: datetime, outbox: Outbox) -> None:
    """Ada knows of it."""
    await acknowledge(store, incident.incident_id, by="Ada", how="console", now=now, outbox=outbox)


async def put_notice(store: Store, outbox: Outbox, notice: Notice) -> None:
    """Queue a notice in a transaction of its own."""

    async def work(session: Session) -> None:
        await outbox.put(session, notice)

    await store.alerts.change(work)


def message_of(notice: Notice, **more: object) -> Message:
    """The notice as it would be sent at once."""
    return Message(notice, "here", attempt=1, sent_at=notice.at, **more)  # type: ignore[arg-type]


async def until(holds: Callable[[], object], what: str) -> None:
    """Let everything go on until it holds."""
    give_up_s = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < give_up_s, f"not within {DEADLINE_S:g} s: {what}"
        await asyncio.sleep(0.01)
