"""Judge lines: collect the events of many runs, count them, and say how sure the count makes us.

The events of one run share its fate, so the evidence counts runs, not events: the design effect is the number of events per run.
Refuses: verdicts on windows and budgets (a later concern), and pooling lines. Order does not matter and a run given twice
counts once. Called by the reports in `console`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from probes.records import Run
from slo.events import Event, events_of
from slo.evidence import Verdict, contract_holds, evidence_verdict
from slo.objective import Objective
from slo.percentile import clean_events_needed, nearest_rank

__all__ = ["LineJudgement", "judge_line", "judge_lines"]


@dataclass(frozen=True, slots=True)
class LineJudgement:
    """What the events say about one line.

    `verdict` is the evidence (95 %, runs taken as independent); `within_limit` is the plain count rule and None when there
    was no event.
    """

    objective: Objective
    events: tuple[Event, ...]
    bad: int
    verdict: Verdict
    within_limit: bool | None

    @property
    def total(self) -> int:
        """How many valid events there were."""
        return len(self.events)

    @property
    def runs(self) -> int:
        """How many runs they came from."""
        return len({event.run_id for event in self.events})

    @property
    def design_effect(self) -> Fraction:
        """How many events stand for one independent one."""
        return Fraction(self.total, self.runs) if self.events else Fraction(1)

    @property
    def needed(self) -> int:
        """How many runs, good in every event, it takes to claim this line at 95 %."""
        return clean_events_needed(self.objective.allowed_bad)

    @property
    def percentile_ns(self) -> int | None:
        """The nearest-rank time at the line's percentile; None: it falls on a failed event, or the line has no times."""
        if self.objective.limit_ns is None or not self.events:
            return None
        return nearest_rank([event.time_ns for event in self.events], self.objective.target_share)


def judge_line(objective: Objective, runs: Iterable[Run]) -> LineJudgement:
    """Every valid event of `runs` for one line, and the verdict on them."""
    distinct = {run.run_id: run for run in runs}
    events = tuple(event for run_id in sorted(distinct) for event in events_of(distinct[run_id], objective))
    bad = sum(not event.good for event in events)
    total, clusters = len(events), len({event.run_id for event in events})
    design_effect = Fraction(total, clusters) if events else Fraction(1)
    return LineJudgement(
        objective=objective,
        events=events,
        bad=bad,
        verdict=evidence_verdict(bad, total, objective.allowed_bad, design_effect=design_effect),
        within_limit=contract_holds(bad, total, objective.allowed_bad, strict=objective.strict) if events else None,
    )


def judge_lines(objectives: Sequence[Objective], runs: Sequence[Run]) -> tuple[LineJudgement, ...]:
    """The lines that at least one event bears on, in the order of `objectives`."""
    judged = (judge_line(objective, runs) for objective in objectives)
    return tuple(judgement for judgement in judged if judgement.events)
