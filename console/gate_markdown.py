"""A gate's summary in Markdown, for a pull request or the summary of a pipeline.

Refuses length: what did not pass, and one line for all that did. Called by `console.gate_files`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from collector.texts.figures import count_text, duration_text, printable
from console.gate_story import (
    GateStory,
    check_text,
    failing_runs,
    headline,
    made_texts,
    step_text,
    subject,
    why_different,
)
from console.verdict import failure_text
from slo.gate import GateDecision

__all__ = ["render_gate_markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@])")
_MOST_RUNS = 3


def render_gate_markdown(story: GateStory) -> bytes:
    """The document; its first line is the answer and its cause."""
    return ("\n".join(_lines(story)) + "\n").encode()


def _lines(story: GateStory) -> Iterator[str]:
    yield f"## {_plain(headline(story))}"
    yield ""
    took = duration_text(int(story.elapsed_s * 1e9))
    yield f"{_plain(subject(story))}; {count_text(story.rounds, 'round')} in {took}."
    yield ""
    checks = list(story.gate.checks.values())
    done = [state for state in checks if state.decision is GateDecision.ACCEPT]
    if len(done) < len(checks):
        yield "| check | |"
        yield "|---|---|"
        for state in checks:
            if state.decision is not GateDecision.ACCEPT:
                yield f"| {_plain(state.name)} | {_plain(check_text(state))} |"
        yield ""
    yield f"{len(done)} of {count_text(len(checks), 'check')} passed."
    steps = [state for own in story.gate.steps.values() for state in own.values()]
    if steps:
        within = [state for state in steps if state.decision is GateDecision.ACCEPT]
        yield f"{len(within)} of {count_text(len(steps), 'timed step')} are within the margin of {_plain(story.baseline)}."
        yield ""
        for step in steps:
            if step.decision is not GateDecision.ACCEPT:
                yield f"- {_plain(step_text(step))}"
    yield from _failures(story)
    yield ""
    for line in (*made_texts(story), *(f"Left out: {name}: {reason}" for name, reason in story.left_out), *story.notes):
        yield f"- {_plain(line)}"
    yield ""
    yield "<details><summary>What this can and cannot say</summary>"
    yield ""
    for sentence in story.plan:
        yield f"- {_plain(sentence)}"
    yield ""
    yield f"Seed {story.seed}."
    yield "</details>"


def _failures(story: GateStory) -> Iterator[str]:
    runs = failing_runs(story, [state.name for state in story.gate.checks.values() if state.failures])
    for run in runs[:_MOST_RUNS]:
        yield ""
        yield f"**{_plain(run.identity.scenario)}** run {_plain(run.run_id)}: {_plain(failure_text(run))}"
        yield ""
        for line in why_different(story, run):
            yield f"- {_plain(line)}"


def _plain(text: str) -> str:
    """Text that shows as it is: what a target answered must not become a link, a heading or a mention."""
    return _SPECIAL.sub(r"\\\1", printable(text))
