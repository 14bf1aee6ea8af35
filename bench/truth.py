"""Truth of timing: every phase against what a target of its own process really did, with blackbox_exporter beside us.

Called by `bench.__main__` and, for the error with a browser running, by `bench.browser_noise`.
"""

from __future__ import annotations

import asyncio
import random
import re
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench.programs import Blackbox, Target, TlsFiles, blackbox_missing, make_tls, start_blackbox, start_target
from bench.report import Findings, Goal, median, percentile
from probes.http import FileBody, HttpEngine, TlsSettings
from probes.outcome import EXCESS_MARK_NS
from probes.records import Phases

__all__ = ["Measured", "measure", "run"]

MEDIAN_LIMIT_MS = 1.0
P99_LIMIT_MS = 3.0
_BODY_BYTES = 1_000_000
_DEADLINE_S = 20
_UNSURE_NS = 1_000_000
# A host on which more than this is marked has no CPU left for measuring; the bench says so instead of passing.
_MARKED_LIMIT = 0.1
# Port of the target -> the phases in which it waits, or must show nothing.
_PORTS: Mapping[str, tuple[str, ...]] = {
    "plain": ("connect", "send", "wait", "receive"),
    "late": ("connect", "send", "wait", "receive"),
    "tls": ("connect", "tls", "send", "wait", "receive"),
    "body": ("connect", "send", "wait", "receive"),
}
# In flight, requests per port, waits of the target in milliseconds.
_LOADS = ((1, 30, 10, 40), (50, 600, 20, 200), (200, 800, 20, 200))
_GOALS_UP_TO = 50
# Above that, two hundred bodies of a megabyte are more than the target can stamp one by one.
_BODIES_UP_TO = 50
_THEIRS = {"connect": "connect", "tls": "tls", "wait": "processing", "receive": "transfer"}


@dataclass(slots=True)
class Measured:
    """Errors in milliseconds per phase, of all exchanges and of those without a mark.

    `marked` counts exchanges that could be off by more than the bound of a mark, `unsure` those that the target itself
    could not time (it lost the CPU in a system call) and that are left out.
    """

    errors_ms: dict[str, list[float]] = field(default_factory=dict)
    unmarked_ms: dict[str, list[float]] = field(default_factory=dict)
    marked: int = 0
    unsure: int = 0
    requests: int = 0

    def add(self, phases: Mapping[str, float], truth: Mapping[str, float], *, marked: bool = False) -> None:
        """One request: what was measured and what was true, in nanoseconds."""
        for phase, found_ns in phases.items():
            error_ms = abs(found_ns - truth.get(phase, 0)) / 1e6
            self.errors_ms.setdefault(phase, []).append(error_ms)
            if not marked:
                self.unmarked_ms.setdefault(phase, []).append(error_ms)


async def measure(
    engine: HttpEngine,
    target: Target,
    tls: TlsSettings,
    port: str,
    load: tuple[int, int],
    body: Path,
) -> Measured:
    """`load` = (in flight, requests) against one port, with staggered starts."""
    in_flight, requests = load
    numbers = iter(range(requests))
    dice = random.Random(7)  # noqa: S311 - staggers starts
    seen: dict[str, tuple[Phases, bool]] = {}
    found = Measured(requests=requests)

    async def walk() -> None:
        await asyncio.sleep(dice.uniform(0, 0.2) if in_flight > 1 else 0)
        for number in numbers:
            path = f"/{port}/{in_flight}/{number}"
            async with engine.client(origin_ns=time.monotonic_ns(), tls=tls) as client:
                upload = FileBody(body) if port == "body" else None
                method = "PUT" if upload else "GET"
                response = await client.request(method, target.url(port, path), body=upload, deadline_s=_DEADLINE_S)
                if response.failure is not None:
                    raise RuntimeError(response.failure.message)
                marked = client.excess_ns > EXCESS_MARK_NS or client.unstamped > 0
                found.marked += marked
                seen[path] = (response.exchanges[0].phases, marked)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(walk())
    reports = await _reports(engine, target)
    for path, (phases, marked) in seen.items():
        if reports[path]["unsure"] > _UNSURE_NS:
            found.unsure += 1
            continue
        found.add({name: getattr(phases, f"{name}_ns") for name in _PORTS[port]}, reports[path], marked=marked)
    return found


async def _reports(engine: HttpEngine, target: Target) -> dict[str, dict[str, int]]:
    async with engine.client(origin_ns=0) as client:
        told = (await client.request("GET", target.url("swift", "/reports"), deadline_s=_DEADLINE_S)).json()
    assert isinstance(told, dict)  # noqa: S101 - its own promise
    return told


def _probe_with(blackbox: Blackbox, target: Target, port: str, load: tuple[int, int]) -> dict[str, dict[str, float]]:
    """blackbox_exporter's phases in nanoseconds per request path."""
    in_flight, requests = load

    def probe(number: int) -> tuple[str, dict[str, float]]:
        path = f"/{port}/blackbox/{in_flight}/{number}"
        text = blackbox.probe(target.url(port, path))
        told = dict(re.findall(r'probe_http_duration_seconds\{phase="(\w+)"\} (\S+)', text))
        return path, {phase: float(seconds) * 1e9 for phase, seconds in told.items()}

    with ThreadPoolExecutor(in_flight) as threads:
        return dict(threads.map(probe, range(requests)))


def _their_errors(
    theirs: Mapping[str, Mapping[str, float]], reports: Mapping[str, Mapping[str, float]], port: str
) -> Measured:
    """Their phases are fewer: `processing` holds sending and waiting."""
    found = Measured()
    for path, phases in theirs.items():
        if reports[path]["unsure"] > _UNSURE_NS:
            continue
        truth = dict(reports[path])
        truth["wait"] = truth.get("wait", 0) + truth.get("send", 0)
        measured = {ours: phases.get(name, 0.0) for ours, name in _THEIRS.items() if ours in _PORTS[port]}

        found.add(measured, truth)
    return found


def run() -> list[Findings]:
    """All ports at all loads."""
    heads = ("in flight", "port", "phase", "ours median", "ours p99", "p99 unmarked", "blackbox median", "blackbox p99")
    findings = Findings("Truth of timing: error against the target's own report, ms", heads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tls = make_tls(folder)
        (folder / "body").write_bytes(bytes(_BODY_BYTES))
        missing = blackbox_missing()
        if missing:
            findings.notes.append(missing)
            _all_loads(findings, folder, tls, None)
        else:
            with start_blackbox(folder, tls) as blackbox:
                _all_loads(findings, folder, tls, blackbox)
    return [findings]


def _all_loads(findings: Findings, folder: Path, tls: TlsFiles, blackbox: Blackbox | None) -> None:
    for in_flight, requests, min_ms, max_ms in _LOADS:
        load = (in_flight, requests)
        worst = {"median": 0.0, "p99": 0.0}
        marked = made = unsure = 0
        with start_target(tls, min_ms=min_ms, max_ms=max_ms) as target:
            for port in _PORTS:
                if port == "body" and in_flight > _BODIES_UP_TO:
                    continue
                ours, theirs = asyncio.run(_both(folder, tls, target, port, load, blackbox))
                marked, made, unsure = marked + ours.marked, made + requests, unsure + ours.unsure
                _add_rows(findings, load, port, ours, theirs, worst)
        if in_flight <= _GOALS_UP_TO:
            findings.goals += [
                Goal(f"worst median of a phase, {in_flight} in flight, ms", MEDIAN_LIMIT_MS, worst["median"]),
                Goal(f"worst p99 of a phase without a mark, {in_flight} in flight, ms", P99_LIMIT_MS, worst["p99"]),
                Goal(f"share of exchanges with a mark, {in_flight} in flight", _MARKED_LIMIT, marked / made),
            ]
        findings.notes.append(f"{in_flight} in flight: {marked} of {made} exchanges carry a mark, {unsure} left out")


async def _both(
    folder: Path, tls: TlsFiles, target: Target, port: str, load: tuple[int, int], blackbox: Blackbox | None
) -> tuple[Measured, Measured | None]:
    async with HttpEngine(max_in_flight=max(50, load[0])) as engine:
        ours = await measure(engine, target, TlsSettings(tls.ca), port, load, folder / "body")
        if blackbox is None or port == "body":
            return ours, None
        smaller = (load[0], load[1] // 2)
        theirs = await asyncio.to_thread(_probe_with, blackbox, target, port, smaller)
        return ours, _their_errors(theirs, await _reports(engine, target), port)


def _add_rows(
    findings: Findings,
    load: tuple[int, int],
    port: str,
    ours: Measured,
    theirs: Measured | None,
    worst: dict[str, float],
) -> None:
    for phase, errors in ours.errors_ms.items():
        beside = theirs.errors_ms.get(phase) if theirs is not None else None
        middle, tail = median(errors), percentile(errors, 0.99)
        sure = percentile(ours.unmarked_ms[phase], 0.99) if phase in ours.unmarked_ms else 0.0
        worst["median"], worst["p99"] = max(worst["median"], middle), max(worst["p99"], sure)
        shown = [f"{median(beside):.3f}", f"{percentile(beside, 0.99):.3f}"] if beside else ["-", "-"]
        findings.rows.append((str(load[0]), port, phase, f"{middle:.3f}", f"{tail:.3f}", f"{sure:.3f}", *shown))
