"""CPU time per check, to the record and to its acknowledgement, beside blackbox_exporter on the same target in the same run.

A check is a scenario with one step, one request and two expectations, run by `probes.execute` with everything a worker has
(fitness sampler included) and rendered by `probes.wire`. The whole path is the same with its intent and its record in an outbox,
and a stream that carries each alone to a collector and takes the acknowledgement. blackbox_exporter's check is one `/probe` with
its answer. Batches alternate; the CPU time of target, broker and collector counts for nobody. Called by `bench.__main__`.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.programs import Blackbox, Target, TlsFiles, blackbox_missing, cpu_ns, make_tls, start_blackbox, start_target
from bench.report import Findings, Goal, percentile
from bench.stream import PROBE, acknowledging
from collector.embedded_broker import embedded_broker
from probes import targets
from probes.clock import SystemClock
from probes.execute import RunEnvironment, run_scenario
from probes.fitness import FitnessSampler
from probes.http import HttpEngine, TlsSettings
from probes.journey import Journey
from probes.outbox import EntryKind, Outbox
from probes.records import Outcome
from probes.registry import scenario, spec_of
from probes.stream import Stream
from probes.wire import render_run

__all__ = ["run"]

_HTTP_GOAL = 0.6
_HTTPS_GOAL = 1.0
_WHOLE_GOAL = 1.0
_FLUSH_S = 30.0
_INTENT = b'{"schema_version":1,"scenario":"bench-health","slot_at":"2026-01-01T00:00:00Z"}'
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
    heads = (
        "scheme",
        "to the record, us",
        "of it the client, us",
        "to the acknowledgement, us",
        "blackbox, us",
        "ratios",
    )
    findings = Findings("CPU time per check", heads)
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
                costs = asyncio.run(_compare(target, tls, blackbox, port))
                ratio, whole_ratio = costs.record / costs.blackbox, costs.whole / costs.blackbox
                figures = (costs.record, costs.client, costs.whole, costs.blackbox)
                findings.rows.append(
                    (scheme, *(f"{figure:.0f}" for figure in figures), f"{ratio:.2f}, {whole_ratio:.2f}")
                )
                findings.goals.append(Goal(f"{scheme} against blackbox", goal, ratio))
                findings.goals.append(
                    Goal(f"{scheme} with outbox and stream against blackbox", _WHOLE_GOAL, whole_ratio)
                )
    return [findings]


@dataclass(frozen=True, slots=True)
class _Costs:
    """Lower quartiles over the batches, in microseconds per check: those that other programs disturbed least."""

    record: float
    client: float
    whole: float
    blackbox: float


async def _compare(target: Target, tls: TlsFiles, blackbox: Blackbox, port: str) -> _Costs:
    url = target.url(port, "/health")
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(HttpEngine())
        fitness = await stack.enter_async_context(FitnessSampler())
        described = targets.Target(
            name="bench", path=Path("bench"), bases={"api": target.url(port, "")}, ca_file=tls.ca
        )
        environment = RunEnvironment(clock=SystemClock(), http=engine, target=described, fitness=fitness)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        outbox = stack.enter_context(Outbox(folder / "outbox"))
        stream = await stack.enter_async_context(_streaming(outbox))
        await _checks(environment, _WARM_UP)
        await _whole_checks(environment, outbox, stream, _WARM_UP)
        await asyncio.to_thread(_probes, blackbox, url, _WARM_UP)
        batches = [
            (
                await _checks(environment, _BATCH),
                await _requests(engine, TlsSettings(tls.ca), url),
                await _whole_checks(environment, outbox, stream, _BATCH),
                await asyncio.to_thread(_probes, blackbox, url, _BATCH),
            )
            for _ in range(_BATCHES)
        ]
    record, client, whole, theirs = (percentile(column, 0.25) for column in zip(*batches, strict=True))
    return _Costs(record, client, whole, theirs)


@asynccontextmanager
async def _streaming(outbox: Outbox) -> AsyncIterator[Stream]:
    """A stream to a collector that acknowledges everything, through the embedded broker; all ended with the block."""
    with embedded_broker() as address:
        async with acknowledging(address):
            stream = Stream(outbox, PROBE, address, clock=SystemClock())
            running = asyncio.create_task(stream.run())
            try:
                yield stream
            finally:
                running.cancel()
                await asyncio.wait([running])


async def _whole_checks(environment: RunEnvironment, outbox: Outbox, stream: Stream, count: int) -> float:
    """Microseconds per check until all of them are acknowledged."""
    spec = spec_of(bench_health)
    before_ns = time.process_time_ns()
    for number in range(count):
        outbox.intend(f"bench-health {number}", _INTENT, owner="bench")
        run = await run_scenario(spec, environment=environment)
        outbox.put(EntryKind.RUN, render_run(run), intent_key=f"bench-health {number}")
        stream.wake()
    if not await stream.flush(_FLUSH_S):
        raise TimeoutError(stream.state.last_error)
    return (time.process_time_ns() - before_ns) / count / 1000


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
