"""The steps of one run as they happen: borders, deadlines, and what belongs to which step.

A step's time is what lies between its borders, exact even when it fails: the clock is read first on the way out, and all
bookkeeping comes after. Whatever ends a step badly becomes a `Failure` here: what the target did (`StepFailed`, or any
error that carries a `failure`), a deadline, a stopped run, or a crash of the script, which is ours.

Refuses steps inside steps, because their times would be counted twice. Called by `probes.journey` (which is what scripts
see) and by `probes.execute` (which owns the log and reads it at the end).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol

from probes.clock import Clock
from probes.errors import BugError
from probes.finding import StepFailed, carried_failure
from probes.fitness import FitnessSampler
from probes.masking import Mask
from probes.outcome import describe_crash, outcome_of_failure
from probes.records import Attribute, Exchange, Expectation, Failure, FailureKind, PageLoad, Step

__all__ = ["OpenStep", "OutOfTimeError", "RunObserver", "StepHandle", "StepLog"]

# A run of a script gone wrong must still make a record that fits through the wire.
MAX_STEPS = 300
MAX_EXCHANGES_PER_STEP = 60
# A run that has recorded this many keeps only the ends of each further step, and of checks those that do not hold.
MANY_EXCHANGES = 1000
FEW_EXCHANGES = 4
MANY_CHECKS = 600
# A request is given the exact time that is left and ends by itself, with its phases; this much later the step is cut off
# whatever it is waiting for. Without the difference the cut could win and the exchange would be lost.
CUT_OFF_GRACE_S = 0.25


class OutOfTimeError(StepFailed):
    """A deadline has passed; the whole run's (`of_run`) ends the journey even in a step that may fail."""

    def __init__(self, failure: Failure, *, of_run: bool) -> None:
        super().__init__(failure)
        self.of_run = of_run


class RunObserver(Protocol):
    """Told how a run goes while it goes. Calls must be cheap; one that raises is not called again, and harms nothing."""

    def run_started(self, run_id: str, scenario: str) -> None:
        """The run has an id and is about to begin."""

    def step_started(self, name: str, attributes: Mapping[str, Attribute]) -> None:
        """A step's clock is about to start."""

    def sent(self, sent_bytes: int, total_bytes: int) -> None:
        """The kernel has taken this much of a request's body."""

    def step_finished(self, step: Step) -> None:
        """A step has ended; told again (same `started_ns`) when a check made after its border fails."""


@dataclass(slots=True)
class StepHandle:
    """A step while it can still change: what a script holds as `async with probe.step(...) as step`."""

    name: str
    keep_going: bool
    cleanup: bool
    attributes: dict[str, Attribute]
    deadline_ns: int | None = None
    started_ns: int = 0
    duration_ns: int = -1
    failure: Failure | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    pages: list[PageLoad] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)

    def set(self, name: str, value: Attribute) -> None:
        """Say something about the step in OpenTelemetry's style of names: `step.set("cad.part", part.id)`."""
        self.attributes[name] = value

    def record_page(self, page: PageLoad) -> None:
        """Add what a page measured; a page of the same URL is replaced, since its later figures are the fuller ones."""
        for index, present in enumerate(self.pages):
            if present.url == page.url:
                self.pages[index] = page
                return
        self.pages.append(page)

    def record_exchanges(self, exchanges: tuple[Exchange, ...], *, limit: int) -> None:
        """Add exchanges; of very many (polling) the first third and the latest are kept and the rest is counted."""
        self.exchanges.extend(exchanges)
        surplus = len(self.exchanges) - limit
        if surplus > 0:
            del self.exchanges[limit // 3 : limit // 3 + surplus]
            self.count_left_out("exchanges.left_out", surplus)

    def count_left_out(self, name: str, count: int) -> None:
        """Add to the attribute that says how much a step's record leaves out."""
        before = self.attributes.get(name, 0)
        self.attributes[name] = count + (before if isinstance(before, int) else 0)

    def freeze(self) -> Step:
        """The step as it stands."""
        return Step(
            name=self.name,
            started_ns=self.started_ns,
            duration_ns=max(self.duration_ns, 0),
            outcome=outcome_of_failure(self.failure),
            failure=self.failure,
            exchanges=tuple(self.exchanges),
            pages=tuple(self.pages),
            expectations=tuple(self.expectations),
            attributes=self.attributes,
            cleanup=self.cleanup,
        )


class StepLog:
    """All steps of one run, which of them is open, and how much time is left."""

    def __init__(
        self,
        *,
        clock: Clock,
        origin_ns: int,
        deadline_ns: int,
        mask: Mask,
        observer: RunObserver | None = None,
        fitness: FitnessSampler | None = None,
    ) -> None:
        self.clock = clock
        self.origin_ns = origin_ns
        self.deadline_ns = deadline_ns
        self.mask = mask
        self.fitness = fitness
        self.handles: list[StepHandle] = []
        self.open: StepHandle | None = None
        self.worst_lag_ns: int | None = None
        self.run_timer: asyncio.Timeout | None = None
        self._limit_ns = deadline_ns - origin_ns
        self._exchanges = 0
        self._checks = 0
        self._observer = observer

    @property
    def has_failed(self) -> bool:
        """True when a step has failed so far, clean-up aside."""
        return any(step.failure is not None and not step.cleanup for step in self.handles)

    def require_open(self, what: str) -> StepHandle:
        """The open step; raises BugError when a script does `what` between steps, where no clock would see it."""
        if self.open is None:
            raise BugError(f"{what} outside a step", remedy="Put it inside: async with probe.step('name'):")
        return self.open

    def open_or_last(self, what: str) -> StepHandle:
        """The open step, or the one that ended last: a check made after the border is about what that step did."""
        if self.open is not None:
            return self.open
        if not self.handles:
            raise BugError(f"{what} before the first step", remedy="Put it inside: async with probe.step('name'):")
        return self.handles[-1]

    def record_exchanges(self, step: StepHandle, exchanges: tuple[Exchange, ...]) -> None:
        """Add exchanges to the step, within what a whole run may record."""
        self._exchanges += len(exchanges)
        step.record_exchanges(
            exchanges, limit=MAX_EXCHANGES_PER_STEP if self._exchanges < MANY_EXCHANGES else FEW_EXCHANGES
        )

    def record_checks(self, step: StepHandle, checks: tuple[Expectation, ...]) -> None:
        """Add what was checked to the step, within what a whole run may record."""
        self._checks += len(checks)
        kept = [check for check in checks if self._checks <= MANY_CHECKS or not check.ok]
        step.expectations.extend(kept)
        if len(kept) < len(checks):
            step.count_left_out("expectations.left_out", len(checks) - len(kept))

    def remaining_s(self) -> float:
        """Seconds until the nearest deadline, of the open step or of the run; below zero when it has passed."""
        deadline_ns = self.deadline_ns
        if self.open is not None and self.open.deadline_ns is not None:
            deadline_ns = min(deadline_ns, self.open.deadline_ns)
        return (deadline_ns - self.clock.monotonic_ns()) / 1e9

    def require_time_s(self) -> float:
        """Seconds until the nearest deadline; raises OutOfTimeError when there are none left."""
        remaining_s = self.remaining_s()
        if remaining_s <= 0:
            raise self.out_of_time()
        return remaining_s

    def give_back(self, own_ns: int) -> None:
        """Move the run's deadline on by what was our own doing between steps, such as the start of a browser.

        Else the steps that follow would have less time, and be charged with what they lacked.
        """
        self.deadline_ns += own_ns
        if (
            self.run_timer is not None
            and not self.run_timer.expired()
            and (when_s := self.run_timer.when()) is not None
        ):
            self.run_timer.reschedule(when_s + own_ns / 1e9)

    def out_of_time(self) -> OutOfTimeError:
        """The error for the deadline that comes first."""
        step = self.open
        of_run = step is None or step.deadline_ns is None or step.deadline_ns >= self.deadline_ns
        return OutOfTimeError(self.timeout_failure(of_run=of_run), of_run=of_run)

    def timeout_failure(self, *, of_run: bool) -> Failure:
        """A deadline missed in a step is the target's; between steps only the script ran, so it is ours."""
        run_s = self._limit_ns / 1e9
        step = self.open
        if step is None:
            message = f"the scenario's {run_s:g} s ran out between two steps, where only the script itself was at work"
            return Failure(FailureKind.INTERNAL, message, "timeout")
        if of_run or step.deadline_ns is None:
            message = (
                f"the scenario's {run_s:g} s ran out in step {step.name!r}, begun at {step.started_ns / 1e9:.1f} s"
            )
        else:
            step_s = (step.deadline_ns - self.origin_ns - step.started_ns) / 1e9
            message = f"step {step.name!r} was not done within its {step_s:g} s"
        return Failure(FailureKind.TIMEOUT, message, "timeout")

    def check_failed(self, failure: Failure) -> None:
        """A check did not hold: end the open step, or charge the step that ended last.

        Raises StepFailed, except after a step that may fail: there the finding is recorded and the journey goes on.
        """
        if self.open is None:
            step = self.handles[-1]
            step.failure = step.failure or failure
            self.tell(lambda observer: observer.step_finished(step.freeze()))
            if step.keep_going:
                return
        raise StepFailed(failure)

    def last_failure(self) -> Failure:
        """The failure of the step that ended last; raises BugError when it did not fail."""
        failure = self.handles[-1].failure if self.handles else None
        if failure is None:
            raise BugError("the last step did not fail")
        return failure

    def begin(self, step: StepHandle, deadline_s: float | None) -> None:
        """Start the step's clock; nothing that takes time may follow in here."""
        if self.open is not None:
            message = f"step {step.name!r} inside step {self.open.name!r}"
            raise BugError(message, remedy="End one step before the next begins: a nested step would be timed twice")
        if step.duration_ns >= 0:
            raise BugError(f"step {step.name!r} entered twice", remedy="Call probe.step(...) anew for each time")
        if len(self.handles) >= MAX_STEPS and not step.cleanup:
            raise BugError(f"more than {MAX_STEPS} steps in one run", remedy="Measure a loop as one step")
        self.tell(lambda observer: observer.step_started(step.name, step.attributes))
        self.open = step
        self.handles.append(step)
        now_ns = self.clock.monotonic_ns()
        step.started_ns = now_ns - self.origin_ns
        if deadline_s is not None:
            step.deadline_ns = now_ns + int(deadline_s * 1e9)

    def end(self, step: StepHandle, failure: Failure | None) -> None:
        """Close the step, its clock having been stopped by the caller."""
        step.failure = failure
        self.open = None
        self.tell(lambda observer: observer.step_finished(step.freeze()))

    def note_lag(self, lag_ns: int | None) -> None:
        """Keep the worst delay of the loop seen inside any step."""
        if lag_ns is not None:
            self.worst_lag_ns = max(lag_ns, self.worst_lag_ns or 0)

    def tell(self, news: Callable[[RunObserver], None]) -> None:
        """Tell the observer, if there is one that still listens."""
        if self._observer is None:
            return
        try:
            news(self._observer)
        except Exception:  # noqa: BLE001 - progress on a screen must never end a measurement
            self._observer = None


class OpenStep:
    """The borders of one step, as an asynchronous context manager."""

    __slots__ = ("_deadline_s", "_fitness_from_s", "_log", "_step", "_timer")

    def __init__(self, log: StepLog, step: StepHandle, deadline_s: float | None) -> None:
        self._log = log
        self._step = step
        self._deadline_s = deadline_s
        self._timer: asyncio.Timeout | None = None
        self._fitness_from_s = 0.0

    async def __aenter__(self) -> StepHandle:
        if self._deadline_s is not None:
            self._timer = asyncio.timeout(self._deadline_s + CUT_OFF_GRACE_S)
            await self._timer.__aenter__()
        if self._log.fitness is not None:
            self._fitness_from_s = self._log.fitness.time_s()
        try:
            self._log.begin(self._step, self._deadline_s)
        except BaseException:
            # A step that was refused must not leave its timer behind: it would cut off something else later.
            await self._stop_timer(None, None, None)
            raise
        return self._step

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        log, step = self._log, self._step
        step.duration_ns = log.clock.monotonic_ns() - log.origin_ns - step.started_ns
        if log.fitness is not None:
            log.note_lag(log.fitness.worst_lag_ns(since_s=self._fitness_from_s))
        cut_off = await self._stop_timer(kind, error, trace)
        if error is None:
            log.end(step, None)
            return False
        failure = self._failure_of(error, cut_off=cut_off)
        log.end(step, failure)
        if cut_off and not step.keep_going:
            raise StepFailed(failure) from error
        of_run = isinstance(error, OutOfTimeError) and error.of_run
        is_finding = cut_off or carried_failure(error) is not None
        return step.keep_going and is_finding and not of_run and not failure.kind.is_ours

    async def _stop_timer(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """True when the step's own deadline is what cut it off."""
        if self._timer is None:
            return False
        try:
            await self._timer.__aexit__(kind, error, trace)
        except TimeoutError:
            return True
        return False

    def _failure_of(self, error: BaseException, *, cut_off: bool) -> Failure:
        log = self._log
        if cut_off:
            return log.timeout_failure(of_run=False)
        carried = carried_failure(error)
        if carried is not None:
            carried = replace(carried, message=log.mask(carried.message))
            page = getattr(error, "page", None)
            if isinstance(page, PageLoad):
                self._step.record_page(page)
            return carried
        if isinstance(error, asyncio.CancelledError):
            if log.run_timer is not None and log.run_timer.expired():
                return log.timeout_failure(of_run=True)
            return Failure(FailureKind.ABORTED, f"the run was stopped in step {self._step.name!r}", "cancelled")
        return describe_crash(error, mask=log.mask)
