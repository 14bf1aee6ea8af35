"""Scenario `failover`: does the service address come back by itself when it is away? It only watches and induces nothing."""

from __future__ import annotations

from probes.errors import BugError
from probes.finding import StepFailed
from probes.journey import Journey
from probes.records import Failure, FailureKind
from probes.registry import scenario
from probes.steps import OutOfTimeError
from probes.target_behind import Failover
from scenarios.calls import Done, call
from scenarios.outage import OutageWatch


@scenario("failover", every="5m", timeout="20m", needs=("failover", "service_health"), tags=("data",))
async def failover(probe: Journey) -> None:
    """Ask the service address for a while; if it does not answer, until it does again; then ask the standby how it is."""
    described = probe.target.failover
    if described is None:
        raise BugError("the target describes no failover", remedy='Mark the scenario with needs=("failover",)')
    async with probe.step("failover", keep_going=True) as step:
        watch = OutageWatch(described.steady)
        servers: list[str] = []
        try:
            await observe(probe, described, watch, servers)
        finally:
            now_s = seconds(probe)
            step.set("failover.seen", watch.began_s is not None or len(servers) > 1)
            step.set("failover.resolution_s", described.every_s)
            if servers:
                step.set("failover.served_by", " > ".join(servers))
            if watch.began_s is not None:
                step.set("failover.outage_s", round(watch.outage_s(now_s), 3))
                step.set("failover.self_healed", is_healed(described, watch, now_s))
                step.set("failover.begin_seen", watch.begin_seen)
                step.set("failover.failures", watch.failures)
        if watch.last_failure is not None and not is_healed(described, watch, now_s):
            found = f"not back for good within {described.within_s:g} s; at last: {watch.last_failure.message}"
            probe.fail(watch.last_failure.kind, found)
    if probe.target.has("standby_health"):
        async with probe.step("standby", deadline_s=described.ask_s):
            await call(probe, "standby_health")


async def observe(probe: Journey, described: Failover, watch: OutageWatch, servers: list[str]) -> None:
    """Ask until the watch is over and the service is there, or an outage lasts too long."""
    begun_s = seconds(probe)
    while True:
        asked_s = seconds(probe)
        failure = await ask(probe, described, servers)
        if failure is None:
            watch.answered(seconds(probe))
        else:
            watch.failed(asked_s, failure)
        now_s = seconds(probe)
        # Good answers in a row that began in time may end it a little after the limit.
        if watch.is_on and watch.outage_s(now_s) > described.within_s + described.steady * described.every_s:
            return
        if not watch.is_on and now_s - begun_s >= described.watch_s:
            return
        await probe.sleep(max(0.0, asked_s + described.every_s - now_s))


async def ask(probe: Journey, described: Failover, servers: list[str]) -> Failure | None:
    """One question: who answered is noted, and what is wrong is returned."""
    try:
        done = await call(probe, "service_health", deadline_s=described.ask_s)
    except OutOfTimeError:
        raise
    except StepFailed as failed:
        if failed.failure.kind.is_ours or failed.failure.kind is FailureKind.RATE_LIMITED:
            raise
        return failed.failure
    if isinstance(done, Done) and done.has("served_by") and [done.text("served_by")] != servers[-1:]:
        servers.append(done.text("served_by"))
    return None


def is_healed(described: Failover, watch: OutageWatch, now_s: float) -> bool:
    """True when the outage is over, and was so short that nobody can have been called."""
    return not watch.is_on and watch.outage_s(now_s) <= described.within_s


def seconds(probe: Journey) -> float:
    """The journey's monotonic clock."""
    return probe.clock.monotonic_ns() / 1e9
