"""A gate's report as JSON for programs: the answer, each check and step with its counts, the runs as wire records.

The schema is documented in docs/reference/cli.md; keys are only added, a change of meaning raises `schema_version`. Called by
`console.gate_files`.
"""

from __future__ import annotations

import json
from datetime import datetime

from console.gate_story import GateStory, exit_code_of_gate, headline, made_texts, percent_text, why_different
from probes.records import Outcome
from probes.wire import render_run
from slo.release_gate import CheckState, StepState

__all__ = ["SCHEMA_VERSION", "render_gate_json"]

SCHEMA_VERSION = 1


def render_gate_json(story: GateStory, *, generated_at: datetime) -> bytes:
    """The whole report."""
    terms, code = story.gate.terms, exit_code_of_gate(story)
    document = {
        "schema": "probe-fleet/gate",
        "schema_version": SCHEMA_VERSION,
        "generated_at": generated_at.isoformat(),
        "started_at": story.started_at.isoformat(),
        "elapsed_s": round(story.elapsed_s, 3),
        "steps_s": round(story.steps_s, 3),
        "rounds": story.rounds,
        "seed": story.seed,
        "release": story.release or None,
        "target": story.target,
        "baseline": story.baseline or None,
        "answer": story.answer.value,
        "exit_code": int(code),
        "headline": headline(story),
        "ended_by": story.ended_by,
        "plan": list(story.plan),
        "terms": {
            "usual_bad_ratio": str(terms.usual_bad),
            "excluded_bad_ratio": str(terms.refused_bad),
            "alpha": str(terms.false_alarm),
            "beta": str(terms.false_pass),
            "max_rounds": terms.most_rounds,
            "margin_ratio": None if terms.margin is None else str(terms.margin.ratio),
            "slack_ns": None if terms.margin is None else terms.margin.slack_ns,
            "correction": "Bonferroni over checks"
            + ("" if terms.margin is None else " (half of alpha), and over checks, steps and looks (what is left)"),
            "says": f"{percent_text(terms.refused_bad)} or more failing",
        },
        "checks": [_check(state) for state in story.gate.checks.values()],
        "steps": [_step(state) for own in story.gate.steps.values() for state in own.values()],
        "made": list(made_texts(story)),
        "left_out": [f"{name}: {reason}" for name, reason in story.left_out],
        "notes": list(story.notes),
        "bundles": list(story.bundles),
        "evidence_folder": story.evidence_folder or None,
        "runs": [
            {
                "round": one.number,
                "baseline": one.is_baseline,
                "difference": list(why_different(story, one.run)) if one.run.outcome is Outcome.FAIL else [],
                "record": json.loads(render_run(one.run)),
            }
            for one in story.runs
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _check(state: CheckState) -> dict[str, object]:
    return {
        "name": state.name,
        "decision": state.decision.value,
        "rounds": state.rounds,
        "failures": state.failures,
        "unmeasured": state.unmeasured,
        "alpha": str(state.gate.false_alarm),
        "accept_at": state.gate.accept_to,
        "reject_at": state.gate.reject_from,
        "evidence": [round(value, 6) for value in state.path],
    }


def _step(state: StepState) -> dict[str, object]:
    return {
        "check": state.check,
        "name": state.name,
        "decision": state.decision.value,
        "candidate_ns": state.candidate_ns,
        "baseline_ns": state.baseline_ns,
        "looks": [
            {"rounds": look.rounds, "p_slower": look.slower, "p_within": look.within, "decision": look.decision.value}
            for look in state.looks
        ],
    }
