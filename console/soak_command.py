"""`runner.py soak --for 2h`: scenarios round after round, and verdicts that are safe to look at all the time.

Tells where each check stands now and then, and a verdict at once. Goes on to the end: a soak is for what only shows after hours.
Refuses latency, which a gate compares. Called by `console.app`.
"""

from __future__ import annotations

import json
import math
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from collector.texts.figures import count_text, duration_text
from console.atomic_file import check_writable, write_atomically
from console.choices import choose_scenarios, open_target
from console.desk import Desk
from console.gate_options import GateOptions
from console.gate_rounds import GateLimits, GateRounds, GateRun, Sides, asking
from console.gate_story import percent_text
from console.narrow import Entry, fitting
from console.progress import Progress
from console.run_store import RunKeeper, RunStore
from console.verdict import ExitCode, failure_text
from console.wiring import load_scenarios, open_environment
from probes.clock import Clock
from probes.errors import OperatorError
from probes.records import Outcome
from slo.evidence import Verdict
from slo.soak import SoakCheck, SoakWatch

__all__ = ["run_soak"]

_DEFAULT_GAP_S: Final = 10.0
_TELL_EVERY_NS: Final = 30_000_000_000
_SEED_BITS: Final = 32
_WORDS: Final = {
    Verdict.MET: "met",
    Verdict.BREACHED: "BREACHED",
    Verdict.NOT_ENOUGH_DATA: "open",
    Verdict.AT_RISK: "open",
}


async def run_soak(desk: Desk) -> ExitCode:
    """Run until `--for` is over or somebody stops it; raises FleetError for what is wrong before the first round."""
    arguments, options = desk.arguments, desk.arguments.gate or GateOptions()
    _check(desk, options)
    assert arguments.for_s is not None  # noqa: S101 - checked above
    desk.stop.means(ExitCode.UNDECIDED)
    registry = load_scenarios(arguments, desk.settings)
    globs = arguments.scenarios or ("*",)
    specs = registry.select(globs)
    seed = secrets.randbits(_SEED_BITS) if arguments.seed is None else arguments.seed
    async with open_target(arguments.target, desk.settings, specs, say=desk.say) as chosen:
        choice = choose_scenarios(globs, registry, chosen.target)
        watch = SoakWatch([spec.name for spec in choice.specs], options.exclude, options.alpha)
        desk.say(_announcement(watch, options, arguments.for_s))
        with Progress(desk.console.file, desk.clock, quiet=arguments.quiet, each_step=False) as progress:
            async with (
                RunKeeper(RunStore(desk.settings.state_dir), progress.say) as keeper,
                open_environment(
                    arguments, desk.settings, chosen.target, choice.specs, clock=desk.clock, progress=progress
                ) as environment,
            ):
                judge = _Judge(watch, desk.clock, progress, keeper)
                rounds = GateRounds(
                    choice.specs,
                    gate=judge,
                    sides=Sides(asking(environment)),
                    stop=desk.stop,
                    clock=desk.clock,
                    seed=seed,
                    limits=GateLimits(arguments.for_s, options.places, arguments.every_s or _DEFAULT_GAP_S),
                    told=judge.told,
                )
                await desk.stop.guard(rounds.run_all())
                desk.stop.leave_be()
    _write(desk, watch, rounds)
    _print(desk, watch, rounds)
    return _exit_code(watch)


def _check(desk: Desk, options: GateOptions) -> None:
    arguments, plain = desk.arguments, GateOptions()
    if arguments.for_s is None:
        raise OperatorError("a soak needs its length", where="--for", remedy="runner.py soak --for 2h")
    if arguments.junit_file is not None or options != GateOptions(
        exclude=options.exclude, alpha=options.alpha, places=options.places, usual=plain.usual
    ):
        raise OperatorError(
            "a soak takes --exclude, --alpha, --concurrency, --every and --json of the gate's options, and no other",
            where="soak",
            remedy="The gate itself is `smoke`",
        )
    if arguments.json_file and not arguments.json_to_stdout:
        check_writable(Path(arguments.json_file), argument="--json")


def _announcement(watch: SoakWatch, options: GateOptions, for_s: float) -> str:
    length, checks = duration_text(int(for_s * 1e9)), count_text(len(watch.checks), "check")
    return (
        f"For {length}: {checks} against {percent_text(options.exclude)} failing rounds. Look whenever you like: a verdict is "
        f"wrong with a chance of {percent_text(options.alpha)} at most, over all checks and all looks together."
    )


class _Judge:
    """Feeds the watch, and tells the person: a verdict at once, the rest now and then."""

    def __init__(self, watch: SoakWatch, clock: Clock, progress: Progress, keeper: RunKeeper) -> None:
        self._watch = watch
        self._clock = clock
        self._progress = progress
        self._keeper = keeper
        self._told_ns = clock.monotonic_ns()

    def add_round(self, check: str, *, passed: bool | None) -> None:
        """One round of a check."""
        if self._watch.add_round(check, passed=passed):
            self._progress.say(_line(self._watch, self._watch.checks[check]))

    def add_times(
        self, check: str, candidate_ns: Mapping[str, int], baselines_ns: Sequence[Mapping[str, int]] = ()
    ) -> None:
        """A soak judges no times."""

    def wants(self, check: str) -> bool:
        """Always: only the time ends a soak."""
        return check in self._watch.checks

    def wants_times(self, check: str) -> bool:
        """Never; the name is that of a check."""
        return check not in self._watch.checks

    def answer(self) -> None:
        """None: go on."""

    def told(self, found: GateRun) -> None:
        """A run is over: kept for `show`, told when it did not pass."""
        self._keeper.keep(found.run)
        if found.run.outcome is not Outcome.PASS:
            self._progress.say(f"  round {found.number}: {found.run.identity.scenario}: {failure_text(found.run)}")
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._told_ns >= _TELL_EVERY_NS:
            self._told_ns = now_ns
            for state in self._watch.checks.values():
                self._progress.say(_line(self._watch, state))


def _line(watch: SoakWatch, state: SoakCheck) -> str:
    """`quote: met after 150 rounds; 0 of 150 failed, evidence 61 of 60`."""
    word = _WORDS[state.verdict]
    at = f" after {state.decided_at} rounds" if state.decided_at else ""
    evidence = math.exp(min(max(state.values.ln_met, state.values.ln_breached), 700.0))
    return (
        f"{state.name}: {word}{at}; {state.failures} of {count_text(state.rounds, 'round')} failed, "
        f"evidence {evidence:.3g} of {math.exp(watch.ln_decided):.3g}"
    )


def _exit_code(watch: SoakWatch) -> ExitCode:
    """1: a check breached; 0: all met; 3: mostly not measured; 4: not enough rounds."""
    states: Sequence[SoakCheck] = list(watch.checks.values())
    if any(state.verdict is Verdict.BREACHED for state in states):
        return ExitCode.PLATFORM_FAILED
    if all(state.verdict is Verdict.MET for state in states):
        return ExitCode.PASSED
    unmeasured = any(state.unmeasured > state.rounds for state in states if state.verdict is not Verdict.MET)
    return ExitCode.INCONCLUSIVE if unmeasured else ExitCode.UNDECIDED


def _write(desk: Desk, watch: SoakWatch, rounds: GateRounds) -> None:
    arguments = desk.arguments
    if not arguments.json_file:
        return
    document = {
        "schema": "probe-fleet/soak",
        "schema_version": 1,
        "generated_at": desk.clock.now().isoformat(),
        "elapsed_s": round(rounds.elapsed_s, 3),
        "interrupted": desk.stop.asked(),
        "exit_code": int(_exit_code(watch)),
        "allowed_bad_ratio": str(watch.allowed_bad),
        "evidence_needed_ln": watch.ln_decided,
        "checks": [
            {
                "name": state.name,
                "verdict": state.verdict.value,
                "decided_at_round": state.decided_at or None,
                "rounds": state.rounds,
                "failures": state.failures,
                "unmeasured": state.unmeasured,
                "evidence_met_ln": state.values.ln_met,
                "evidence_breached_ln": state.values.ln_breached,
            }
            for state in watch.checks.values()
        ],
    }
    content = json.dumps(document, indent=2).encode() + b"\n"
    if arguments.json_to_stdout:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        write_atomically(Path(arguments.json_file), content)


def _print(desk: Desk, watch: SoakWatch, rounds: GateRounds) -> None:
    states = watch.checks.values()
    counts = {word: sum(_WORDS[state.verdict] == word for state in states) for word in ("BREACHED", "met", "open")}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    stopped = ", stopped before its time" if desk.stop.asked() else ""
    desk.console.print(Text(f"{told} after {duration_text(int(rounds.elapsed_s * 1e9))}{stopped}", style="bold"))
    if desk.arguments.quiet:
        return
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for heading in ("at round", "rounds", "failed", "unmeasured"):
        table.add_column(heading, justify="right", no_wrap=True)
    entries = []
    for state in states:
        cells = (str(state.decided_at or "-"), str(state.rounds), str(state.failures), str(state.unmeasured))
        table.add_row(state.name, _WORDS[state.verdict], *cells)
        entries.append(Entry(Text(state.name), [Text(_line(watch, state))]))
    desk.console.print(fitting(desk.console, table, entries))
