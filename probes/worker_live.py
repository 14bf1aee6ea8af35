"""Tells the steps of a run that somebody asked for, while it runs.

Refuses to hold the run up: an event that cannot be made ends the telling, never the run. Handed to `probes.execute` by a lane.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from pydantic import BaseModel, JsonValue, TypeAdapter

from probes.clock import Clock
from probes.records import Attribute, Run, Step
from probes.wire import render_run
from probes.worker_pipe import Live

__all__ = ["LiveSteps"]

STEP = TypeAdapter(Step)
SENT_EVERY_NS = 200_000_000


class LiveSteps:
    """A `RunObserver` that turns what it is told into events."""

    def __init__(self, request_id: str, tell: Callable[[BaseModel], None], clock: Clock) -> None:
        self._request_id = request_id
        self._tell = tell
        self._clock = clock
        self._sent_told_ns = -SENT_EVERY_NS

    def run_started(self, run_id: str, scenario: str) -> None:
        """The run has its name."""
        self._say("run_started", {"run_id": run_id, "scenario": scenario})

    def step_started(self, name: str, attributes: Mapping[str, Attribute]) -> None:
        """A step begins."""
        self._say("step_started", {"name": name, "attributes": dict(attributes)})

    def sent(self, sent_bytes: int, total_bytes: int) -> None:
        """How far an upload is, some times a second."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._sent_told_ns >= SENT_EVERY_NS or sent_bytes == total_bytes:
            self._sent_told_ns = now_ns
            self._say("sent", {"sent_bytes": sent_bytes, "total_bytes": total_bytes})

    def step_finished(self, step: Step) -> None:
        """A step's result."""
        self._say("step_finished", {"step": STEP.dump_python(step, mode="json", exclude_defaults=True)})

    def run_finished(self, run: Run) -> None:
        """The whole record, as the collector gets it."""
        self._say("run_finished", {"run": json.loads(render_run(run))})

    def refused(self, reason: str) -> None:
        """There is no run."""
        self._say("refused", {"reason": reason})

    def _say(self, what: str, data: Mapping[str, JsonValue]) -> None:
        self._tell(Live(request_id=self._request_id, what=what, data=data))
