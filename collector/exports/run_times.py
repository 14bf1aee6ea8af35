"""How long the steps and the HTTP phases of stored runs took, as histograms; an export like any other, to memory.

What counts is what a service level would count as a time: steps that passed, of conclusive first attempts, clean-up aside; phases
of requests that were answered. Records are looked into for the few fields that this takes. Refuses names without bound. Called by
a pump, in its thread; read by `collector.exports.metrics`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from collector.exports.feed import StoredRun
from collector.exports.histogram import PHASE_BOUNDS_S, STEP_BOUNDS_S, Histogram
from collector.exports.labels import Labels
from collector.exports.pump import Delivered
from probes.records import Outcome

__all__ = ["PHASES", "RunTimes"]

PHASES: Final = ("queue", "dns", "connect", "tls", "send", "wait", "receive")
ONCE_A_CONNECTION: Final = ("dns", "connect", "tls")
"""A request on a connection that was there has none of these: that is no phase of zero seconds."""
MOST_SERIES: Final = 1_500
MOST_STEPS: Final = 200
RUNS_AT_ONCE: Final = 500
TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")


class _Phases(msgspec.Struct, gc=False):
    queue_ns: int = 0
    dns_ns: int = 0
    connect_ns: int = 0
    tls_ns: int = 0
    send_ns: int = 0
    wait_ns: int = 0
    receive_ns: int = 0


class _Exchange(msgspec.Struct, gc=False):
    phases: _Phases
    status: int = 0


class _Step(msgspec.Struct, gc=False):
    name: str
    duration_ns: int
    outcome: str
    exchanges: tuple[_Exchange, ...] = ()
    cleanup: bool = False


class _Identity(msgspec.Struct, gc=False):
    region: str
    scenario: str
    attempt: int = 0


class _Run(msgspec.Struct, gc=False):
    identity: _Identity
    trace_id: str
    duration_ns: int
    outcome: str
    steps: tuple[_Step, ...]


DECODER: Final = msgspec.json.Decoder(_Run)


class RunTimes:
    """The histograms; `run` by scenario and region, `step` by step too, `phase` by scenario, region and phase."""

    name = "times"
    most_runs = RUNS_AT_ONCE

    def __init__(self, scenario: Labels, region: Labels) -> None:
        self.run = Histogram(STEP_BOUNDS_S, 2, MOST_SERIES)
        self.step = Histogram(STEP_BOUNDS_S, 3, MOST_SERIES)
        self.phase = Histogram(PHASE_BOUNDS_S, 3, MOST_SERIES)
        self._scenario = scenario
        self._region = region
        self._step_name = Labels(MOST_STEPS)

    def deliver(self, runs: Sequence[StoredRun]) -> Delivered:
        """Add these; a record was checked when it was stored."""
        sent = sum(self._add(run) for run in runs)
        return Delivered(sent, len(runs) - sent)

    def _add(self, stored: StoredRun) -> bool:
        try:
            run = DECODER.decode(stored.body)
        except (
            msgspec.MsgspecError
        ):  # stored by the words of pydantic, which are more patient: rare, and no time of ours
            return False
        if run.identity.attempt or run.outcome == Outcome.INCONCLUSIVE.value:
            return False
        scenario, region = self._scenario(run.identity.scenario), self._region(run.identity.region)
        trace_id = run.trace_id if TRACE_ID.fullmatch(run.trace_id) else ""
        at_s = stored.slot_ms / 1000
        if run.outcome == Outcome.PASS.value:
            self.run.observe((scenario, region), run.duration_ns, trace_id, at_s)
        for step in run.steps:
            if step.cleanup:
                continue
            if step.outcome == Outcome.PASS.value:
                self.step.observe((scenario, region, self._step_name(step.name)), step.duration_ns, trace_id, at_s)
            for phase, value_ns in _phases_of(step):
                self.phase.observe((scenario, region, phase), value_ns, trace_id, at_s)
        return True


def _phases_of(step: _Step) -> Iterator[tuple[str, int]]:
    """The phases of the requests that were answered."""
    for exchange in step.exchanges:
        if exchange.status:
            for phase, value_ns in zip(PHASES, msgspec.structs.astuple(exchange.phases), strict=True):
                if value_ns or phase not in ONCE_A_CONNECTION:
                    yield phase, value_ns
