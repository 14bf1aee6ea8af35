"""What differs between two runs of one scenario, as lines for a person: versions, addresses, answers, checks, times.

The first thing that differs is most often the cause, so the order is that of the journey. Refuses to say which of the two is
right. Called by the report of the release gate, by `replay` and by the page of a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from collector.texts.figures import duration_text, printable
from probes.records import Exchange, Run, Step

__all__ = ["differences", "nearest_passing", "steps_by_place"]

_MOST_LINES: Final = 12
_NOTABLE_FACTOR: Final = 2
_NOTABLE_NS: Final = 50_000_000
_FIRST_BAD_STATUS: Final = 400


def differences(this: Run, other: Run) -> tuple[str, ...]:
    """What is different in `this` from what it was in `other`; empty when nothing that is looked at differs."""
    lines = [*_facts(this, other), *_steps(this, other)]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"and {len(lines) - _MOST_LINES} more differences"]
    return tuple(lines)


def nearest_passing(run: Run, passing: Sequence[Run]) -> Run | None:
    """Of these runs the one to compare with: of the same scenario, the same seed if there is one, then the nearest in time."""
    alike = [other for other in passing if other.identity.scenario == run.identity.scenario]
    seed = run.attributes.get("run.seed")
    return min(
        alike,
        key=lambda other: (other.attributes.get("run.seed") != seed, abs(other.started_at - run.started_at)),
        default=None,
    )


def _facts(this: Run, other: Run) -> Iterator[str]:
    for name, now, then in (
        ("outcome", this.outcome.value, other.outcome.value),
        ("failed step", this.failed_step or "none", other.failed_step or "none"),
        (
            "kind",
            this.failure.kind.value if this.failure else "none",
            other.failure.kind.value if other.failure else "none",
        ),
        ("target", this.target, other.target),
        ("release", this.target_release or "not said", other.target_release or "not said"),
        ("scenario version", this.scenario_version, other.scenario_version),
        ("seed", this.attributes.get("run.seed"), other.attributes.get("run.seed")),
        ("addresses", _addresses(this), _addresses(other)),
    ):
        if now != then:
            yield f"{name}: {printable(str(now))} here, {printable(str(then))} there"


def _addresses(run: Run) -> str:
    found = {exchange.server_address for step in run.steps for exchange in step.exchanges if exchange.server_address}
    return ", ".join(sorted(found)) or "none"


def _steps(this: Run, other: Run) -> Iterator[str]:
    """Step by step, in the order of the journey; a step that one of them never reached is said once."""
    own, others = steps_by_place(this), steps_by_place(other)
    for place, step in own.items():
        if place in others:
            yield from _step(step, others[place])
        else:
            yield f"{step.name}: only here"
    missing = [step.name for place, step in others.items() if place not in own]
    if missing:
        yield f"not reached here: {', '.join(dict.fromkeys(missing))}"


def steps_by_place(run: Run) -> dict[tuple[str, int], Step]:
    """The steps by name and how many of that name came before."""
    found: dict[tuple[str, int], Step] = {}
    for step in run.steps:
        if not step.cleanup:
            number = sum(name == step.name for name, _ in found)
            found[step.name, number] = step
    return found


def _step(step: Step, other: Step) -> Iterator[str]:
    for mine, theirs in zip(step.exchanges, other.exchanges, strict=False):
        # How often a poll was told to wait differs from run to run and means nothing.
        if _answer(mine) != _answer(theirs) and not (_is_fine(mine) and _is_fine(theirs)):
            yield f"{step.name}: {_path(mine)} {_answer(mine)} here, {_answer(theirs)} there"
    checks = {check.name: check for check in other.expectations}
    for check in step.expectations:
        before = checks.get(check.name)
        if not check.ok or (before is not None and not before.ok):
            there = before.found if before is not None else "not checked"
            yield f"{step.name}: {check.name}: {printable(check.found)} here, {printable(there)} there"
    slow, quick = max(step.duration_ns, other.duration_ns), min(step.duration_ns, other.duration_ns)
    if slow > _NOTABLE_FACTOR * quick and slow - quick > _NOTABLE_NS:
        yield f"{step.name}: {duration_text(step.duration_ns)} here, {duration_text(other.duration_ns)} there"


def _is_fine(exchange: Exchange) -> bool:
    return exchange.failure is None and 0 < exchange.status < _FIRST_BAD_STATUS


def _path(exchange: Exchange) -> str:
    return printable(f"{exchange.method} {urlsplit(exchange.url).path}")


def _answer(exchange: Exchange) -> str:
    if exchange.failure is not None:
        return f"{exchange.status or ''} {exchange.failure.kind.value}".strip()
    return str(exchange.status)
