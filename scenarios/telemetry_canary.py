"""Scenario `telemetry-canary`: an error and an event that happen now must show up where people look for them."""

from __future__ import annotations

import uuid

from probes.dsn import DSN_VALUE, parse_dsn
from probes.errors import BugError, DependencyError, OperatorError
from probes.journey import Journey
from probes.registry import scenario
from scenarios.calls import Done, Refused, call

NEEDS = ("send_errors", "read_errors", "send_events", "read_events")
KEY_REFUSED = (401, 403)
HELD_OFF = 429
NO_WAY_TO_DELETE = "a test event, marked as one; it goes when the service forgets old events"


@scenario("telemetry-canary", every="5m", timeout="6m", writes=True, needs=NEEDS, tags=("telemetry",))
async def telemetry_canary(probe: Journey) -> None:
    """Send a marked test event to error tracking and to product analytics, and wait until each can be read back."""
    await send_and_find(probe, "errors")
    await send_and_find(probe, "events")


async def send_and_find(probe: Journey, kind: str) -> None:
    """One marker's way: taken, then visible. The second step begins when the first ends, so their sum is the way's time."""
    given = marker(probe)
    sent_ns = probe.clock.monotonic_ns()
    is_sent = False
    async with probe.step(f"send-{kind}", deadline_s=20, keep_going=True):
        await call(probe, f"send_{kind}", given=given)
        effect = probe.made("telemetry-event", given["event_id"])
        effect.fate, effect.detail = "kept", NO_WAY_TO_DELETE
        is_sent = True
    if not is_sent:
        return
    async with probe.step(f"visible-{kind}", keep_going=True) as step:
        done = await read(probe, f"read_{kind}", given)
        step.set("telemetry.visible_after_s", (probe.clock.monotonic_ns() - sent_ns) / 1e9)
        found = done.text("marker_found")
        effect.read_back = found == given["marker"]
        probe.expect_equal("marker", found, given["marker"])


async def read(probe: Journey, operation: str, given: dict[str, str]) -> Done:
    """Ask until the marker is there. A token of ours that is refused is ours: the platform sends its telemetry without it.

    So is the number of our questions.
    """
    secrets = [name for name in probe.target.operation(operation).placeholders() if name.startswith("secret.")]
    done = await call(probe, operation, given=given, also_accept=(HELD_OFF, *(KEY_REFUSED if secrets else ())))
    if isinstance(done, Refused):
        raise BugError(f"{operation} may not be refused, and was")
    if done.response.status in KEY_REFUSED and secrets:
        raise OperatorError(
            f"{operation}: the service refuses the token of this probe ({done.response.status})",
            where=" and ".join(sorted(secrets)),
            remedy="Give it one that may read",
        )
    if done.response.status == HELD_OFF:
        raise DependencyError(
            f"{operation}: the service holds this probe off ({HELD_OFF})",
            remedy="Run the scenario less often, in fewer regions, or let its poll begin later (first_s, factor)",
        )
    return done


def marker(probe: Journey) -> dict[str, str]:
    """What tells this event from every other: the run, and an id of its own."""
    identity = uuid.uuid4()
    dsn = probe.target.values.get(DSN_VALUE)
    parts = parse_dsn(dsn).placeholders() if dsn else {}
    return {"marker": probe.run_id, "event_id": identity.hex, "event_uuid": str(identity), **parts}
