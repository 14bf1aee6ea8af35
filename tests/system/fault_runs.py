"""Runs of the built-in scenarios against a stand-in with one fault switched on, for `test_named_faults`.

Everything is real and started once for the module: two stand-ins (plain, TLS), HTTP engine, Chromium. A run that this host was
unfit to measure says nothing about the platform: it is made again, a bounded number of times, and said aloud; it is never
taken for a pass or a fail.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from console.stand_in import StandIn, start_stand_in
from fixtures.cad.catalog import open_catalog
from probes.admission import refusal
from probes.browser import BrowserEngine, find_browser
from probes.clock import SystemClock
from probes.execute import RunEnvironment, run_scenario
from probes.fitness import FitnessSampler
from probes.http import BytesBody, HttpEngine
from probes.records import Exchange, Outcome, Run
from probes.registry import Registry, ScenarioSpec, load_registry
from probes.target_model import Operation
from probes.targets import Target, load_target
from probes.tls import TlsSettings
from scenarios.platform import open_platform
from tests.postgres_kit import find_programs, postgres_server
from tests.system.fault_table import Ending, FaultRow

__all__ = ["RATED_RUNS", "Stage", "describe", "endings_of", "measured", "open_stage", "statuses_pass"]

LEAST_ATTEMPTS = 6
PATIENCE_S = 60.0
"""A host that is busy with something else is so for seconds, and six quick runs may all be within one of them."""

RATED_RUNS = 60
CONTROL_DEADLINE_S = 20.0
WAITED_REQUEST_S = 3.0
WAITED_RUN_S = 15.0
"""Where a deadline ends a row's runs: that of requests and polls, and that of a run in a browser, which has its own requests."""

WITNESSES = frozenset({"backups", "cad-over-limit", "quote", "sign-in", "telemetry-canary", "web-health"})
"""Quick ones of every sort: a fault that hits more than its row says hits one of them."""

FEWER_PARTS: Mapping[str, tuple[str, ...]] = {
    "small": ("bracket", "bracket-stl-binary"),
    "large": ("padded-52428799",),
    "invalid": ("inv-empty.step", "inv-garbage.stl", "inv-open_mesh.stl", "inv-part.txt"),
}


class Stage:
    """The platform, the engines, and the fault that is on."""

    def __init__(
        self, plain: StandIn, encrypted: StandIn, environment: RunEnvironment, environ: Mapping[str, str]
    ) -> None:
        self._environ = environ
        self._plain = plain
        self._encrypted = encrypted
        self._environment = environment
        self.registry: Registry = load_registry("scenarios")
        target = self.environment().target
        self.runnable = {spec.name for spec in self.registry if refusal(spec, target) is None}
        """All scenarios; without the restore drill where PostgreSQL is not installed."""

    def environment(
        self, *, tls: bool = False, fewer_parts: bool = False, waits_for: Iterable[str] = ()
    ) -> RunEnvironment:
        """The engines with the stand-in's description: as it is built in, or with fewer parts or shorter deadlines."""
        stand_in = self._encrypted if tls else self._plain
        target = load_target(
            "stand-in",
            environ=self._environ,
            base_overrides=stand_in.urls,
            ca_file=stand_in.ca_file,
            trusted_spki=stand_in.trusted_spki,
        )
        if fewer_parts:
            target = replace(target, parts=target.parts.model_copy(update=dict(FEWER_PARTS)))
        return replace(self._environment, target=impatient(target, waits_for))

    @asynccontextmanager
    async def fault(self, text: str, *, tls: bool = False, seed: int = 1) -> AsyncIterator[None]:
        """The fault for the length of the block, as the command line would take it; an empty text is none."""
        await self.control("PUT", {"seed": seed, "faults": [plan_of(text)] if text else []}, tls=tls)
        try:
            yield
        finally:
            await self.control("DELETE", tls=tls)

    async def control(self, method: str, plan: object = None, *, path: str = "/faults", tls: bool = False) -> object:
        """Ask the stand-in's control site."""
        stand_in = self._encrypted if tls else self._plain
        body = None if plan is None else BytesBody(json.dumps(plan).encode(), "application/json")
        environment = self.environment(tls=tls)
        settings = TlsSettings(ca_file=environment.target.ca_file)
        async with environment.http.client(origin_ns=environment.clock.monotonic_ns(), tls=settings) as client:
            answer = await client.request(
                method, stand_in.urls["control"] + path, body=body, deadline_s=CONTROL_DEADLINE_S
            )
        assert answer.status == 200, (answer.failure, answer.body)
        return answer.json()

    def seen_often(self, row: FaultRow) -> frozenset[str]:
        """The scenarios that every CI run makes with the row's fault on: those that the row names, and some that must pass.

        A browser takes longer than all others together: it is not used again where only an argument differs and others fail
        too. Where nothing is wrong, all are run.
        """
        if not row.fault:
            return frozenset(self.runnable)
        named = row.fails.keys() & self.runnable
        with_browser = {name for name in named if self.registry.get(name).browser}
        is_variant = row.fault != row.name and named != with_browser
        return frozenset((named - with_browser if is_variant else named) | WITNESSES)

    async def run_row(self, row: FaultRow, names: Collection[str], *, fewer_parts: bool) -> list[Run]:
        """These scenarios with the row's fault on."""
        environment = self.environment(tls=row.tls, fewer_parts=fewer_parts, waits_for=row.waits_for)
        specs = [hurried_spec(spec) if row.waits and spec.name in row.fails else spec for spec in self.registry]
        # The seed chooses the quoted part: by their places the scenarios that quote have different ones.
        seeded = [(seed, spec) for seed, spec in enumerate(specs) if spec.name in names]
        lanes = [[one] for one in seeded]
        if not row.waits:
            lanes = [[one for one in seeded if one[1].browser is browser] for browser in (False, True)]
        async with self.fault(row.fault, tls=row.tls):
            done = await asyncio.gather(*[in_turn(lane, environment) for lane in lanes])
        return [run for lane in done for run in lane]

    async def outcomes(self, name: str, fault: str, *, seed: int) -> tuple[list[int], int]:
        """Which of `RATED_RUNS` runs failed, by their numbers, and how many requests the stand-in says it hit.

        Runs are not made again here, that would shift the sequence; so nobody asks whether the host was fit, or how long it took.
        """
        environment = replace(self.environment(), fitness=None)
        spec = self.registry.get(name)
        async with self.fault(fault, seed=seed):
            runs = [await run_scenario(spec, environment=environment) for _ in range(RATED_RUNS)]
            plan = await self.control("GET")
        assert isinstance(plan, dict)
        return [number for number, run in enumerate(runs) if run.outcome is not Outcome.PASS], sum(plan["hit"].values())

    async def page_statuses(self, row: FaultRow) -> list[int]:
        """What plain requests for the customer's page and the widget's page are answered, with the row's fault on."""
        environment = self.environment(tls=row.tls)
        bases = environment.target.bases
        pages = [f"{bases['host']}/", f"{bases['web']}/widget/quote"]
        settings = TlsSettings(ca_file=environment.target.ca_file)
        async with (
            self.fault(row.fault, tls=row.tls),
            environment.http.client(origin_ns=environment.clock.monotonic_ns(), tls=settings) as client,
        ):
            answers = [await client.request("GET", page, deadline_s=WAITED_REQUEST_S) for page in pages]
        return [answer.status for answer in answers]


@asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    """Start what is needed, once."""
    async with AsyncExitStack() as opened:
        environment = RunEnvironment(
            clock=SystemClock(),
            fitness=await opened.enter_async_context(FitnessSampler()),
            http=await opened.enter_async_context(HttpEngine()),
            target=load_target("stand-in", environ={}),
            catalog=open_catalog(),
            browser=await opened.enter_async_context(BrowserEngine(find_browser())),
            platform_factory=open_platform,
        )
        plain = await opened.enter_async_context(start_stand_in())
        encrypted = await opened.enter_async_context(start_stand_in(["--tls", "--workers", "1"]))
        programs, environ = find_programs(), {}
        if programs is not None:
            environ = {"PROBE_DRILL_SERVER": opened.enter_context(postgres_server(programs)).url()}
        yield Stage(plain, encrypted, environment, environ)


async def in_turn(seeded: Iterable[tuple[int, ScenarioSpec]], environment: RunEnvironment) -> list[Run]:
    """One run of each, one after the other."""
    return [await measured(spec, environment, seed=seed) for seed, spec in seeded]


async def measured(spec: ScenarioSpec, environment: RunEnvironment, *, seed: int) -> Run:
    """One run, made again while this host was unfit for it, for a while at most; the last stays inconclusive if it was, too."""
    give_up_s, attempts = time.monotonic() + PATIENCE_S, 0
    while True:
        run = await run_scenario(spec, environment=environment, seed=seed)
        attempts += 1
        if run.fitness is None or run.fitness.is_fit:
            return run
        reasons = "; ".join(run.fitness.reasons)
        print(f"{spec.name}: attempt {attempts} says nothing, the host was unfit: {reasons}")  # noqa: T201 - for the test's report
        if attempts >= LEAST_ATTEMPTS and time.monotonic() > give_up_s:
            return run


def hurried_spec(spec: ScenarioSpec) -> ScenarioSpec:
    """The requests inside a browser have no deadline of ours but that of the run."""
    return replace(spec, timeout_s=WAITED_RUN_S) if spec.browser else spec


def impatient(target: Target, waits_for: Iterable[str]) -> Target:
    """The same description with short deadlines for these operations."""
    hurried = {name: hurried_operation(target.operations[name]) for name in waits_for}
    return replace(target, operations={**target.operations, **hurried})


def hurried_operation(operation: Operation) -> Operation:
    """Short deadlines for every request and poll of an operation."""
    requests = [
        request.model_copy(
            update={
                "deadline_s": WAITED_REQUEST_S,
                "poll": request.poll and request.poll.model_copy(update={"deadline_s": WAITED_REQUEST_S}),
            }
        )
        for request in operation.requests
    ]
    return operation.model_copy(update={"requests": tuple(requests)})


def plan_of(text: str) -> dict[str, object]:
    """`NAME[:key=value,...][@rate]` as the control site takes it."""
    spec, _, rate = text.partition("@")
    name, _, args = spec.partition(":")
    pairs = dict(pair.split("=", 1) for pair in args.split(",") if pair)
    return {"name": name, "rate": float(rate or 1), "args": pairs}


def endings_of(runs: Sequence[Run]) -> dict[str, set[Ending] | str]:
    """What became of each scenario that did not pass: every way in which a step of it failed, or why nothing is known."""
    found: dict[str, set[Ending] | str] = {}
    for run in runs:
        if run.outcome is Outcome.FAIL:
            failures = [
                (step.name, step.failure) for step in run.steps if step.failure is not None and not step.cleanup
            ]
            found[run.identity.scenario] = {Ending(name, failure.kind) for name, failure in failures}
        elif run.outcome is not Outcome.PASS:
            unfit = "" if run.fitness is None else "; ".join(run.fitness.reasons)
            found[run.identity.scenario] = f"{run.outcome}: {unfit or run.failure}"
    return found


def statuses_pass(exchanges: Iterable[Exchange]) -> bool:
    """What a check says that looks at nothing but statuses, as uptime checks do: answered, and below 400."""
    return all(0 < exchange.status < 400 for exchange in exchanges)


def describe(runs: Sequence[Run]) -> str:
    """What a failing test prints of the runs that did not pass."""
    lines = []
    for run in runs:
        lines.append(f"{run.identity.scenario}: {run.outcome} in {run.duration_ns / 1e9:.1f} s")
        lines += [
            f"    {step.name} {step.attributes.get('cad.part', '')}: {step.failure.kind}: {step.failure.message[:300]}"
            for step in run.steps
            if step.failure is not None and not step.cleanup
        ]
    return "\n".join(lines)
