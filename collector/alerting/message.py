"""A message as a receiver gets it: the notice, the links that go with it, and what has to be said because it comes late.

As text for people, as JSON for programs (docs/reference/messages.md). Refuses to send and to know any channel's protocol. Pure.
Called by `collector.alerting.dispatcher` and the senders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from collector.alerting.ack_links import ACK_PATH, AckClaim, sign_ack_token
from collector.alerting.notice import Notice, NoticeKind
from collector.store_messages import MessageState, StoredMessage, Told
from collector.texts.figures import printable
from collector.texts.utc_text import instant_text, length_text

__all__ = ["LinkMaker", "Message", "payload_of", "subject_of", "text_of"]

ACK_LASTS: Final = timedelta(days=7)
LATE_AFTER: Final = timedelta(minutes=2)
_BEGINS: Final = (NoticeKind.FIRED, NoticeKind.UPGRADED)


@dataclass(frozen=True, slots=True)
class Message:
    """One notice for one channel, as it is sent now. The links are empty where nobody serves them.

    `key` is the same for each attempt and each channel: who got it before may let it go. `attempt` begins at 1.
    """

    notice: Notice
    channel: str
    attempt: int
    sent_at: datetime
    page_url: str = ""
    ack_url: str = ""
    earlier: tuple[Told, ...] = ()

    @property
    def key(self) -> str:
        """The notice's own key."""
        return self.notice.key

    @property
    def late_s(self) -> float:
        """How long after the event it is sent."""
        return max(0.0, (self.sent_at - self.notice.at).total_seconds())

    @property
    def is_first_word(self) -> bool:
        """Whether this receiver was never told that the incident began, although it should have been."""
        began = any(one.kind in _BEGINS and one.state is MessageState.DELIVERED for one in self.earlier)
        return self.notice.kind not in _BEGINS and bool(self.earlier) and not began


@dataclass(frozen=True, slots=True)
class LinkMaker:
    """Makes the links. `base_url` without a slash at its end; empty: nobody serves pages, and there are no links."""

    base_url: str = ""
    ack_key: bytes = b""

    def message(self, stored: StoredMessage, now: datetime) -> Message:
        """What is sent of a stored message now."""
        notice = stored.notice
        return Message(
            notice=notice,
            channel=stored.channel,
            attempt=stored.attempts + 1,
            sent_at=now,
            page_url=f"{self.base_url}/alerts/{notice.incident_id}" if self.base_url and notice.incident_id else "",
            ack_url=self._ack_url(stored, now),
            earlier=stored.earlier,
        )

    def _ack_url(self, stored: StoredMessage, now: datetime) -> str:
        """Where there is something to acknowledge: not of what is over or known."""
        notice = stored.notice
        if not (self.base_url and self.ack_key and notice.incident_id) or notice.kind not in _BEGINS:
            return ""
        # From the event on, so that a message tried again has the same link.
        claim = AckClaim(notice.incident_id, stored.channel, max(notice.at, now - ACK_LASTS / 2) + ACK_LASTS)
        return f"{self.base_url}{ACK_PATH}{sign_ack_token(claim, self.ack_key)}"


def subject_of(message: Message) -> str:
    """One line: how bad or what became of it, and what it is about; without line breaks and control characters."""
    notice = message.notice
    word = notice.severity.value.upper() if notice.kind in _BEGINS else notice.kind.value
    return printable(" ".join(f"[{word}] {notice.title}".split()))


def text_of(message: Message) -> str:
    """The whole message as plain text, a sentence a line."""
    return "\n".join(printable(line) for line in _lines(message))


def _lines(message: Message) -> Iterator[str]:
    notice = message.notice
    yield from notice.lines
    if message.is_first_word:
        yield "When it began this could not be delivered here."
    if message.late_s > LATE_AFTER.total_seconds():
        minutes = length_text(int(message.late_s) // 60)
        yield f"This message is late: it is of {instant_text(notice.at)} UTC and could not be delivered for {minutes}."
    if message.page_url:
        yield f"Page: {message.page_url}"
    if message.ack_url:
        yield f"Acknowledge: {message.ack_url}"
    yield f"Message {message.key}"


def payload_of(message: Message) -> Mapping[str, object]:
    """The message for programs, described in docs/reference/messages.md."""
    notice = message.notice
    return {
        "schema": "probe-fleet/message",
        "schema_version": 1,
        "key": message.key,
        "kind": notice.kind.value,
        "severity": notice.severity.value,
        "origin": notice.origin.value,
        "fleet": notice.fleet,
        "channel": message.channel,
        "incident_id": notice.incident_id,
        "incident_key": notice.incident_key,
        "title": notice.title,
        "lines": list(notice.lines),
        "text": text_of(message),
        "at": notice.at.isoformat(),
        "sent_at": message.sent_at.isoformat(),
        "attempt": message.attempt,
        "was_told_of_its_beginning": not message.is_first_word,
        "page_url": message.page_url,
        "acknowledge_url": message.ack_url,
        "facts": dict(notice.facts),
    }
