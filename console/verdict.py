"""The end of a report: what was found, against which lines, and how sure that is, in sentences.

Also decides the exit code. A failure of the platform is known even when another run was inconclusive, so 1 wins over 3, and
3 wins over 0. Refuses numbers that the tables do not have. Called by `console.report` and `console.session`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from collector.texts.figures import count_text, printable
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
    UNDECIDED = 4


def exit_code_of(runs: Sequence[Run], *, interrupted: bool = False) -> ExitCode:
    """1 when any run failed, else 3 when any was inconclusive or cut short or nothing ran, else 0."""
    if any(run.outcome is Outcome.FAIL for run in runs):
        return ExitCode.PLATFORM_FAILED
    if interrupted or not runs or any(run.outcome is Outcome.INCONCLUSIVE for run in runs):
        return ExitCode.INCONCLUSIVE
    return ExitCode.PASSED


def failure_text(run: Run) -> str:
    """Why a run did not pass: `analyse failed (assertion): volume: expected 812.5, found 125000`."""
    if run.outcome is Outcome.INCONCLUSIVE and run.fitness is not None and run.fitness.reasons:
        return f"the host was not fit to measure: {', '.join(run.fitness.reasons)}"
    if run.failure is None:
        return ""
    word = "could not be measured" if run.failure.kind.is_ours else "failed"
    return f"{run.failed_step or 'the run'} {word} ({run.failure.kind.value}): {printable(run.failure.message)}"


def outcome_sentences(runs: Sequence[Run]) -> tuple[str, ...]:
    """One sentence for each outcome that occurred, failures first."""
    failed, unclear, passed = (
        _share([run for run in runs if run.outcome is outcome], runs)
        for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS)
    )
    sentences = []
    if failed:
        sentences.append(f"FAILED: {failed} found the platform at fault.")
    if unclear:
        sentences.append(f"INCONCLUSIVE: {unclear} could not measure; the platform is not charged.")
    if passed:
        sentences.append(f"PASSED: {passed}, every check as expected.")
    return tuple(sentences) or ("Nothing ran.",)


def _share(some: Sequence[Run], runs: Sequence[Run]) -> str:
    """`1 run`, `all 59 runs`, `2 of 59 runs`, or nothing."""
    if not some:
        return ""
    if len(some) < len(runs):
        return f"{len(some)} of {len(runs)} runs"
    return f"all {len(runs)} runs" if len(runs) > 1 else "1 run"


def sureness_sentences(judgements: Sequence[LineJudgement], runs: Sequence[Run]) -> tuple[str, ...]:
    """What the runs say about the service levels, and what it would take to say more."""
    conclusive = sum(run.outcome is not Outcome.INCONCLUSIVE for run in runs)
    if not judgements:
        return ("No service level bears on what ran.",) if conclusive else ()
    told = "1 run says" if conclusive == 1 else f"{conclusive} runs say"
    sentences = [f"{told}: {_goodness(judgements)}."]
    sure = {name: _titles(judgements, verdict) for verdict, name in _SURE.items()}
    sentences += [f"{name}: {', '.join(titles)}." for name, titles in sure.items() if titles]
    if any(sure.values()) and conclusive > 1:
        sentences.append("That takes the runs as independent; runs close together share an outage.")
    open_lines = [judgement for judgement in judgements if judgement.verdict is Verdict.NOT_ENOUGH_DATA]
    if open_lines:
        sentences.append(_needs(open_lines))
    return tuple(sentences)


def _goodness(judgements: Sequence[LineJudgement]) -> str:
    bad = [judgement for judgement in judgements if judgement.bad]
    if not bad:
        return f"good on every service level met on the way ({count_text(len(judgements), 'line')})"
    lines = ", ".join(f"{judgement.objective.title} (line {judgement.objective.line})" for judgement in bad)
    return f"bad on {len(bad)} of {count_text(len(judgements), 'line')}: {lines}"


def _needs(open_lines: Sequence[LineJudgement]) -> str:
    """How many good runs each kind of open line takes, each once."""
    needed = {judgement.objective.percentile: judgement.needed for judgement in open_lines}
    parts = [f"{count} for {name}" for name, count in sorted(needed.items(), key=lambda item: item[1])]
    return f"Too few runs to call a line met with 95 % confidence; good runs it takes: {', '.join(parts)}."


def _titles(judgements: Sequence[LineJudgement], verdict: Verdict) -> list[str]:
    return [judgement.objective.title for judgement in judgements if judgement.verdict is verdict]
