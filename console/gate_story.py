"""What a release gate has to tell, before it starts and when it is over: the plan, the one line that matters, and each check.

The first line says pass, fail, undecided or inconclusive, and the right cause: of all failing runs of the checks that failed the
release, the step and kind that most of them share. Refuses to draw; every format says these words. Called by the formats and
by `console.smoke_command`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final

from collector.texts.figures import count_text, duration_text, printable
from collector.texts.run_difference import differences, nearest_passing
from console.gate_rounds import GateRun
from console.verdict import ExitCode, failure_text
from probes.outcome import bounded
from probes.records import Outcome, Run
from slo.gate import GateDecision
from slo.latency_test import StepLook
from slo.percentile import nearest_rank
from slo.release_gate import CheckState, ReleaseDecision, ReleaseGate, StepState

__all__ = [
    "GateStory",
    "check_text",
    "exit_code_of_gate",
    "failing_runs",
    "headline",
    "made_texts",
    "minutes_text",
    "passing_beside",
    "percent_text",
    "quiet_regions",
    "step_text",
    "subject",
    "why_different",
]

_MOST_OF_A_MESSAGE: Final = 160
_CODES: Final = {
    ReleaseDecision.PASS: ExitCode.PASSED,
    ReleaseDecision.FAIL: ExitCode.PLATFORM_FAILED,
    ReleaseDecision.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    ReleaseDecision.UNDECIDED: ExitCode.UNDECIDED,
}


@dataclass(frozen=True, slots=True)
class GateStory:
    """A gate that is over. `plan` are the sentences that were said before it started, `ended_by` why it went no further."""

    gate: ReleaseGate
    answer: ReleaseDecision
    runs: tuple[GateRun, ...]
    target: str
    baseline: str
    started_at: datetime
    elapsed_s: float
    rounds: int
    seed: int
    plan: tuple[str, ...] = ()
    ended_by: str = ""
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    evidence_folder: str = ""
    bundles: tuple[str, ...] = ()
    release: str = ""

    def of_check(self, name: str, *, is_baseline: bool = False) -> tuple[Run, ...]:
        """The runs of one check on one side, in their order."""
        return tuple(
            one.run for one in self.runs if one.is_baseline is is_baseline and one.run.identity.scenario == name
        )

    @property
    def steps_s(self) -> float:
        """The sum of all steps of all runs, clean-up included: what the platform itself took, on both sides."""
        return sum(step.duration_ns for one in self.runs for step in one.run.steps) / 1e9


def quiet_regions(runs: Sequence[GateRun]) -> tuple[str, ...]:
    """A sentence for each of several regions that mostly could not measure: an answer that others gave is none about them."""
    all_of = Counter(one.run.identity.region for one in runs)
    silent_of = Counter(one.run.identity.region for one in runs if one.run.outcome is Outcome.INCONCLUSIVE)
    return tuple(
        f"{printable(region)}: {silent_of[region]} of {count_text(count, 'run')} said nothing; "
        "the answer is that of the other regions"
        for region, count in sorted(all_of.items())
        if len(all_of) > 1 and 2 * silent_of[region] > count
    )


def subject(story: GateStory) -> str:
    """What was judged: `Release 2026.11.3, target staging, beside production`; where nobody named the release, the target."""
    release = f"Release {story.release}, target" if story.release else "Target"
    return f"{release} {story.target}" + (f", beside {story.baseline}" if story.baseline else "")


def exit_code_of_gate(story: GateStory) -> ExitCode:
    """0 pass, 1 fail, 3 inconclusive, 4 undecided."""
    return _CODES[story.answer]


def percent_text(share: Fraction | float) -> str:
    """`3 %`, `0.1 %`."""
    return f"{float(share) * 100:.3g} %"


def headline(story: GateStory) -> str:
    """The one line: the answer, and its cause."""
    match story.answer:
        case ReleaseDecision.PASS:
            return f"PASS: {_passed(story)}"
        case ReleaseDecision.FAIL:
            return f"FAIL: {_failed(story)}"
        case ReleaseDecision.UNDECIDED:
            return f"UNDECIDED: {_undecided(story)}"
        case ReleaseDecision.INCONCLUSIVE:
            return f"INCONCLUSIVE: {_inconclusive(story)}"


def _passed(story: GateStory) -> str:
    checks = count_text(len(story.gate.checks), "check")
    text = f"{_name(story)} is excluded in {checks}"
    if story.gate.terms.margin is not None:
        steps = sum(len(own) for own in story.gate.steps.values())
        text += f", and {count_text(steps, 'timed step')} are within {_margin(story)} of {story.baseline}"
    return f"{text}, after {count_text(story.rounds, 'round')}"


def _name(story: GateStory) -> str:
    return f"{percent_text(story.gate.terms.refused_bad)} or more failing"


def _margin(story: GateStory) -> str:
    margin = story.gate.terms.margin
    return "" if margin is None else f"{percent_text(margin.ratio)} (or {duration_text(margin.slack_ns)})"


def failing_runs(story: GateStory, names: Sequence[str]) -> tuple[Run, ...]:
    """The candidate's failing runs of these checks."""
    return tuple(run for name in names for run in story.of_check(name) if run.outcome is Outcome.FAIL)


def _failed(story: GateStory) -> str:
    checks, steps = story.gate.rejected()
    if not checks:
        return f"slower than {story.baseline}: {'; '.join(step_text(step) for step in steps[:3])}"
    return _cause(story, [state.name for state in checks])


def _cause(story: GateStory, names: Sequence[str]) -> str:
    """`price (assertion) in quote, payment: total: expected > 0, found 0; 2 of 2 rounds of quote`."""
    runs = failing_runs(story, names)
    causes = Counter((run.failed_step, run.failure.kind.value) for run in runs if run.failure is not None)
    if not causes:
        return f"{', '.join(names)} failed"
    (step, kind), _ = causes.most_common(1)[0]
    # Checks that had not failed the release yet, but failed of the same, belong to the same sentence.
    everywhere = failing_runs(story, list(story.gate.checks))
    alike = [
        run
        for run in everywhere
        if run.failure is not None and (run.failed_step, run.failure.kind.value) == (step, kind)
    ]
    scenarios = dict.fromkeys(run.identity.scenario for run in alike)
    where = ", ".join(scenarios)
    first = next(run for run in runs if run in alike)
    message = bounded(first.failure.message if first.failure else "", _MOST_OF_A_MESSAGE)
    counts = "; ".join(_count(story.gate.checks[name]) for name in scenarios)
    return f"{printable(step)} ({kind}) in {where}: {printable(message)}; {counts}"


def _count(state: CheckState) -> str:
    return f"{state.failures} of {count_text(state.rounds, 'round')} of {state.name}"


def _undecided(story: GateStory) -> str:
    open_checks = [state for state in story.gate.checks.values() if state.decision is not GateDecision.ACCEPT]
    open_steps = [
        state
        for own in story.gate.steps.values()
        for state in own.values()
        if state.decision is not GateDecision.ACCEPT
    ]
    parts = []
    if open_checks:
        parts.append(f"{len(open_checks)} of {count_text(len(story.gate.checks), 'check')} not decided")
    if open_steps:
        parts.append(f"{count_text(len(open_steps), 'timed step')} not decided")
    why = f"{story.ended_by}, " if story.ended_by else ""
    text = f"{why}{', '.join(parts) or 'nothing could be compared with the baseline'}; the release waits"
    failed = [state.name for state in open_checks if state.failures]
    return f"{text}. Seen so far: {_cause(story, failed)}" if failed else text


def _inconclusive(story: GateStory) -> str:
    names = [
        state.name
        for state in story.gate.checks.values()
        if state.decision is not GateDecision.ACCEPT and (state.is_unmeasurable or state.unmeasured > state.rounds)
    ]
    reasons = Counter(
        failure_text(run) for name in names for run in story.of_check(name) if run.outcome is Outcome.INCONCLUSIVE
    )
    reason = f": {reasons.most_common(1)[0][0]}" if reasons else ""
    return f"we could not measure {', '.join(names)}{reason}. The platform is not charged, and the release waits"


def check_text(state: CheckState) -> str:
    """How one check stands: `excluded after 102 rounds`, `failed: 2 of 3 rounds`, `open: 0 of 40 rounds failed`."""
    told = f"{state.failures} of {count_text(state.rounds, 'round')} failed"
    if state.unmeasured:
        told += f", {state.unmeasured} could not be measured"
    match state.decision:
        case GateDecision.ACCEPT:
            return f"passed: {told}"
        case GateDecision.REJECT:
            return f"failed: {told}"
        case GateDecision.CONTINUE | GateDecision.UNDECIDED:
            return f"open: {told}"


def step_text(state: StepState) -> str:
    """How one timed step stands: `widget-load load: p95 1.24 s, baseline 0.98 s (ranks: slower, p = 0.0002)`."""
    times = _p95_text(state)
    if not state.looks:
        return f"{state.check} {state.name}: {times}, not yet looked at"
    last: StepLook = state.looks[-1]
    word, chance = (
        ("within the margin", last.within) if state.decision is GateDecision.ACCEPT else ("slower", last.slower)
    )
    return f"{state.check} {state.name}: {times} (ranks: {word}, p = {chance:.2g})"


def _p95_text(state: StepState) -> str:
    share = Fraction(95, 100)
    own = nearest_rank(state.candidate_ns, share) or 0
    base = nearest_rank(state.baseline_ns, share) or 0
    change = f" ({(own / base - 1) * 100:+.0f} %)" if base else ""
    return f"p95 {duration_text(own)}, baseline {duration_text(base)}{change}"


def why_different(story: GateStory, run: Run) -> tuple[str, ...]:
    """What the nearest passing run had otherwise, the candidate's own first; empty when none of the scenario passed."""
    nearest, is_baseline = passing_beside(story, run)
    if nearest is None:
        return ()
    whose = "of the baseline" if is_baseline else "that passed"
    return (f"beside run {nearest.run_id} {whose}:", *differences(run, nearest))


def passing_beside(story: GateStory, run: Run) -> tuple[Run | None, bool]:
    """The passing run that is nearest to this one, and whether it is the baseline's; None when none passed."""
    name = run.identity.scenario
    for is_baseline in (False, True):
        passing = [other for other in story.of_check(name, is_baseline=is_baseline) if other.outcome is Outcome.PASS]
        nearest = nearest_passing(run, passing)
        if nearest is not None:
            return nearest, is_baseline
    return None, False


def made_texts(story: GateStory) -> tuple[str, ...]:
    """What the runs made on the platforms: how many by fate, and each thing that is still there or may be."""
    effects = [(one.run, effect) for one in story.runs for effect in one.run.side_effects]
    if not effects:
        return ()
    fates = Counter(effect.fate for _, effect in effects)
    lines = [
        f"made {count_text(len(effects), 'object')}: {', '.join(f'{n} {fate}' for fate, n in sorted(fates.items()))}"
    ]
    kept = Counter(effect.kind for _, effect in effects if effect.fate == "kept")
    if kept:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kept.items()))
        lines.append(f"kept, for the platform offers no way to delete them: {told}; the JSON report names each")
    left = [(run, effect) for run, effect in effects if effect.fate in ("failed", "unknown")]
    lines += [
        f"not removed: {effect.kind} {printable(effect.name)} on {run.target}, run {run.run_id}"
        + (f" ({printable(effect.detail)})" if effect.detail else "")
        for run, effect in left[:50]
    ]
    if len(left) > 50:
        lines.append(f"and {len(left) - 50} more, in the JSON report")
    return tuple(lines)


def minutes_text(seconds: float) -> str:
    """`about 12 min`, `about 40 s`; never rounded down."""
    return f"about {math.ceil(seconds / 60)} min" if seconds >= 90 else f"about {math.ceil(seconds)} s"
