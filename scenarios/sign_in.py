"""Scenario `sign-in`: the right password opens the door, a wrong one does not, and the key that is handed out works."""

from __future__ import annotations

from probes.journey import Journey
from probes.registry import scenario


@scenario("sign-in", every="5m", timeout="45s", needs=("sign_in", "wrong_password", "session"), tags=("account",))
async def sign_in(probe: Journey) -> None:
    """Sign in, use the session, and try a wrong password, which must be refused."""
    platform = probe.platform
    async with probe.step("sign-in", deadline_s=15):
        await platform.sign_in()
    async with probe.step("session", deadline_s=10):
        await platform.session()
    async with probe.step("wrong-password", deadline_s=15):
        await platform.wrong_password()
