"""TLS over a `Line`: the handshake timed by the kernel's stamps, then plaintext to ciphertext and back in memory.

OpenSSL works on memory (`ssl.MemoryBIO`), so the bytes are still read by the line with their arrival times. Time in which
OpenSSL computes on this side is `queue`: it is ours. Called by `probes.http_connect` and `probes.http_exchange`.
"""

from __future__ import annotations

import asyncio
import ssl
import time

from probes.http_deadline import Deadline
from probes.http_failures import ExchangeFailed, lost_failure
from probes.http_line import Arrival, Line
from probes.http_phases import Phase, PhaseLedger
from probes.tls import tls_failure

__all__ = ["Secure"]

_READ_BYTES = 262_144
_DURING = "during the TLS handshake"


class Secure:
    """The TLS end of one line. `handshake` first, then `encrypt` and `decrypt`."""

    __slots__ = ("_done", "_host", "_incoming", "_ledger", "_line", "_outgoing", "_pending", "tls")

    def __init__(self, line: Line, context: ssl.SSLContext, host: str) -> None:
        self._line = line
        self._host = host
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._pending = b""
        self._ledger: PhaseLedger | None = None
        self._done: asyncio.Future[None] | None = None
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def handshake(self, ledger: PhaseLedger, deadline: Deadline) -> None:
        """Shakes hands and books the time; raises ExchangeFailed, or DeadlinePassed."""
        self._ledger = ledger
        self._done = asyncio.get_running_loop().create_future()
        self._line.own(self)
        try:
            self._drive()
            await deadline.wait(self._done)
        finally:
            self._line.watch_writable(on=False)
            self._line.own(None)
            self._line.count_from_here()
            self._ledger = None
            self._done = None

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """The ciphertext of `data`."""
        self.tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        """The plaintext that `data` completes, and True when the other side said that it ends. Raises ssl.SSLError."""
        self._incoming.write(data)
        pieces: list[bytes] = []
        ended = False
        while True:
            try:
                piece = self.tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                ended = True
                break
            if not piece:
                ended = True
                break
            pieces.append(piece)
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), ended

    def take_outgoing(self) -> bytes:
        """What OpenSSL itself wants to say (the answer to a key update)."""
        return self._outgoing.read() if self._outgoing.pending else b""

    # What the line calls during the handshake.

    def on_bytes(self, arrival: Arrival) -> None:
        """A piece of the other side's flight."""
        self._incoming.write(arrival.data)
        if self._ledger is not None and self._done is not None and not self._done.done():
            self._ledger.charge(Phase.TLS, arrival.at_ns)
            self._ledger.stamped = self._ledger.stamped and arrival.stamped
            self._drive()

    def on_writable(self) -> None:
        """The kernel takes the rest of our flight."""
        self._flush()

    def on_lost(self, error: OSError | None) -> None:
        """The connection ended before the handshake did."""
        if self._ledger is not None:
            self._ledger.charge(Phase.TLS, time.monotonic_ns())
        self._fail(ExchangeFailed(lost_failure(error, _DURING)))

    def on_departed(self, at_ns: int) -> None:
        """Not asked for during a handshake."""

    def _drive(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._flush()  # the alert that tells the other side why
            self._fail(ExchangeFailed(tls_failure(error, self._host, self._line.address.host)))
        else:
            self._flush()
            if self._done is not None and not self._done.done():
                self._done.set_result(None)

    def _flush(self) -> None:
        """Sends our flight; from here on the ball is in the other side's court."""
        ledger = self._ledger
        if ledger is not None:
            ledger.enter(Phase.TLS, time.monotonic_ns())
        self._pending += self._outgoing.read()
        try:
            while self._pending:
                taken = self._line.send(self._pending)
                if not taken:
                    break
                self._pending = self._pending[taken:]
        except OSError:
            self._pending = b""  # reading tells why
        self._line.watch_writable(on=bool(self._pending))

    def _fail(self, failed: ExchangeFailed) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(failed)
