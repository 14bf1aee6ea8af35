"""The end of a report: what was found, against which lines, and how sure that is, in sentences.

Also decides the exit code. A failure of the platform is known even when another run was inconclusive, so 1 wins over 3, and
3 wins over 0. Refuses numbers that the tables do not have. Called by `console.report` and `console.session`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from console.figures import count_text, printable
from probes.records import Outcome, Run
from slo.evidence import Verdict
from slo.judgement import LineJudgement

__all__ = ["ExitCode", "exit_code_of", "failure_text", "outcome_sentences", "sureness_sentences"]


_SURE = {
    Verdict.BREACHED: "Breached (95 % sure)",
    Verdict.AT_RISK: "At risk",
    Verdict.MET: "Met (95 % sure)",
}


class ExitCode(IntEnum):
    """What the command tells its caller."""

    PASSED = 0
    PLATFORM_FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3


def exit_code_of(runs: Sequence[Run], *, interrupted: bool = False) -> ExitCode:
    """1 when any run failed, else 3 when any was inconclusive or cut short or nothing ran, else 0."""
    if any(run.outcome is Outcome.FAIL for run in runs):
        return ExitCode.PLATFORM_FAILED
    if interrupted or not runs or any(run.outcome is Outcome.INCONCLUSIVE for run in runs):
        return ExitCode.INCONCLUSIVE
    return ExitCode.PASSED


def failure_text(run: Run) -> str:
    """Why a run did not pass: `analyse failed (assertion): volume: expected 812.5, found 125000`."""
    if run.failure is None:
        reasons = run.fitness.reasons if run.fitness else ()
        return f"the host was not fit to measure: {', '.join(reasons)}" if reasons else ""
    word = "could not be measured" if run.failure.kind.is_ours else "failed"
    return f"{run.failed_step or 'the run'} {word} ({run.failure.kind.value}): {printable(run.failure.message)}"


def outcome_sentences(runs: Sequence[Run]) -> tuple[str, ...]:
    """One sentence for each outcome that occurred, failures first."""
    counts = {outcome: sum(run.outcome is outcome for run in runs) for outcome in Outcome}
    total = len(runs)
    of_all = f" of {total}" if total > 1 else ""
    sentences = []
    if counts[Outcome.FAIL]:
        sentences.append(f"FAILED: {count_text(counts[Outcome.FAIL], 'run')}{of_all} found the platform at fault.")
    if counts[Outcome.INCONCLUSIVE]:
        found = count_text(counts[Outcome.INCONCLUSIVE], "run")
        sentences.append(f"INCONCLUSIVE: {found}{of_all} could not measure; the platform is not charged.")
    if counts[Outcome.PASS]:
        sentences.append(f"PASSED: {count_text(counts[Outcome.PASS], 'run')}{of_all}, every check as expected.")
    return tuple(sentences) or ("Nothing ran.",)


def sureness_sentences(judgements: Sequence[LineJudgement], runs: Sequence[Run]) -> tuple[str, ...]:
    """What the runs say about the service levels, and what it would take to say more."""
    conclusive = sum(run.outcome is not Outcome.INCONCLUSIVE for run in runs)
    if not judgements:
        return ("No service level bears on what ran.",) if conclusive else ()
    counted = count_text(conclusive, "run")
    says = "says" if conclusive == 1 else "say"
    sentences = [f"{counted.capitalize()} {says}: {_goodness(judgements)}."]
    sentences += [
        f"{name}: {', '.join(_titles(judgements, verdict))}."
        for verdict, name in _SURE.items()
        if _titles(judgements, verdict)
    ]
    open_lines = [judgement for judgement in judgements if judgement.verdict is Verdict.NOT_ENOUGH_DATA]
    if open_lines:
        sentences.append(_needs(open_lines))
    return tuple(sentences)


def _goodness(judgements: Sequence[LineJudgement]) -> str:
    bad = [judgement for judgement in judgements if judgement.bad]
    if not bad:
        return f"good on all {len(judgements)} lines they bear on" if len(judgements) > 1 else "good on its one line"
    lines = ", ".join(f"{judgement.objective.line} ({judgement.objective.title})" for judgement in bad)
    return f"bad on {count_text(len(bad), 'line')} of {len(judgements)}: {lines}"


def _needs(open_lines: Sequence[LineJudgement]) -> str:
    """`Too few to call met: p95 needs 59 good events, p99 299.`, each kind of line once."""
    needed = {judgement.objective.percentile: judgement.needed for judgement in open_lines}
    parts = [f"{name} {count}" for name, count in sorted(needed.items(), key=lambda item: item[1])]
    return f"Too few to call a line met at 95 %; good events needed: {', '.join(parts)}."


def _titles(judgements: Sequence[LineJudgement], verdict: Verdict) -> list[str]:
    return [judgement.objective.title for judgement in judgements if judgement.verdict is verdict]
