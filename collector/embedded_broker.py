"""The broker that comes with the install: iotcore's child process, on loopback only, gone when its parent is gone.

Nothing is trusted to it: it keeps nothing on disk and has no access rules, and the stream between probe and collector needs
neither. It is told its settings in a file, because that is the only way to MQTT 5: without one it speaks 3.1.1 alone and hangs
up on an MQTT 5 client (seen with iotcore 0.4). For anything but one machine use mosquitto or a cluster.

Called by the wiring of `fleet`, of `collector --broker embedded` and of the demo.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from iotcore import Broker

from probes.clock import Clock
from probes.errors import DependencyError
from probes.messages import MAX_PAYLOAD_BYTES
from probes.mqtt import BrokerAddress

__all__ = ["EmbeddedBroker", "embedded_broker"]

log = structlog.get_logger(__name__)

LOOPBACK: Final = "127.0.0.1"
START_TIMEOUT_S: Final = 30.0
FREE_PORT_ATTEMPTS: Final = 5
LOOK_EVERY_S: Final = 0.2
RESTART_FIRST_S: Final = 0.1
RESTART_MOST_S: Final = 10.0
STEADY_AFTER_S: Final = 30.0
NANOSECONDS: Final = 1_000_000_000

# What it holds for a subscriber that lags is a log per topic filter, `max_segment_count` times `max_segment_size` at most;
# what falls out of it is sent again by the probes. Its own default of a hundred megabytes a segment is memory for nothing.
CONFIGURATION: Final = """
id = 0
[router]
id = 0
max_connections = 10000
max_outgoing_packet_count = 200
max_segment_size = 8388608
max_segment_count = 8
[v5.1]
name = "fleet"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_packet_bytes}
max_inflight_count = 100
dynamic_filters = true
"""


class EmbeddedBroker:
    """A broker on 127.0.0.1 that can be started, watched and stopped; the port stays the same from start to start."""

    def __init__(self, port: int = 0) -> None:
        """Port 0 takes a free one at the first start."""
        self._port = port
        self._broker: Broker | None = None

    @property
    def address(self) -> BrokerAddress:
        """Where it listens once it was started."""
        return BrokerAddress(url=f"mqtt://{LOOPBACK}:{self._port}")

    @property
    def pid(self) -> int:
        """The child's process id, 0 when it does not run."""
        process = self._broker and self._broker._process  # noqa: SLF001 - the library does not tell it otherwise
        return process.pid if process and process.poll() is None else 0

    def start(self) -> None:
        """Start it and return once it listens; does nothing while it runs. Blocks for up to half a minute.

        Raises DependencyError when it cannot start.
        """
        if self.pid:
            return
        self.stop()
        for attempts_left in reversed(range(1 if self._port else FREE_PORT_ATTEMPTS)):
            port = self._port or free_port()
            try:
                self._broker = started(port)
            except (OSError, RuntimeError, ValueError) as error:
                if attempts_left:
                    continue  # somebody was quicker to take the free port
                message = f"the embedded broker does not start: {error}"
                remedy = "Choose another port, or stop the program that holds this one"
                raise DependencyError(message, where=f"{LOOPBACK}:{port}", remedy=remedy) from error
            self._port = port
            return

    def stop(self) -> None:
        """Stop it; takes five seconds at most, and does nothing when it does not run."""
        if self._broker is not None:
            self._broker.stop()
            self._broker = None

    def kill(self) -> None:
        """End it as the kernel would, for tests of what that costs."""
        process = self._broker and self._broker._process  # noqa: SLF001 - as above
        if process:
            process.kill()
            process.wait()

    async def keep_running(self, clock: Clock) -> None:
        """Start it again whenever it has ended, with back-off, until cancelled. Stopping it is the caller's."""
        pause_s = RESTART_FIRST_S
        started_s = clock.monotonic_ns() / NANOSECONDS
        while True:
            await clock.sleep(LOOK_EVERY_S)
            if self.pid:
                continue
            now_s = clock.monotonic_ns() / NANOSECONDS
            if now_s - started_s > STEADY_AFTER_S:
                pause_s = RESTART_FIRST_S
            log.error("broker.ended", where=self.address.url, restart_in_s=pause_s)
            await clock.sleep(pause_s)
            pause_s = min(pause_s * 2, RESTART_MOST_S)
            started_s = now_s
            try:
                await asyncio.shield(asyncio.to_thread(self.start))
            except DependencyError as error:
                log.error("broker.not_restarted", error=str(error))  # noqa: TRY400 - its text says it all


@contextmanager
def embedded_broker(port: int = 0) -> Iterator[BrokerAddress]:
    """A running broker on 127.0.0.1; port 0 takes a free one. Raises DependencyError when it cannot start."""
    broker = EmbeddedBroker(port)
    broker.start()
    try:
        yield broker.address
    finally:
        broker.stop()


def started(port: int) -> Broker:
    """The library's broker, listening; its settings file is needed only until it has read it."""
    with tempfile.TemporaryDirectory(prefix="probe-fleet-broker-") as folder:
        settings_file = Path(folder) / "broker.toml"
        # The library counts the whole packet, not its payload.
        settings_file.write_text(
            CONFIGURATION.format(host=LOOPBACK, port=port, max_packet_bytes=MAX_PAYLOAD_BYTES + 4_096), encoding="utf-8"
        )
        broker = Broker(config_path=str(settings_file))
        with deaf_to_terminal():
            broker.start(timeout=START_TIMEOUT_S)
        return broker


@contextmanager
def deaf_to_terminal() -> Iterator[None]:
    """What is started in the block ignores Ctrl-C: probes and collector still have to hand over what they hold.

    A blocked signal is inherited by a child, and the mask is this thread's alone. Source: sigprocmask(2), execve(2).
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
    return port
