"""How long a service was away, seen by asking it again and again. Pure: told what each question found, it keeps the count.

Called by `scenarios.failover`.
"""

from __future__ import annotations

from dataclasses import dataclass

from probes.records import Failure

__all__ = ["OutageWatch"]


@dataclass(slots=True)
class OutageWatch:
    """`steady` good answers in a row end an outage, at the first of them. All times are seconds of one monotonic clock.

    An answer counts when it came, a failure when it was asked: the outage is never made shorter by slow failures.
    """

    steady: int
    began_s: float | None = None
    ended_s: float | None = None
    last_failure: Failure | None = None
    begin_seen: bool = False
    failures: int = 0
    _good: int = 0
    _first_good_s: float = 0.0
    _answered: bool = False

    @property
    def is_on(self) -> bool:
        """True from the first failure until the service is back for good."""
        return self.began_s is not None and self.ended_s is None

    def answered(self, at_s: float) -> None:
        """A good answer came."""
        self._first_good_s = self._first_good_s if self._good else at_s
        self._good += 1
        self._answered = True
        if self.is_on and self._good >= self.steady:
            self.ended_s = self._first_good_s

    def failed(self, asked_s: float, failure: Failure) -> None:
        """A question that was asked at `asked_s` got no good answer; one that had ended goes on."""
        self._good = 0
        self.failures += 1
        self.last_failure = failure
        if self.began_s is None:
            self.began_s, self.begin_seen = asked_s, self._answered
        self.ended_s = None

    def outage_s(self, now_s: float) -> float:
        """How long it lasted, or has lasted so far; zero when there was none."""
        if self.began_s is None:
            return 0.0
        return (now_s if self.ended_s is None else self.ended_s) - self.began_s
