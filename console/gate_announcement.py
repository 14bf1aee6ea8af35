"""What is said before a gate's first round: how long at best and at worst, and what it can and cannot exclude.

Rounds are known beforehand, exactly; minutes only from earlier runs of the same scenarios on this machine, and where there are
none, that is said. Refuses to promise. Called by `console.smoke_command`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from statistics import median

from collector.texts.figures import count_text, duration_text
from console.gate_options import GateOptions
from console.gate_story import minutes_text, percent_text
from probes.records import Outcome, Run
from slo.gate_odds import gate_odds
from slo.percentile import clean_events_needed

__all__ = ["announce", "round_seconds"]


def announce(options: GateOptions, checks: Sequence[str], *, round_s: float | None, baseline: str) -> tuple[str, ...]:
    """The sentences; `round_s` is what a round takes, or None where nobody knows yet."""
    terms = options.terms()
    gate = terms.check_gate(len(checks))
    best, worst = gate.passes_to_accept(0), options.most_rounds
    good = gate_odds(gate, gate.usual_bad)
    usual, excluded, many = (
        percent_text(gate.usual_bad),
        percent_text(gate.refused_bad),
        count_text(len(checks), "check"),
    )
    alarm, passed = percent_text(terms.false_alarm), percent_text(terms.false_pass)
    quickest = count_text(gate.fewest_failures(), "failure")
    in_time = percent_text((good.accept + good.reject) ** len(checks))
    sentences = [
        f"The gate excludes that {excluded} or more of the rounds of any of {many} fail.",
        f"Pass: at best after {best} rounds without a failure, at worst after {worst}.",
        f"Fail: at best after {quickest} of one check.",
        _time_text(options, best, round_s),
        f"Wrong: a release that fails as usual ({usual}) is failed with a chance of {alarm} at most, over all checks together.",
        f"One that fails {excluded} in any check is passed with a chance of {passed} at most.",
        f"A good release has its answer within {worst} rounds with a chance of {in_time}.",
    ]
    if best > worst:
        sentences.append(
            f"It cannot pass anything: {worst} rounds are fewer than the {best} that it takes. Raise --max-rounds or --exclude."
        )
    if options.has_baseline:
        sentences.append(_latency_text(options, baseline))
    if options.baseline_days:
        sentences.append(
            "The past is no pair: what differs between those days and now (load, hour, region, machine) counts as slower, too."
        )
    sentences.append(
        f"It cannot exclude that fewer than {percent_text(gate.refused_bad)} fail (99.9 % would take "
        f"{clean_events_needed(Fraction(1, 1000))} rounds), nor faults that depend on load, data or time of day, "
        + (
            "nor a slowdown of only the slowest few calls in a hundred."
            if options.has_baseline
            else "nor any slowdown: without --baseline no time is judged."
        )
    )
    return tuple(sentences)


def _time_text(options: GateOptions, best: int, round_s: float | None) -> str:
    worst = f"at worst {minutes_text(options.most_time_s)}, after which no round is begun"
    if round_s is None:
        return f"Time: {worst}; how long a round takes here is known after the first."
    beside = options.beside * options.terms().looks[0].rounds if options.baseline else 0
    needed_s = (best + beside) * round_s
    likely_s = min(needed_s, options.most_time_s)
    short = " (more than --max-time: it will be undecided)" if needed_s > options.most_time_s else ""
    return f"Time: a pass takes {minutes_text(likely_s)} at best, by earlier runs here{short}; {worst}."


def _latency_text(options: GateOptions, baseline: str) -> str:
    terms = options.terms()
    looks = ", ".join(str(look.rounds) for look in terms.looks if look.rounds <= options.most_rounds)
    runs = f", {count_text(options.beside, 'run')} of it beside each of the candidate's," if options.baseline else ""
    return (
        f"Latency: each timed step is compared with {baseline}{runs} by a one-sided rank test; up to "
        f"{percent_text(options.margin.ratio)} or {duration_text(options.margin.slack_ns)} slower is good enough. "
        f"Looked at after {looks or 'no'} rounds, the risks shared between looks, steps and checks beforehand."
    )


def round_seconds(runs: Iterable[Run], checks: Sequence[str], places: int) -> float | None:
    """How long a round takes, by the median of earlier passing runs; None unless every scenario has one."""
    times: dict[str, list[int]] = {}
    for run in runs:
        if run.outcome is Outcome.PASS and run.identity.scenario in checks:
            times.setdefault(run.identity.scenario, []).append(run.duration_ns)
    if set(times) != set(checks):
        return None
    each_s = [median(own) / 1e9 for own in times.values()]
    return max(*each_s, sum(each_s) / places) if len(each_s) > 1 else math.fsum(each_s)
