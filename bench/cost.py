"""CPU time per check, from the slot to the bytes of the record, beside blackbox_exporter on the same target in the same run.

A check is a scenario with one step, one request and two expectations, run by `probes.execute` with everything a worker has
(fitness sampler included) and rendered by `probes.wire`. blackbox_exporter's check is one `/probe` with its answer.
Batches alternate, the CPU time of the target counts for nobody. Called by `bench.__main__`.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from bench.programs import Blackbox, Target, TlsFiles, blackbox_missing, cpu_ns, make_tls, start_blackbox, start_target
from bench.report import Findings, Goal, percentile
from probes import targets
from probes.clock import SystemClock
from probes.execute import RunEnvironment, run_scenario
from probes.fitness import FitnessSampler
from probes.http import HttpEngine, TlsSettings
from probes.journey import Journey
from probes.records import Outcome
from probes.registry import scenario, spec_of
from probes.wire import render_run

__all__ = ["run"]

_HTTP_GOAL = 0.6
_HTTPS_GOAL = 1.0
_BATCH = 50
_BATCHES = 16
_WARM_UP = 60


@scenario("bench-health", every="1m", timeout="30s")
async def bench_health(probe: Journey) -> None:
    """Ask how the target is and look at what it says."""
    async with probe.step("health", deadline_s=10):
        response = await probe.request("GET", f"{probe.target.bases['api']}/health")
        told = response.json()
        probe.expect_equal("is an object", isinstance(told, dict), expected=True)
        probe.expect_equal("status", told.get("status") if isinstance(told, dict) else told, "healthy")


def run() -> list[Findings]:
    """HTTP and HTTPS."""
    heads = ("scheme", "ours, us", "of it the client alone, us", "blackbox, us", "ratio")
    findings = Findings("CPU time per check, slot to record", heads)
    goals = {"swift": ("http", _HTTP_GOAL), "swift_tls": ("https", _HTTPS_GOAL)}
    missing = blackbox_missing()
    if missing:
        findings.goals += [Goal(f"{name} against blackbox", goal, None, note=missing) for name, goal in goals.values()]
        return [findings]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tls = make_tls(folder)
        with start_target(tls) as target, start_blackbox(folder, tls) as blackbox:
            for port, (scheme, goal) in goals.items():
                ours, client, theirs = asyncio.run(_compare(target, tls, blackbox, port))
                ratio = ours / theirs
                findings.rows.append((scheme, f"{ours:.0f}", f"{client:.0f}", f"{theirs:.0f}", f"{ratio:.2f}"))
                findings.goals.append(Goal(f"{scheme} against blackbox", goal, ratio))
    return [findings]


async def _compare(target: Target, tls: TlsFiles, blackbox: Blackbox, port: str) -> tuple[float, float, float]:
    """Lower quartiles over the batches, in microseconds per check: those that other programs disturbed least."""
    ours, client, theirs = [], [], []
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(HttpEngine())
        fitness = await stack.enter_async_context(FitnessSampler())
        described = targets.Target(
            name="bench", path=Path("bench"), bases={"api": target.url(port, "")}, ca_file=tls.ca
        )
        environment = RunEnvironment(clock=SystemClock(), http=engine, target=described, fitness=fitness)
        await _checks(environment, _WARM_UP)
        await asyncio.to_thread(_probes, blackbox, target.url(port, "/health"), _WARM_UP)
        for _ in range(_BATCHES):
            ours.append(await _checks(environment, _BATCH))
            client.append(await _requests(engine, TlsSettings(tls.ca), target.url(port, "/health")))
            theirs.append(await asyncio.to_thread(_probes, blackbox, target.url(port, "/health"), _BATCH))
    return percentile(ours, 0.25), percentile(client, 0.25), percentile(theirs, 0.25)


async def _checks(environment: RunEnvironment, count: int) -> float:
    spec = spec_of(bench_health)
    before_ns = time.process_time_ns()
    for _ in range(count):
        run = await run_scenario(spec, environment=environment)
        render_run(run)
        if run.outcome is Outcome.FAIL:
            raise RuntimeError(str(run.failure))
    return (time.process_time_ns() - before_ns) / count / 1000


async def _requests(engine: HttpEngine, tls: TlsSettings, url: str) -> float:
    before_ns = time.process_time_ns()
    for _ in range(_BATCH):
        async with engine.client(origin_ns=time.monotonic_ns(), tls=tls) as client:
            await client.request("GET", url, deadline_s=10)
    return (time.process_time_ns() - before_ns) / _BATCH / 1000


def _probes(blackbox: Blackbox, url: str, count: int) -> float:
    connection = blackbox.connect()
    before_ns = cpu_ns(blackbox.pid)
    for _ in range(count):
        if "probe_success 1" not in blackbox.probe(url, connection):
            raise RuntimeError("blackbox_exporter's probe failed")
    spent_ns = cpu_ns(blackbox.pid) - before_ns
    connection.close()
    return spent_ns / count / 1000
