"""A gate's report as one HTML file: no script, nothing fetched, opens from a disk; plots as SVG, tables beside them.

Refuses markup from outside: everything that a target or a person wrote is escaped, and the page's own policy allows nothing
but its style. Called by `console.gate_files`.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Final

from collector.texts.figures import count_text, duration_text
from console.gate_plots import evidence_plot, times_plot
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
from console.scorecard_style import STYLE
from console.verdict import failure_text
from slo.gate import GateDecision
from slo.release_gate import ReleaseDecision

__all__ = ["render_gate_html"]

_MOST_RUNS: Final = 10
_OWN_STYLE: Final = """
svg { width: 100%; max-width: 44rem; height: auto; font-size: 11px; }
svg text { fill: var(--soft); }
svg polyline { fill: none; stroke-width: 2; }
svg .path { stroke: var(--link); }
svg .base { stroke: var(--soft); stroke-dasharray: 5 3; }
svg .dot { fill: var(--link); }
svg line { stroke: var(--rule); stroke-width: 1; }
svg line.accept { stroke: var(--good); } svg text.accept { fill: var(--good); }
svg line.reject { stroke: var(--bad); } svg text.reject { fill: var(--bad); }
.pass { color: var(--good); } .fail { color: var(--bad); } .open { color: var(--warn); }
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_CLASSES: Final = {ReleaseDecision.PASS: "pass", ReleaseDecision.FAIL: "fail"}
_BADGES: Final = {GateDecision.ACCEPT: ("good", "pass"), GateDecision.REJECT: ("bad", "fail")}


def render_gate_html(story: GateStory) -> bytes:
    """The page."""
    return ("\n".join(_lines(story)) + "\n").encode()


def _lines(story: GateStory) -> Iterator[str]:
    title = _e(headline(story))
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title><style>{STYLE}{_OWN_STYLE}</style></head><body><main>"
    yield f'<h1 class="{_CLASSES.get(story.answer, "open")}">{title}</h1>'
    yield (
        f"<p>{_e(subject(story))}. Started {_e(story.started_at.isoformat(timespec='seconds'))}; "
        f"{count_text(story.rounds, 'round')} in {duration_text(int(story.elapsed_s * 1e9))}, "
        f"whose steps sum up to {duration_text(int(story.steps_s * 1e9))}. Seed {story.seed}.</p>"
    )
    yield from _list("What this can and cannot say", story.plan)
    yield from _failures(story)
    yield "<h2>Checks</h2>"
    yield (
        "<p>Each line is the evidence after a round: every failure lifts it, every pass lowers it. It ends where it meets a "
        "bound.</p>"
    )
    for state in story.gate.checks.values():
        yield f"<article><h3>{_e(state.name)} {_badge(state.decision)}</h3><p>{_e(check_text(state))}</p>"
        yield f"{evidence_plot(state, f'{state.name}: {check_text(state)}')}</article>"
    yield from _steps(story)
    yield from _list("Made on the platform", made_texts(story))
    yield from _list("Bundles, for runner.py replay", story.bundles)
    yield from _list("Left out", [f"{name}: {reason}" for name, reason in story.left_out])
    yield from _list("Notes", story.notes)
    yield "</main></body></html>"


def _failures(story: GateStory) -> Iterator[str]:
    runs = failing_runs(story, [state.name for state in story.gate.checks.values() if state.failures])
    if not runs:
        return
    yield "<h2>Runs that failed</h2>"
    for run in runs[:_MOST_RUNS]:
        yield f"<article><h3>{_e(run.identity.scenario)} <code>{_e(run.run_id)}</code></h3><p>{_e(failure_text(run))}</p>"
        yield from _items(why_different(story, run))
        if run.evidence:
            yield f"<p>Evidence in {_e(story.evidence_folder)}:</p>"
            yield from _items([item.path for item in run.evidence])
        yield "</article>"
    if len(runs) > _MOST_RUNS:
        yield f"<p>And {len(runs) - _MOST_RUNS} more, in the JSON report.</p>"


def _steps(story: GateStory) -> Iterator[str]:
    steps = [state for own in story.gate.steps.values() for state in own.values()]
    if not steps:
        return
    yield "<h2>Times, step by step</h2>"
    yield f"<p>The solid line is the candidate, the dashed one {_e(story.baseline)}; the time is on a logarithmic scale.</p>"
    for state in steps:
        told = step_text(state)
        yield f"<article><h3>{_e(f'{state.check} {state.name}')} {_badge(state.decision)}</h3><p>{_e(told)}</p>"
        yield f"{times_plot(state, told)}</article>"


def _list(heading: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"<h2>{_e(heading)}</h2>"
        yield from _items(lines)


def _items(lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield "<ul>" + "".join(f"<li>{_e(line)}</li>" for line in lines) + "</ul>"


def _badge(decision: GateDecision) -> str:
    kind, word = _BADGES.get(decision, ("warn", "open"))
    return f'<span class="badge {kind}">{word}</span>'


def _e(text: str) -> str:
    return html.escape(text)
