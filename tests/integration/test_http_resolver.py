"""Names are looked up beside each other: one that hangs holds up no other."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from probes.http_resolver import Address, Resolver

DEADLINE_S = 60.0
ANSWER = (Address(socket.AF_INET, ("127.0.0.1", 80)),)


@pytest.mark.parametrize("number", range(10))
async def test_a_name_that_hangs_holds_up_no_other(number: int) -> None:
    """Asked in one moment of a thread that has nothing to do: the second is answered while the first still hangs."""
    answered = threading.Event()

    def lookup(host: str, _port: int) -> tuple[Address, ...]:
        if host == "slow":
            answered.wait(2)
        return ANSWER

    resolver = Resolver(lookup)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await resolver.ask("first", 80)
            for _ in range(number):  # its thread may need some turns to be idle
                await asyncio.sleep(0)
            slow, quick = resolver.ask("slow", 80), resolver.ask("quick", 80)
            assert (await quick).addresses == ANSWER
            assert not slow.done()
            answered.set()
            assert (await slow).addresses == ANSWER
    finally:
        answered.set()
        resolver.close()


async def test_names_that_wait_for_a_thread_are_answered_in_their_turn() -> None:
    """There are few threads, whatever is asked; none is left when the resolver is closed."""
    before = set(threading.enumerate())
    names: list[str] = []

    def lookup(host: str, _port: int) -> tuple[Address, ...]:
        names.append(threading.current_thread().name)
        return ANSWER

    resolver = Resolver(lookup, threads=2)
    async with asyncio.timeout(DEADLINE_S):
        found = await asyncio.gather(*(resolver.ask(f"name-{number}", 80) for number in range(50)))
        assert [one.addresses for one in found] == [ANSWER] * 50
        ours = set(threading.enumerate()) - before
        assert 1 <= len(ours) <= 2
        resolver.close()
        while any(thread.is_alive() for thread in ours):  # noqa: ASYNC110 - threads tell nobody
            await asyncio.sleep(0.01)
