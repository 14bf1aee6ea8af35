"""One request and its answer on an open connection, and the time of each of its phases.

Sends the body as fast as the kernel takes it while listening for an answer: a target that refuses early (413 and
close) is heard, and what it said is the answer even if the kernel then reports a reset. `send` ends when the last byte has left
this host (the kernel's departure stamp for bulk bodies), or when the answer made the rest pointless. Refuses to
connect, to follow and to judge a status. Called by `probes.http`.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
import time
from collections import deque
from collections.abc import Callable

from probes.http_answer import AnswerReader
from probes.http_body import FileRange, Segment
from probes.http_deadline import Deadline
from probes.http_failures import ExchangeFailed, lost_failure
from probes.http_line import Arrival, Line
from probes.http_phases import FlowMeter, Phase, PhaseLedger
from probes.http_secure import Secure
from probes.records import Failure, FailureKind, UploadFlow
from probes.tls import tls_failure

__all__ = ["ExchangeOnLine"]

_BULK_FROM_BYTES = 16_384
_CIPHER_PIECE_BYTES = 262_144
_BYTES_PER_TURN = 2_097_152
_BROKEN_PIPE = (errno.EPIPE, errno.ECONNRESET)


class ExchangeOnLine:
    """Runs once. Afterwards `reader` holds the answer, `sent_bytes` and `flow` what was sent."""

    __slots__ = (
        "_accepted_ns", "_answering", "_body_bytes", "_cipher", "_cipher_plain_bytes", "_deadline", "_done",
        "_finished", "_head_left", "_last_arrival_ns", "_ledger", "_line", "_on_sent", "_repeated_before", "_secure",
        "_segments", "_send_ended_ns", "_send_error", "_sending", "meter", "reader", "sent_bytes",
    )  # fmt: skip

    def __init__(
        self,
        line: Line,
        secure: Secure | None,
        reader: AnswerReader,
        ledger: PhaseLedger,
        deadline: Deadline,
        on_sent: Callable[[int, int], None] | None = None,
    ) -> None:
        self._line = line
        self._secure = secure
        self.reader = reader
        self._ledger = ledger
        self._deadline = deadline
        self._on_sent = on_sent
        self._segments: deque[Segment] = deque()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head_left = 0
        self._body_bytes = 0
        self._cipher = memoryview(b"")
        self._cipher_plain_bytes = 0
        self._sending = True
        self._answering = False
        self._finished = False
        self._send_error: OSError | None = None
        self._accepted_ns = 0
        self._send_ended_ns: int | None = None
        self._repeated_before = 0
        self._last_arrival_ns = 0
        self.sent_bytes = 0
        self.meter: FlowMeter | None = None

    async def run(self, head: bytes, segments: tuple[Segment, ...], body_bytes: int) -> None:
        """Sends and receives; the ledger is complete either way.

        Raises ExchangeFailed, DeadlinePassed, BodyUnreadableError or what `on_sent` raises.
        """
        self._head_left = len(head)
        self._body_bytes = body_bytes
        if body_bytes + len(head) <= _BULK_FROM_BYTES and all(isinstance(s, bytes) for s in segments):
            self._segments.append(head + b"".join(s for s in segments if isinstance(s, bytes)))
        else:
            self._segments.append(head)
            self._segments.extend(segments)
            self._line.prepare_bulk()
        now_ns = time.monotonic_ns()
        self._ledger.enter(Phase.SEND, now_ns)
        if body_bytes:
            self.meter = FlowMeter(now_ns)
        self._line.own(self)
        try:
            self._pump()
            await self._deadline.wait(self._done)
        finally:
            self._line.watch_writable(on=False)
            self._line.own(None)
            self._close_books()
            self.reader.release()

    @property
    def is_whole(self) -> bool:
        """All of the request was sent: only then may the connection be used again."""
        return not self._sending and self._send_error is None and not self._segments

    def flow(self) -> UploadFlow | None:
        """How the body flowed, if there was one."""
        if self.meter is None:
            return None
        return self.meter.flow(self._send_ended_ns or self._ledger.cursor_ns)

    # Sending.

    def on_writable(self) -> None:
        """The kernel takes bytes again."""
        self._pump()

    def on_departed(self, at_ns: int) -> None:
        """The last byte of a bulk body left this host."""
        if self._accepted_ns and not self._answering:
            self._end_send(at_ns)

    def _pump(self) -> None:
        try:
            if self._secure is None:
                self._pump_plain()
            else:
                self._pump_secure(self._secure)
        except OSError as error:
            if isinstance(error, ssl.SSLError) or error.errno in _BROKEN_PIPE:
                # The other side is gone. It may have said why before it went: reading tells.
                self._send_error = error
                self._stop_sending()
            else:
                self._fail(ExchangeFailed(lost_failure(error, "while the request was being sent")))
        except Exception as error:  # noqa: BLE001 - a callback of the loop hands its errors to the one who waits
            self._fail(error)

    def _pump_plain(self) -> None:
        room = _BYTES_PER_TURN
        while self._segments and room > 0:
            segment = self._segments[0]
            last = len(self._segments) == 1
            before_ns = time.monotonic_ns()
            if isinstance(segment, FileRange):
                taken = self._line.send_file(segment)
            elif last:
                taken = self._line.send_last(segment)
            else:
                taken = self._line.send(segment, more=True)
            if not taken:
                break
            self._took(taken, before_ns)
            room -= taken
            if isinstance(segment, FileRange) and taken < segment.length:
                self._segments[0] = FileRange(segment.fd, segment.offset + taken, segment.length - taken)
            elif isinstance(segment, bytes) and taken < len(segment):
                self._segments[0] = segment[taken:]
            else:
                self._segments.popleft()
        self._after_pump(blocked=bool(self._segments))

    def _pump_secure(self, secure: Secure) -> None:
        room = _BYTES_PER_TURN
        while room > 0:
            if not self._cipher:
                plain = self._next_plain()
                if not plain:
                    break
                self._cipher_plain_bytes = len(plain)
                self._cipher = memoryview(secure.encrypt(plain))
            last = not self._segments
            before_ns = time.monotonic_ns()
            taken = self._line.send_last(self._cipher) if last else self._line.send(self._cipher)
            if not taken:
                break
            room -= taken
            self._cipher = self._cipher[taken:]
            if not self._cipher:
                self._took(self._cipher_plain_bytes, before_ns)
            elif self.meter is not None:
                self.meter.took(0, time.monotonic_ns())
        self._after_pump(blocked=bool(self._segments or self._cipher))

    def _next_plain(self) -> bytes:
        """The next piece of plaintext to encrypt, taken off the segments."""
        if not self._segments:
            return b""
        segment = self._segments[0]
        if isinstance(segment, bytes):
            plain = segment[:_CIPHER_PIECE_BYTES]
            rest: Segment | None = segment[_CIPHER_PIECE_BYTES:] or None
        else:
            plain = segment.read(_CIPHER_PIECE_BYTES)
            left = segment.length - len(plain)
            rest = FileRange(segment.fd, segment.offset + len(plain), left) if left else None
        if rest is None:
            self._segments.popleft()
        else:
            self._segments[0] = rest
        return plain

    def _took(self, taken: int, before_ns: int) -> None:
        now_ns = time.monotonic_ns()
        self._accepted_ns = now_ns
        self.sent_bytes += taken
        if not self._line.can_stamp:
            self._ledger.doubt(now_ns - before_ns)
        if self.meter is None:
            return
        of_head = min(self._head_left, taken)
        self._head_left -= of_head
        self.meter.took(taken - of_head, now_ns)
        if self._on_sent is not None and taken > of_head:
            self._on_sent(self.meter.body_bytes, self._body_bytes)

    def _after_pump(self, *, blocked: bool) -> None:
        if blocked:
            self._accepted_ns = 0
            self._line.watch_writable(on=True)
            return
        self._sending = False
        self._line.watch_writable(on=False)
        departed_ns = self._line.departed_ns()
        if departed_ns is not None:
            self._end_send(departed_ns)
        elif not self._line.can_stamp and self._accepted_ns:
            self._end_send(self._accepted_ns)

    def _stop_sending(self) -> None:
        """Gives up the rest of the request."""
        if self._sending:
            self._sending = False
            self._segments.clear()
            self._cipher = memoryview(b"")
            self._line.watch_writable(on=False)
            if self._send_ended_ns is None:
                self._end_send(time.monotonic_ns())

    def _end_send(self, at_ns: int) -> None:
        if self._send_ended_ns is None or at_ns > self._send_ended_ns:
            self._send_ended_ns = at_ns
            if self.meter is not None:
                self._repeated_before = self._line.repeated_segments()
        if not self._answering:
            self._ledger.phase = Phase.WAIT

    # Receiving.

    def on_bytes(self, arrival: Arrival) -> None:
        """Bytes of the answer, or TLS records that may hold some."""
        if self._done.done():
            return
        self._ledger.stamped = self._ledger.stamped and arrival.stamped
        data, ended = arrival.data, False
        if self._secure is not None:
            try:
                data, ended = self._secure.decrypt(data)
            except ssl.SSLError as error:
                self._ledger.charge(self._ledger.phase, arrival.at_ns)
                self._fail(ExchangeFailed(tls_failure(error, self._line.address.host, self._line.address.host)))
                return
            self._answer_key_update(self._secure)
        if data:
            self._take_answer(data, arrival)
        if ended and not self._done.done():
            self.on_lost(None)

    def _take_answer(self, data: bytes, arrival: Arrival) -> None:
        reader = self.reader
        if not self._answering:
            self._ledger.doubt(min(arrival.blind_ns, max(0, arrival.at_ns - self._ledger.cursor_ns)))
            self._begin_answer(arrival.at_ns)
        self._last_arrival_ns = arrival.at_ns
        reader.feed(data)
        if reader.problem:
            self._fail(ExchangeFailed(Failure(FailureKind.CONNECT, reader.problem, "malformed_answer")))
        elif reader.too_large:
            msg = f"the answer is larger than the {len(reader.body)} bytes that this request accepts"
            self._fail(ExchangeFailed(Failure(FailureKind.ASSERTION, msg, "answer_too_large")))
        elif reader.complete:
            self._finish()
        elif self._sending and reader.refusal:
            self._stop_sending()
        elif reader.between:
            # Only an interim answer so far: the final one has not begun.
            self._answering = False
            self._ledger.phase = Phase.SEND if self._send_ended_ns is None else Phase.WAIT

    def _begin_answer(self, arrived_ns: int) -> None:
        """The first byte: closes `send` (at the departure of the last byte, if that was earlier) and `wait`."""
        self._answering = True
        if self._sending:
            self._ledger.charge(Phase.SEND, arrived_ns)
        else:
            bulk = self.meter is not None
            if bulk or self._send_ended_ns is None:
                departed_ns = self._line.departed_ns() or self._accepted_ns or arrived_ns
                self._send_ended_ns = max(departed_ns, self._send_ended_ns or 0)
            self._ledger.charge(Phase.SEND, min(self._send_ended_ns, arrived_ns))
            if bulk and self._line.repeated_segments() > self._repeated_before:
                # What left had to be sent again: the last byte may have arrived at any time until the answer.
                self._ledger.doubt(arrived_ns - self._ledger.cursor_ns)
            self._ledger.charge(Phase.WAIT, arrived_ns)
        self._ledger.phase = Phase.RECEIVE

    def _answer_key_update(self, secure: Secure) -> None:
        said = secure.take_outgoing()
        if said and not self._cipher:
            try:
                self._line.send(said)
            except OSError:
                return  # reading tells

    def on_lost(self, error: OSError | None) -> None:
        """The end of the stream, proper or not."""
        refused_early = self.reader.refusal and not self.is_whole
        if self.reader.end() or refused_early:
            self._finish()
            return
        now_ns = time.monotonic_ns()
        self._settle_send(now_ns)
        self._ledger.charge(self._ledger.phase, now_ns)
        self._fail(ExchangeFailed(lost_failure(self._why(error), self._when())))

    def _why(self, error: OSError | None) -> OSError | None:
        if self._send_error is not None and not isinstance(self._send_error, ssl.SSLError):
            return error or self._send_error
        return error

    def _when(self) -> str:
        reader = self.reader
        if reader.head_done:
            return f"in the middle of its answer (status {reader.status}, {len(reader.body)} bytes of the body came)"
        if self._sending or self._send_error is not None:
            sent = self.meter.body_bytes if self.meter is not None else 0
            return f"while the request was being sent, after {sent} of {self._body_bytes} bytes of the body"
        if reader.received_bytes:
            return "in the middle of the head of its answer"
        return "before it answered"

    # The end.

    def _finish(self) -> None:
        if not self._done.done():
            self._finished = True
            self._done.set_result(None)

    def _fail(self, error: BaseException) -> None:
        if not self._done.done():
            self._done.set_exception(error)

    def _settle_send(self, now_ns: int) -> None:
        """Books `send` when the exchange ends without a byte of an answer."""
        if self._answering:
            return
        if not self._sending and self._send_ended_ns is None:
            self._send_ended_ns = self._line.departed_ns()
        if self._send_ended_ns is None or self._line.has_unsent():
            self._ledger.phase = Phase.SEND
        else:
            self._ledger.charge(Phase.SEND, min(self._send_ended_ns, now_ns))
            self._ledger.phase = Phase.WAIT

    def _close_books(self) -> None:
        """Books what is left: until the last arrival on `receive`, after it on us; without an answer all on where it died."""
        now_ns = time.monotonic_ns()
        if self._finished:
            self._ledger.charge(Phase.RECEIVE, self._last_arrival_ns)
            self._ledger.charge(Phase.QUEUE, now_ns)
        else:
            self._settle_send(now_ns)
            self._ledger.charge(self._ledger.phase, now_ns)
        if self._sending:
            self._send_ended_ns = now_ns
