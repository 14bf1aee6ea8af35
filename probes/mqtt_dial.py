"""A connected socket to a broker, TLS included, without a thread: every wait is the loop's and can be cancelled at once.

The MQTT library would connect in a worker thread that no cancellation reaches, and would tell of a failed handshake in the
words of OpenSSL alone. The socket comes back non-blocking, with Nagle's delay off: with it a stream of batches had a third
of its throughput.

Refuses to know MQTT. Called by `probes.mqtt`. The resolver is the one part that still uses a thread of the loop's own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

__all__ = ["dial"]


async def dial(host: str, port: int, context: ssl.SSLContext | None) -> socket.socket:
    """A connected socket, through the handshake if there is a context.

    Raises OSError (of the last address that was tried) or ssl.SSLError, which is one. The caller sets the deadline.
    """
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in addresses:
        raw = socket.socket(family, kind, protocol)
        try:
            raw.settimeout(0)  # the loop waits, not the socket
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(raw, address)
            return raw if context is None else await shake_hands(raw, host, context)
        except OSError as error:
            raw.close()
            failure = error
        except BaseException:
            raw.close()
            raise
    raise failure


async def shake_hands(raw: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The socket with TLS on it; closed when the handshake fails or is cancelled."""
    secured = context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
    loop = asyncio.get_running_loop()
    try:
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                await ready(secured, loop.add_reader, loop.remove_reader)
            except ssl.SSLWantWriteError:
                await ready(secured, loop.add_writer, loop.remove_writer)
            else:
                return secured
    except BaseException:
        secured.close()
        raise


async def ready(
    watched: socket.socket, watch: Callable[..., object], unwatch: Callable[[socket.socket], object]
) -> None:
    """Wait until the socket can be read from or written to, whichever `watch` looks for."""
    turned: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def turn() -> None:
        if not turned.done():
            turned.set_result(None)

    watch(watched, turn)
    try:
        await turned
    finally:
        unwatch(watched)
